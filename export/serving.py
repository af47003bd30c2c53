"""What TF Serving reads next to the SavedModel: warm-up records, three configurations, compose."""

import importlib
import pathlib

from export import extras, protofile, signatures

WARMUP = "assets.extra/tf_serving_warmup_requests"  # where TF Serving looks, inside a version
REST_PORT, GRPC_PORT = 8501, 8500
FILES = ("models.config", "batching.config", "monitoring.config", "compose.yaml")
DEFAULT = "serving_default"

_MODELS = """model_config_list {{
  config {{
    name: "{name}"
    base_path: "/models/{name}"
    model_platform: "tensorflow"
  }}
}}
"""
_BATCHING = """max_batch_size {{ value: {largest} }}
batch_timeout_micros {{ value: 1000 }}
max_enqueued_batches {{ value: 100 }}
num_batch_threads {{ value: 4 }}
{allowed}
"""
_MONITORING = """prometheus_config {
  enable: true
  path: "/monitoring/prometheus/metrics"
}
"""
_COMPOSE = """# docker compose up
services:
  serving:
    image: ${{TF_SERVING_IMAGE:-tensorflow/serving:latest}}
    ports:
      - "127.0.0.1:{rest}:{rest}"
      - "127.0.0.1:{grpc}:{grpc}"
    volumes:
      - ./saved_model/{name}:/models/{name}:ro
      - ./models.config:/config/models.config:ro
      - ./batching.config:/config/batching.config:ro
      - ./monitoring.config:/config/monitoring.config:ro
    # The image's own entry point serves one model; this one reads the configuration.
    entrypoint: ["/usr/bin/tensorflow_model_server"]
    command:
      - --port={grpc}
      - --rest_api_port={rest}
      - --model_config_file=/config/models.config
      - --enable_batching=true
      - --batching_parameters_file=/config/batching.config
      - --monitoring_config_file=/config/monitoring.config
    restart: unless-stopped
"""


def write_warmup(version_dir, name, model, found, max_batch_size):
    """Writes the requests that TF Serving replays before it answers: batch 1 and the largest.

    Args:
        version_dir: the SavedModel.
        name: the model's name at the server.
        model: a vae_zoo.VAE.
        found: {name: Signature} of the SavedModel.
        max_batch_size: the largest batch.
    """
    import tensorflow as tf

    path = pathlib.Path(version_dir) / WARMUP
    path.parent.mkdir(parents=True, exist_ok=True)
    examples = signatures.examples(model, found, max_batch_size)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature_name, inputs in _with_default(examples).items():
            for count in sorted({1, max_batch_size}):
                rows = {key: value[:count] for key, value in inputs.items()}
                record = prediction_log(predict_request(name, signature_name, rows))
                writer.write(record.SerializeToString())


def read_warmup(version_dir):
    """Returns [(signature name, inputs)] of a SavedModel's warm-up records."""
    import tensorflow as tf

    api = apis("prediction_log_pb2")
    records = tf.data.TFRecordDataset(str(pathlib.Path(version_dir) / WARMUP))
    requests = [
        api.PredictionLog.FromString(record.numpy()).predict_log.request for record in records
    ]
    found = []
    for request in requests:
        inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        found.append((request.model_spec.signature_name, inputs))
    return found


def predict_request(name, signature_name, inputs):
    """Returns a PredictRequest of arrays."""
    import tensorflow as tf

    request = apis("predict_pb2").PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature_name
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request


def describe_signatures(definitions):
    """Returns {signature: {"inputs": {name: tensor}, "outputs": {name: tensor}}}.

    A tensor is {"name", "dtype", "shape"}, the batch being -1.

    Args:
        definitions: {name: SignatureDef}.
    """
    import tensorflow as tf

    def tensors(infos):
        return {
            key: {
                "name": info.name,
                "dtype": tf.dtypes.as_dtype(info.dtype).name,
                "shape": [dimension.size for dimension in info.tensor_shape.dim],
            }
            for key, info in sorted(infos.items())
        }

    return {
        name: {"inputs": tensors(each.inputs), "outputs": tensors(each.outputs)}
        for name, each in sorted(definitions.items())
        if each.method_name == "tensorflow/serving/predict"
    }


def prediction_log(request):
    """Returns the PredictionLog that holds a PredictRequest."""
    log = apis("prediction_log_pb2").PredictionLog()
    log.predict_log.request.CopyFrom(request)
    return log


def write_configuration(directory, name, max_batch_size):
    """Writes FILES: models.config, batching.config, monitoring.config and compose.yaml.

    Args:
        directory: the export's.
        name: the model's name at the server.
        max_batch_size: the largest batch that the server forms.
    """
    allowed = "\n".join(f"allowed_batch_sizes: {n}" for n in allowed_batch_sizes(max_batch_size))
    texts = {
        "models.config": _MODELS.format(name=name),
        "batching.config": _BATCHING.format(largest=max_batch_size, allowed=allowed),
        "monitoring.config": _MONITORING,
        "compose.yaml": _COMPOSE.format(name=name, rest=REST_PORT, grpc=GRPC_PORT),
    }
    for file_name, text in texts.items():
        (pathlib.Path(directory) / file_name).write_text(text, encoding="utf-8")


def server_flags(directory, name, rest=REST_PORT, grpc=GRPC_PORT):
    """Returns the flags of tensorflow_model_server that serve an export.

    Args:
        directory: the export's.
        name: the model's name at the server.
        rest: port.
        grpc: port.
    """
    return [
        f"--port={grpc}",
        f"--rest_api_port={rest}",
        f"--model_name={name}",
        f"--model_base_path={directory}/saved_model/{name}",
        "--enable_batching=true",
        f"--batching_parameters_file={directory}/batching.config",
        f"--monitoring_config_file={directory}/monitoring.config",
    ]


def read_configuration(directory):
    """Returns the parsed (models, batching, monitoring) configurations of an export.

    Raises:
        google.protobuf.text_format.ParseError: for one that TF Serving would refuse.
    """
    directory = pathlib.Path(directory)
    messages = {
        "models.config": apis("model_server_config_pb2", "config").ModelServerConfig(),
        "batching.config": protofile.message_class(
            "batching_parameters.proto", "BatchingParameters"
        )(),
        "monitoring.config": protofile.message_class(
            "monitoring_config.proto", "MonitoringConfig"
        )(),
    }
    return tuple(
        protofile.parse_text((directory / name).read_text(encoding="utf-8"), message)
        for name, message in messages.items()
    )


def allowed_batch_sizes(largest):
    """Returns the batch sizes that requests are padded to: powers of two, then the largest."""
    return [2**n for n in range(largest.bit_length()) if 2**n < largest] + [largest]


def apis(module, package="apis"):
    """Returns a module of tensorflow-serving-api.

    Raises:
        UserError: where it is not installed.
    """
    extras.check(("saved_model",))
    return importlib.import_module(f"tensorflow_serving.{package}.{module}")


def _with_default(examples):
    return {**examples, DEFAULT: examples[signatures.default(examples)]}
