"""Calls a model that TF Serving serves, by REST or by gRPC: python -m export.client --help

    client = GrpcClient("127.0.0.1:8500", "conv_vae")
    image = client.predict("sample", seed=vae_zoo.noise.rows(7, 16))["image"]

A request is checked against the signature that the server itself describes, before it is sent.
"""

import http.client
import json
import urllib.error
import urllib.request

import numpy as np
from absl import flags

from export import answers
from vae_zoo import cli, errors

FLAGS = flags.FlagValues()
_STRINGS = {
    "server": (
        None,
        "host:port of the server's REST interface, or of its gRPC interface; see --protocol",
    ),
    "model": (None, "name of the model at the server"),
    "signature": ("sample", "function of the model to call"),
    "inputs": ('{"seed": [[0, 0]]}', "JSON: for each input, a list with one row for each image"),
    "output": (None, "the .npz file to write the answer's arrays to (default: they are printed)"),
}
for _name, (_default, _help) in _STRINGS.items():
    flags.DEFINE_string(_name, _default, _help, flag_values=FLAGS)
flags.DEFINE_enum(
    "protocol", "rest", ["rest", "grpc"], "which interface --server is", flag_values=FLAGS
)

_SECONDS = 60.0


class _Client:
    """A served model.

    Args:
        address: "host:port".
        name: the model's name at the server.
        timeout: seconds.
    """

    def __init__(self, address, name, timeout=_SECONDS):
        host, _, port = address.rpartition(":")
        if not host or "/" in host or not port.isdecimal():
            raise errors.UserError(f"server {address!r}: expected host:port, as localhost:8501.")
        self.address, self.name, self.timeout = address, name, timeout
        self._signatures = None

    def signatures(self):
        """Returns what the server says of the signatures; see serving.describe_signatures.

        Raises:
            UserError: where no server answers, or it has no such model.
        """
        if self._signatures is None:
            from export import serving

            self._signatures = serving.describe_signatures(self._definitions())
        return self._signatures

    def predict(self, signature, **inputs):
        """Returns {output: array [N, ...]} of a signature.

        Args:
            signature: its name.
            **inputs: an array of N rows for each input.

        Raises:
            UserError: for inputs that are not the signature's, or where the server refuses.
        """
        known = self.signatures()
        if signature not in known:
            raise errors.unknown("signature", signature, known)
        return self._predict(signature, check_inputs(signature, known[signature]["inputs"], inputs))


class RestClient(_Client):
    """A served model, called by REST: JSON, a row for each instance; see _Client for arguments."""

    def _definitions(self):
        from google.protobuf import json_format
        from tensorflow.core.protobuf import meta_graph_pb2

        answer = self._request("/metadata")
        try:
            found = answer["metadata"]["signature_def"]["signature_def"]
            return {
                name: json_format.ParseDict(each, meta_graph_pb2.SignatureDef())
                for name, each in found.items()
            }
        except (KeyError, TypeError, AttributeError, json_format.ParseError) as error:
            raise _senseless(self.address, "its /metadata describes no signatures") from error

    def _predict(self, signature, inputs):
        columns = {key: value.tolist() for key, value in inputs.items()}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        answer = self._request(":predict", {"signature_name": signature, "instances": rows})
        count = len(next(iter(inputs.values())))
        try:
            return answers.check_predictions(answer, self.signatures()[signature]["outputs"], count)
        except errors.UserError as error:
            raise _senseless(self.address, error) from error

    def _request(self, path, body=None):
        url = f"http://{self.address}/v1/models/{self.name}{path}"
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(url, data, timeout=self.timeout) as answer:
                return json.loads(answers.read(answer, self.timeout))
        except urllib.error.HTTPError as error:
            raise _refused(self.address, answers.message(error)) from error
        except OSError as error:
            raise _silent(self.address, getattr(error, "reason", error)) from error
        except http.client.HTTPException as error:
            raise _senseless(self.address, f"{type(error).__name__}: {error}") from error
        except (ValueError, RecursionError) as error:
            raise _senseless(self.address, f"expected JSON ({error})") from error


