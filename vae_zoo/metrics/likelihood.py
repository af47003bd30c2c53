"""The bounds of a trained model on images, in nats.

    log p(x) >= E log 1/K sum_k w_k,   w_k = p(x, z_k) / q(z_k | x),   z_k ~ q(z | x)

Burda et al. (2016), eq. 8. An image is encoded once; its samples are decoded in large batches, and
their log-weights go into a streaming log-sum-exp, so that memory does not grow with K. The noise is
a function of (seed, block of images, chunk of samples): an interrupted evaluation that goes on
gives the figures of an uninterrupted one.
"""

import hashlib
import logging
import math
import pathlib
import time
import weakref
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vae_zoo.elbo import log_weights
from vae_zoo.metrics.latent_space import ACTIVE_VARIANCE

tfd = tfp.distributions

_BLOCK = 32  # images encoded together
_DECODES = 1024  # samples decoded together
_SAVE_SECONDS = 10
_COLUMNS = ("log_p", "distortion", "rate", "effective_samples")
_functions = weakref.WeakKeyDictionary()


class Evaluation(NamedTuple):
    """The figures of a model on a set of images, means over the images.

    Attributes:
        elbo: -rate - distortion, nats.
        rate: KL(q || p), nats; in closed form where there is one.
        distortion: -E_q log p(x | z), nats.
        nll: minus the importance-weighted bound on log p(x), nats; for a model that is a bound
            itself (`is_bound`), minus the ELBO.
        nll_stderr: its standard error over the images.
        bits_per_dim: nll / (pixels * channels * ln 2), for 8-bit images; else None.
        active_units: latent dimensions whose posterior mean varies by more than 0.01 over the
            images (Burda et al., 2016, section 5.2); None where there are none to count.
        rate_per_dimension: nats for each latent dimension, for a diagonal normal; else None.
        rate_per_layer: nats for each stochastic layer.
        effective_sample_size: (sum w)^2 / sum w^2, of num_samples.
        num_images, num_samples: what the figures come from.
        is_bound: importance weighting has no meaning for the model: nll is a variational bound.
    """

    elbo: float
    rate: float
    distortion: float
    nll: float
    nll_stderr: float
    bits_per_dim: Any
    active_units: Any
    rate_per_dimension: Any
    rate_per_layer: list
    effective_sample_size: float
    num_images: int
    num_samples: int
    is_bound: bool


def evaluate(
    model, images, labels=None, *, num_samples=1000, seed=0, progress=None, resume_file=None
):
    """Returns the Evaluation of a model on images.

    Args:
        model: a VAE.
        images: float32 [N, H, W, C] in [0, 1].
        labels: int32 [N], for a conditional model.
        num_samples: K, importance samples an image.
        seed: of the samples.
        progress: called with the share that is done, from 0 to 1.
        resume_file: where the images that are done are kept until all are; a later call with the
            same arguments goes on from there.
    """
    work = _Work(model, images, labels, num_samples, seed)
    results = _load(resume_file, work.fingerprint)
    saved_at = time.monotonic()
    for block in range(work.blocks):
        if block not in results:
            results[block] = work.run(block, progress)
        if resume_file and time.monotonic() - saved_at > _SAVE_SECONDS:
            _save(resume_file, work.fingerprint, results)
            saved_at = time.monotonic()
    if progress:
        progress(1.0)
    evaluation = work.summarise(results)
    if resume_file:
        pathlib.Path(resume_file).unlink(missing_ok=True)
    return evaluation


def estimate_seconds(model, images, labels=None, *, num_samples=1000):
    """Returns how long `evaluate` will take, from the time of one chunk of samples."""
    work = _Work(model, images, labels, num_samples, seed=0)
    work.run(0, chunks=1)
    started = time.monotonic()
    work.run(0, chunks=1)
    return (time.monotonic() - started) * work.blocks * work.chunks


