"""A STUB of TensorFlow Serving for the tests: its protos and its JSON, nothing of its engine.

It takes the flags of tensorflow_model_server that an export's README.md gives, answers Predict and
GetModelMetadata by gRPC and REST, and, as the real server does, refuses more rows than the largest
batch. It does not batch: requests run one by one.
"""

import concurrent.futures
import http.server
import json
import pathlib
import re
import sys
import threading

import grpc
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)


class Refused(Exception):
    """What the real server answers with INVALID_ARGUMENT or 400."""


class Model:
    """The newest version of a SavedModel under a base path."""

    def __init__(self, base_path, largest):
        versions = [path for path in pathlib.Path(base_path).iterdir() if path.name.isdecimal()]
        self.path = max(versions, key=lambda path: int(path.name))
        self.largest, self.lock, self.served = largest, threading.Lock(), 0
        with tf.Graph().as_default():
            self.session = tf.compat.v1.Session()
            loader = tf.compat.v1.saved_model.loader
            self.definitions = loader.load(self.session, ["serve"], str(self.path)).signature_def

    def predict(self, name, inputs):
        """Returns {output: array}, in the order of the signature."""
        signature = self.definitions[name]
        if {len(value) for value in inputs.values()} - set(range(1, self.largest + 1)):
            raise Refused("Task size is larger than maximum input batch size")
        feeds = {signature.inputs[key].name: value for key, value in inputs.items()}
        fetches = {key: info.name for key, info in sorted(signature.outputs.items())}
        with self.lock:
            self.served += 1
            return self.session.run(fetches, feeds)

    def predict_rows(self, body):
        """Returns the answer to a REST body in the row format."""
        signature = self.definitions[body["signature_name"]]
        inputs = {
            key: tf.constant([row[key] for row in body["instances"]], info.dtype).numpy()
            for key, info in signature.inputs.items()
        }
        outputs = {k: v.tolist() for k, v in self.predict(body["signature_name"], inputs).items()}
        if len(outputs) == 1:
            return {"predictions": next(iter(outputs.values()))}
        rows = zip(*outputs.values(), strict=True)
        return {"predictions": [dict(zip(outputs, row, strict=True)) for row in rows]}

    def definition_map(self):
        """Returns the SignatureDefMap."""
        found = get_model_metadata_pb2.SignatureDefMap()
        for name, definition in self.definitions.items():
            found.signature_def[name].CopyFrom(definition)
        return found


class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    """The gRPC interface."""

    def __init__(self, model):
        self.model = model

    def Predict(self, request, context):  # noqa: N802
        inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        try:
            outputs = self.model.predict(request.model_spec.signature_name, inputs)
        except Refused as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        answer = predict_pb2.PredictResponse()
        for key, value in outputs.items():
            answer.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        return answer

    def GetModelMetadata(self, request, context):  # noqa: N802
        answer = get_model_metadata_pb2.GetModelMetadataResponse()
        answer.metadata["signature_def"].Pack(self.model.definition_map())
        return answer


def rest_handler(model, name):
    """Returns the REST interface of a model, a handler class."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            if self.path != f"/v1/models/{name}/metadata":
                return self.answer(404, {"error": f"Not found: {self.path}"})
            found = json_format.MessageToDict(
                model.definition_map(), preserving_proto_field_name=True
            )
            self.answer(200, {"model_spec": {"name": name}, "metadata": {"signature_def": found}})

        def do_POST(self):  # noqa: N802
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != f"/v1/models/{name}:predict":
                return self.answer(404, {"error": f"Not found: {self.path}"})
            try:
                self.answer(200, model.predict_rows(body))
            except (Refused, ValueError, KeyError) as error:
                self.answer(400, {"error": str(error)})

        def answer(self, status, body):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *args):
            pass

    return Handler


def serve(name, base_path, rest_port=0, grpc_port=0, largest=64):
    """Starts both interfaces in threads; returns (model, REST server, gRPC server, gRPC port)."""
    model = Model(base_path, largest)
    rest = http.server.ThreadingHTTPServer(("127.0.0.1", rest_port), rest_handler(model, name))
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(model), server)
    grpc_port = server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    server.start()
    return model, rest, server, grpc_port


def main():
    """Serves as tensorflow_model_server would, until it is ended."""
    values = dict(flag.removeprefix("--").split("=", 1) for flag in sys.argv[1:])
    batching = pathlib.Path(values["batching_parameters_file"]).read_text(encoding="utf-8")
    largest = int(re.search(r"max_batch_size \{ value: (\d+) \}", batching).group(1))
    ports = int(values["rest_api_port"]), int(values["port"])
    server = serve(values["model_name"], values["model_base_path"], *ports, largest)[2]
    server.wait_for_termination()


if __name__ == "__main__":
    main()
