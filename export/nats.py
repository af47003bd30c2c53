"""What quantisation costs, in nats: ELBO and NLL of the test images under a quantised decoder.

The posterior is Keras's, and all files decode the same z: the differences are paired.
"""

import numpy as np
import tensorflow as tf

from export import signatures, tflite
from vae_zoo.metrics import likelihood
from vae_zoo.probability import elbo

IMAGES, SAMPLES = 500, 100
_BATCH = 16
_CHUNK = 10  # samples of z drawn at once
_SEED = 2026


def measure_nats(model, paths, splits, *, num_images=IMAGES, num_samples=SAMPLES):
    """Returns the test ELBO and NLL of a model with its decoder out of TFLite files.

    Args:
        model: a vae_zoo.VAE.
        paths: {format: TFLite file}; what is not of tflite.FORMATS is left out.
        splits: vae_zoo.datasets.Splits, for the first test images.
        num_images: how many of them.
        num_samples: K, samples of z for each.

    Returns:
        {format: {"elbo", "nll", "nll_minus_float32", "nll_minus_float32_stderr", "num_images",
        "num_samples"}}, in nats an image; for a model without `decode`, or whose z is not all that
        an image is decoded from, {}.
    """
    found = signatures.signatures(model, ("decode",))
    image = splits.images("test", num_images)
    label = splits.labels("test", num_images) if model.needs_labels else None
    if not found or model.is_bound or not _one_layer(model, image[:1], label):
        return {}
    decoders = {
        kind: _Decoder(model, kind, path, found["decode"])
        for kind, path in paths.items()
        if kind in tflite.FORMATS
    }
    weights, bounds = _log_weights(model, decoders, image, label, num_samples)
    return _figures(weights, bounds, num_samples)


def _one_layer(model, image, label):
    """Returns whether the model has one stochastic layer; tried with one image."""
    label = None if label is None else label[:1]
    encoded = model.features(tf.constant(image), label)
    return len(model.infer(encoded, label, 1, tf.constant([_SEED, 0], tf.int32))) == 1


class _Decoder:
    """log p(x | z) by the decoder of a TFLite file."""

    def __init__(self, model, kind, path, decode):
        from ai_edge_litert.interpreter import Interpreter

        self.model, self.output, name = model, "logits", f"decode_{_BATCH}"
        if model.likelihood_name == "bernoulli":
            interpreter = Interpreter(model_path=str(path), num_threads=1)
        else:  # a file gives the mean alone: the same decoder, giving its parameters
            content = _parameters_file(model, kind, decode)
            self.output, name = "parameters", f"parameters_{_BATCH}"
            interpreter = Interpreter(model_content=content, num_threads=1)
        self.runner = interpreter.get_signature_runner(name)

    def log_likelihood(self, image, z, label):
        """Returns log p(x | z) in nats, [K, B], for images [B, ...] and z [K, B, D]."""
        samples, count, size = z.shape
        label = None if label is None else np.tile(label, samples)
        parameters = self._decode(z.reshape([-1, size]), label)
        parameters = parameters.reshape([samples, count, *parameters.shape[1:]])
        return self.model.likelihood_part.distribution(parameters).log_prob(image).numpy()

    def _decode(self, z, label):
        missing = -len(z) % _BATCH
        rows = {"z": np.pad(z, [(0, missing), (0, 0)])}
        if label is not None:
            rows["label"] = np.pad(label, (0, missing)).astype(np.int32)
        parts = [
            np.array(self.runner(**{k: v[i : i + _BATCH] for k, v in rows.items()})[self.output])
            for i in range(0, len(rows["z"]), _BATCH)
        ]
        return np.concatenate(parts)[: len(z)]


def _parameters_file(model, kind, decode):
    def parameters(z, label=None):
        return {"parameters": model.pixel_parameters(model.decoder_inputs(z, label))}

    signature = decode._replace(name="parameters", function=parameters)
    if kind == tflite.FLOAT32:
        return tflite.convert([signature], (_BATCH,))
    return tflite.quantized(model, kind, [signature], batches=(_BATCH,))


def _log_weights(model, decoders, image, label, num_samples):
    """Returns ({format: log-weights [B, K]}, {format: ELBO [B]})."""
    encoded = model.features(tf.constant(image), label)
    weights, bounds = {kind: [] for kind in decoders}, {kind: [] for kind in decoders}
    for chunk, start in enumerate(range(0, num_samples, _CHUNK)):
        count = min(_CHUNK, num_samples - start)
        seed = tf.constant([_SEED, chunk], tf.int32)
        latent = model.infer(encoded, label, count, seed)[-1]
        sampled = model.rate(latent, analytic=False).numpy()  # [K, B]
        analytic = model.rate(latent).numpy()  # [B], or [K, B]
        for kind, decoder in decoders.items():
            found = decoder.log_likelihood(image, latent.z.numpy(), label)
            weights[kind].append(found - sampled)
            bounds[kind].append(found - analytic)
    return (
        {kind: np.concatenate(parts).T for kind, parts in weights.items()},
        {kind: np.concatenate(parts).mean(0) for kind, parts in bounds.items()},
    )


def _figures(weights, bounds, num_samples):
    losses = {
        kind: -elbo.importance_weighted_bound(tf.constant(each)).numpy()
        for kind, each in weights.items()
    }
    figures = {}
    for kind, nll in losses.items():
        difference = nll - losses[tflite.FLOAT32]
        figures[kind] = {
            "elbo": float(bounds[kind].mean()),
            "nll": float(nll.mean()),
            "nll_minus_float32": float(difference.mean()),
            "nll_minus_float32_stderr": likelihood.standard_error(difference),
            "num_images": len(nll),
            "num_samples": num_samples,
        }
    return figures