class _Work:
    """An evaluation cut into blocks of images and chunks of samples."""

    def __init__(self, model, images, labels, num_samples, seed):
        self.model, self.images, self.seed = model, images, seed
        self.labels = labels if model.needs_labels else None
        self.num_samples = 1 if model.is_bound else num_samples
        self.chunk = min(self.num_samples, max(1, _DECODES // min(_BLOCK, len(images))))
        self.chunks = -(-self.num_samples // self.chunk)
        self.blocks = -(-len(images) // _BLOCK)
        self.first, self.accumulate = _compiled(model)

    @property
    def fingerprint(self):
        """What the figures depend on, as text."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images).tobytes())
        for weight in self.model.weights:
            digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
        return f"{digest.hexdigest()} {self.num_samples} {self.seed}"

    def run(self, block, progress=None, chunks=None):
        """Returns a block's columns: _COLUMNS, rates per layer and dimension, moments of z."""
        inputs, count = self._inputs(block)
        encoded = self.model.encode(tf.constant(inputs["image"]), inputs.get("label"))
        size = len(inputs["image"])
        key = tf.constant([self.seed, block * self.chunks], tf.int32)
        layers, dimensions, mean, spread = self.first(encoded, inputs.get("label"), key)
        state = tuple(tf.fill([size], value) for value in (-math.inf, -math.inf, 0.0))
        for chunk in range(chunks or self.chunks):
            number = min(self.chunk, self.num_samples - chunk * self.chunk)
            key = tf.constant([self.seed, block * self.chunks + chunk], tf.int32)
            state = self.accumulate(inputs, encoded, key, number, *state)
            if progress:
                progress((block + (chunk + 1) / self.chunks) / self.blocks)
        top, squares, distortion = (part.numpy().astype(np.float64) for part in state)
        rate = layers.numpy().sum(1)
        columns = [
            top - math.log(self.num_samples),
            distortion / self.num_samples,
            rate,
            np.exp(2 * top - squares),
        ]
        parts = [np.stack(columns, axis=1), layers, dimensions, mean, spread]
        return [np.asarray(part, np.float64)[:count] for part in parts]

    def summarise(self, results):
        """Returns the Evaluation of all blocks' columns."""
        parts = [np.concatenate([results[b][i] for b in range(self.blocks)]) for i in range(5)]
        columns, layers, dimensions, mean, spread = parts
        log_p, distortion, rate, effective = columns.T
        if self.model.is_bound:
            log_p = -distortion - rate
        count = len(log_p)
        nll = float(-log_p.mean())
        pixels = math.prod(self.model.image_shape)
        grey = self.model.likelihood_name == "discretized_logistic"
        # The variance of a mean of samples is too large by that of the samples over their number.
        active = (mean.var(axis=0) - spread.mean(axis=0)) > ACTIVE_VARIANCE
        return Evaluation(
            elbo=float(-distortion.mean() - rate.mean()),
            rate=float(rate.mean()),
            distortion=float(distortion.mean()),
            nll=nll,
            nll_stderr=float(log_p.std(ddof=1) / math.sqrt(count)) if count > 1 else math.nan,
            bits_per_dim=nll / (pixels * math.log(2)) if grey else None,
            active_units=int(active.sum()) if mean.shape[1] else None,
            rate_per_dimension=list(dimensions.mean(axis=0)) if dimensions.shape[1] else None,
            rate_per_layer=list(layers.mean(axis=0)),
            effective_sample_size=float(effective.mean()),
            num_images=count,
            num_samples=self.num_samples,
            is_bound=self.model.is_bound,
        )

    def _inputs(self, block):
        """Returns the inputs of a block, filled up to one size, and how many are real."""
        rows = np.arange(block * _BLOCK, min((block + 1) * _BLOCK, len(self.images)))
        full = np.resize(rows, min(_BLOCK, len(self.images)))
        inputs = {"image": self.images[full]}
        if self.labels is not None:
            inputs["label"] = tf.constant(self.labels[full])
        return inputs, len(rows)


def _compiled(model):
    """Returns the model's two functions, traced once however often it is evaluated."""
    if model not in _functions:
        reference = weakref.ref(model)
        first = tf.function(lambda *args: _first(reference(), *args), reduce_retracing=True)
        accumulate = tf.function(
            lambda *args: _accumulate(reference(), *args), reduce_retracing=True
        )
        _functions[model] = first, accumulate
    return _functions[model]


def _first(model, encoded, label, key):
    """Returns what needs no decoder: rates [B, L] and [B, D], mean of z and its error [B, D']."""
    samples = 1 if model.is_bound else 16
    latents = model.infer(encoded, label, samples, key)
    rates = [model.rate(latent) for latent in latents]
    batch = tf.shape(tf.nest.flatten(encoded)[0])[0]
    rates = [
        tf.reduce_mean(tf.broadcast_to(rate, [tf.maximum(samples, 1), batch]), axis=0)
        for rate in rates
    ]
    moments = [_moments(latent) for latent in latents if latent.z is not None]
    moments = [pair for pair in moments if pair is not None]
    empty = tf.zeros([batch, 0])
    mean = tf.concat([empty, *(pair[0] for pair in moments)], axis=1)
    spread = tf.concat([empty, *(pair[1] for pair in moments)], axis=1)
    dimensions = _rate_per_dimension(latents[0]) if len(latents) == 1 else None
    return tf.stack(rates, axis=1), empty if dimensions is None else dimensions, mean, spread


def _moments(latent):
    """Returns E_q[z] and the squared error of that estimate, [B, D]; None for fixed codes."""
    if _is_diagonal_normal(latent.posterior) and len(latent.posterior.batch_shape) == 1:
        mean = latent.posterior.mean()
        mean = tf.reshape(mean, [tf.shape(mean)[0], -1])
        return mean, tf.zeros_like(mean)
    if latent.z.dtype != tf.float32 or latent.z.shape[0] == 1:
        return None
    z = tf.reshape(latent.z, [latent.z.shape[0], tf.shape(latent.z)[1], -1])
    mean, variance = tf.nn.moments(z, axes=[0])
    return mean, variance / (z.shape[0] - 1)


def _rate_per_dimension(latent):
    if not (_is_diagonal_normal(latent.posterior) and _is_diagonal_normal(latent.prior)):
        return None
    rate = tfd.kl_divergence(latent.posterior.distribution, latent.prior.distribution)
    return tf.reshape(rate, [tf.shape(rate)[0], -1])


def _is_diagonal_normal(distribution):
    return isinstance(distribution, tfd.Independent) and isinstance(
        distribution.distribution, tfd.Normal
    )


def _accumulate(model, inputs, encoded, key, number, top, squares, distortion):
    """Adds a chunk of samples to log sum w, log sum w^2 and the summed distortion, [B] each."""
    terms = model.terms(inputs, num_samples=number, analytic=False, seed=key, encoded=encoded)
    weights = log_weights(terms)  # [B, K]
    join = tf.math.reduce_logsumexp
    top = join(tf.concat([top[:, tf.newaxis], weights], axis=1), axis=1)
    squares = join(tf.concat([squares[:, tf.newaxis], 2.0 * weights], axis=1), axis=1)
    return top, squares, distortion - tf.reduce_sum(terms.log_likelihood, axis=1)


def _save(path, fingerprint, results):
    arrays = {f"{block}-{i}": part for block in results for i, part in enumerate(results[block])}
    partial = pathlib.Path(path).with_suffix(".writing.npz")
    np.savez(partial, fingerprint=fingerprint, **arrays)
    partial.replace(path)


def _load(path, fingerprint):
    """Returns the blocks that an interrupted evaluation had done; none if it was another one."""
    if not path or not pathlib.Path(path).exists():
        return {}
    results = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["fingerprint"]) != fingerprint:
                return {}
            for name in file.files:
                if name != "fingerprint":
                    block, part = map(int, name.split("-"))
                    results.setdefault(block, [None] * 5)[part] = file[name]
    except Exception as error:
        logging.warning("%s cannot be read (%s): starting again", path, type(error).__name__)
        return {}
    return results