class GrpcClient(_Client):
    """A served model, called by gRPC; see _Client for arguments."""

    def __init__(self, address, name, timeout=_SECONDS):
        super().__init__(address, name, timeout)
        import grpc

        from export import serving

        unlimited = {"grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1}
        self._channel = grpc.insecure_channel(address, options=list(unlimited.items()))
        service = serving.apis("prediction_service_pb2_grpc")
        self._service = service.PredictionServiceStub(self._channel)

    def close(self):
        """Closes the connection."""
        self._channel.close()

    def _definitions(self):
        from export import serving

        api = serving.apis("get_model_metadata_pb2")
        request = api.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = self.name
        definitions = api.SignatureDefMap()
        self._call("GetModelMetadata", request).metadata["signature_def"].Unpack(definitions)
        return definitions.signature_def

    def _predict(self, signature, inputs):
        import tensorflow as tf

        from export import serving

        request = serving.predict_request(self.name, signature, inputs)
        outputs = self._call("Predict", request).outputs
        arrays = {key: tf.make_ndarray(value) for key, value in sorted(outputs.items())}
        count = len(next(iter(inputs.values())))
        try:
            return answers.check_outputs(arrays, self.signatures()[signature]["outputs"], count)
        except errors.UserError as error:
            raise _senseless(self.address, error) from error

    def _call(self, method, request):
        import grpc

        try:
            return getattr(self._service, method)(request, timeout=self.timeout)
        except grpc.RpcError as error:
            silent = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
            told = _silent if error.code() in silent else _refused
            raise told(self.address, error.details()) from error


def check_inputs(signature, expected, values):
    """Returns a signature's inputs as arrays of its dtypes.

    Args:
        signature: its name.
        expected: {name: tensor} of serving.describe_signatures.
        values: {name: rows}.

    Raises:
        UserError: for a missing or unknown input, another shape, numbers that do not fit.
    """
    for name in values:
        if name not in expected:
            raise errors.unknown(f"input of {signature}", name, expected)
    missing = [name for name in expected if name not in values]
    if missing:
        raise errors.UserError(f"{signature} lacks {', '.join(missing)}: expected an array of it.")
    arrays = {
        name: _as_tensor(f"{name} of {signature}", values[name], tensor)
        for name, tensor in expected.items()
    }
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        raise errors.UserError(
            f"{signature} got rows {counts}: expected one number of rows, at least 1."
        )
    return arrays


def _as_tensor(what, value, tensor):
    shape, dtype = tensor["shape"][1:], np.dtype(tensor["dtype"])
    try:
        array = np.asarray(value)
    except ValueError:  # rows of several lengths
        array = np.asarray(None)
    if array.dtype.kind not in ("iu" if dtype.kind == "i" else "iuf"):
        raise errors.UserError(
            f"{what}: expected {dtype} numbers of shape [N, {', '.join(map(str, shape))}], "
            f"got {str(value)[:60]}."
        )
    if list(array.shape[1:]) != shape or not array.ndim:
        raise errors.UserError(
            f"{what} has shape {list(array.shape)}: expected {['N', *shape]}".replace("'", "") + "."
        )
    limits = np.iinfo(dtype) if dtype.kind == "i" else np.finfo(dtype)
    if array.size and not (limits.min <= array.min() and array.max() <= limits.max):
        raise errors.UserError(
            f"{what} has numbers from {array.min()} to {array.max()}: expected {dtype}, from "
            f"{limits.min} to {limits.max}."
        )
    return array.astype(dtype)


def _silent(address, reason):
    return errors.UserError(
        f"no server answers at {address} ({reason}). Start it as the export's README.md says."
    )


def _senseless(address, reason):
    reason = " ".join(str(reason).split())
    return errors.UserError(
        f"the server at {address} gave no answer of TensorFlow Serving: {reason}. Expected its "
        "REST or gRPC interface: check --server and --protocol."
    )


def _refused(address, message):
    return errors.UserError(f"the server at {address} refused: {' '.join(str(message).split())}")


def call():
    """Calls a function of a served model (a signature), and prints or writes what comes back."""
    for name in ("server", "model"):
        if not FLAGS[name].value:
            raise errors.UserError(f"--{name} is missing: expected {FLAGS[name].help}.")
    try:
        inputs = dict(json.loads(FLAGS.inputs))
    except (ValueError, TypeError) as error:
        raise errors.UserError(
            f"--inputs={FLAGS.inputs}: expected JSON such as {_STRINGS['inputs'][0]} ({error})."
        ) from error
    kind = {"rest": RestClient, "grpc": GrpcClient}[FLAGS.protocol]
    outputs = kind(FLAGS.server, FLAGS.model).predict(FLAGS.signature, **inputs)
    for name, array in outputs.items():
        print(f"{name} {array.dtype} {list(array.shape)}, {array.min():.4g} to {array.max():.4g}")
    if FLAGS.output:
        from vae_zoo.runs.files import atomic

        with atomic(FLAGS.output) as partial:
            np.savez_compressed(partial, **outputs)


def main():
    """The command's entry point."""
    cli.run(call, FLAGS)


if __name__ == "__main__":
    main()
