"""ELBO, rate, distortion and the importance-weighted bound of log p(x), in nats.

    log p(x) >= E [ log 1/K sum_k p(x, z_k) / q(z_k | x) ],  z_k ~ q(z | x)

Burda, Grosse and Salakhutdinov (2016), "Importance weighted autoencoders", eq. 8. An image is
encoded once; its samples are decoded in large batches, and their log-weights, each from its own
log-ratio, run into a streaming log-sum-exp. The noise is a function of (seed, block of images,
chunk of samples), so that an interrupted evaluation goes on to the same figures.
"""

import math
import time
import weakref
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from vae_zoo import errors, memory, replicas
from vae_zoo.metrics import latent_space, partial_results
from vae_zoo.metrics.stream import Stream

_BLOCK_DECODES = 1024  # images x samples in one decode: large matrices, yet within the cache
_CHUNKS_A_CALL = 32  # of a graph: a call takes seconds, and cannot be interrupted
_FEW, _FEW_SHARE = 5, 0.01  # effective samples, and their share of K, below which one is warned
_FEW_IMAGES = 16  # in a block of many samples each
_COLUMNS = 4  # log_likelihood, log p(x), effective sample size, ELBO; then a rate for each layer


class Evaluation(NamedTuple):
    """The figures of a set of images; means over images, in nats an image.

    Attributes:
        elbo: evidence lower bound: -distortion - rate.
        rate: KL(q(z | x) || p(z)), summed over the layers.
        distortion: -E_q [log p(x | z)].
        nll: negative importance-weighted bound, an upper bound of -log p(x); the negative ELBO
            where is_bound.
        nll_stderr: its standard error over images; NaN for a single image.
        bits_per_dim: nll / (H * W * C * ln 2), for 8-bit images; else None.
        active_units: latent dimensions whose mean varies over the images; see latent_space. None
            where is_bound.
        active_threshold: variance above which a unit is active.
        rate_per_dimension: KL of each latent dimension, for diagonal normals; else None.
        rate_per_layer: rate of each stochastic layer, top first, where there are several.
        effective_sample_size: (sum w)^2 / sum w^2 of an image's importance weights, the mean over
            images: how many of the K samples count; None where is_bound.
        num_images: images.
        num_samples: K, samples an image; where is_bound, those that its bound is the mean of.
        is_bound: True: nll is the variational bound, because importance weighting has no meaning
            for the model.
        given_label: True: every figure is of p(x | y), of images whose labels are told; it does not
            compare with figures of p(x).
    """

    elbo: float
    rate: float
    distortion: float
    nll: float
    nll_stderr: float
    bits_per_dim: float | None
    active_units: int | None
    active_threshold: float | None
    rate_per_dimension: list | None
    rate_per_layer: list | None
    effective_sample_size: float | None
    num_images: int
    num_samples: int
    is_bound: bool
    given_label: bool


class _Plan(NamedTuple):
    """How images x samples are cut: blocks of `images`, each in `chunks` of `samples`."""

    images: int
    samples: int
    chunks: int


def evaluate(
    model,
    images,
    labels=None,
    *,
    num_samples=1000,
    seed=0,
    progress=None,
    resume_file=None,
    block_decodes=None,
    workers=None,
):
    """Returns the Evaluation of a model on images.

    Args:
        model: a VAE.
        images: [N, H, W, C] in [0, 1], as the data set's policy binarises them; or 8-bit.
        labels: int [N], for a conditional model.
        num_samples: K, importance samples an image; where is_bound, at most `bound_samples`.
        seed: of the samples; the same seed gives the same figures.
        progress: called with the share that is done, in [0, 1].
        resume_file: where to keep what is done; the same call goes on from it. It is deleted at
            the end. One of other images, weights or settings is ignored with a warning.
        block_decodes: images x samples decoded at once; None is a good size.
        workers: replicas.Workers that all make this call, each of which computes a share of the
            blocks; None: one computes all. Several keep nothing in a file.

    Raises:
        UserError: for no images, pixels out of range, labels of another length, or a sample
            count below 1.
    """
    images, labels, num_samples = _check(model, images, labels, num_samples)
    plan = _plan(num_samples, images.shape, block_decodes)
    step = _block_function(model, plan)
    key = partial_results.fingerprint(model, images, labels, seed, plan, num_samples)
    workers = workers or replicas.Workers()
    store = partial_results.PartialResults(resume_file if workers.count == 1 else None, key)
    starts = range(0, len(images), plan.images)
    kept = [min(plan.images, len(images) - start) for start in starts]
    own = workers.share(len(kept))
    with store:
        for block in own[len(store.blocks) :]:
            rows = _block_rows(block, plan.images, len(images))
            result = step(_inputs(images, labels, rows), seed, block, num_samples, plan.chunks)
            store.add(result.numpy()[: kept[block]])
            if progress is not None:
                progress(len(store.blocks) / len(own))
    results = workers.joined(store.blocks, kept)
    statistics = latent_space.statistics(model, images, labels, seed=seed)
    store.delete()
    return _summarize(model, results, statistics, num_samples)


def estimate_seconds(model, images, labels=None, *, num_samples=1000, block_decodes=None):
    """Returns how long `evaluate` will take, in seconds: two chunks of one block, timed.

    Args:
        model: a VAE.
        images: float [N, H, W, C].
        labels: int [N], for a conditional model.
        num_samples: K, importance samples an image.
        block_decodes: as for `evaluate`.

    Raises:
        UserError: as `evaluate`.
    """
    images, labels, num_samples = _check(model, images, labels, num_samples)
    plan = _plan(num_samples, images.shape, block_decodes)
    step = _block_function(model, plan)
    inputs = _inputs(images, labels, _block_rows(0, plan.images, len(images)))
    step(inputs, 0, 0, num_samples, 1)  # traces
    seconds = []
    for chunks in (1, 3):
        start = time.perf_counter()
        step(inputs, 0, 0, num_samples, chunks).numpy()
        seconds.append(time.perf_counter() - start)
    chunk = max(0.0, seconds[1] - seconds[0]) / 2
    block = max(0.0, seconds[0] - chunk) + plan.chunks * chunk
    return block * math.ceil(len(images) / plan.images)


def few_effective(effective, num_samples):
    """Returns whether too few of K importance samples count: below 5, or below 1% of K.

    The bound is then that of a few samples: log p(x) may lie nats above it.

    Args:
        effective: effective sample size, the mean over images; None for a model without one.
        num_samples: K.
    """
    return effective is not None and effective < max(_FEW, _FEW_SHARE * num_samples)


def samples_of_use(model, num_samples):
    """Returns how many of so many samples an image `evaluate` takes; see VAE.bound_samples."""
    return min(num_samples, model.bound_samples or num_samples)


def _check(model, images, labels, num_samples):
    """Returns images as float32, labels as int32 or None, and how many samples are of use."""
    images = model.pixels(images)
    if num_samples < 1:
        raise errors.UserError(f"num_samples={num_samples}: expected at least 1.")
    if images.shape[1:] != model.image_shape or not len(images):
        raise errors.UserError(
            f"Expected images [N, {', '.join(map(str, model.image_shape))}], got an array of "
            f"{images.shape}."
        )
    labels = model.check_label(labels)
    num_samples = samples_of_use(model, num_samples)
    if labels is None:
        return images, None, num_samples
    if len(labels) != len(images):
        raise errors.UserError(
            f"Expected a label for each of {len(images)} images, got {len(labels)}."
        )
    return images, np.asarray(labels, np.int32), num_samples


def samples_at_once(num_samples, image_shape):
    """Returns how many samples of each image a chunk should have, and how many chunks."""
    plan = _plan(num_samples, (_FEW_IMAGES, *image_shape))
    return plan.samples, plan.chunks


def _plan(num_samples, shape, block_decodes=None):
    """Returns the _Plan, for images of a shape [N, H, W, C], that computes the fewest samples in
    vain."""
    num_images = shape[0]
    decodes = block_decodes or memory.images_at_once(shape[1:], _BLOCK_DECODES)
    most = min(num_samples, max(1, decodes // min(num_images, _FEW_IMAGES)))
    sizes = range(most, max(0, most // 2), -1)
    samples = min(sizes, key=lambda size: math.ceil(num_samples / size) * size)
    images = min(num_images, max(1, decodes // samples))
    return _Plan(images, samples, math.ceil(num_samples / samples))


def _block_rows(block, size, total):
    """Returns the rows of a block; the last one is filled up by going round."""
    return np.arange(block * size, (block + 1) * size) % total


def _inputs(images, labels, rows):
    inputs = {"image": tf.constant(images[rows])}
    return inputs if labels is None else {**inputs, "label": tf.constant(labels[rows])}


_FUNCTIONS = weakref.WeakKeyDictionary()  # model -> {plan: function}; a trace is worth keeping


def _block_function(model, plan):
    """Returns the compiled function of one block; see `evaluate_block`."""
    functions = _FUNCTIONS.setdefault(model, {})
    key = (plan.images, plan.samples)
    if key not in functions:
        functions[key] = _compile(weakref.ref(model), plan.samples)
    function = functions[key]

    def step(inputs, seed, block, num_samples, chunks):
        whole = None
        for begin in range(0, chunks, _CHUNKS_A_CALL):  # between calls a signal is heard
            end = min(begin + _CHUNKS_A_CALL, chunks)
            numbers = [seed, block * plan.chunks, num_samples, begin, end]
            part, exact = function(inputs, tf.constant(numbers, tf.int32))
            whole = part if whole is None else whole.merged(part)
        return whole.results(exact, min(num_samples, chunks * plan.samples))

    return step


def _compile(model, samples):
    @tf.function(reduce_retracing=True)
    def function(inputs, numbers):
        seed, first, num_samples, begin, end = tf.unstack(numbers)

        def key(chunk):
            return _key(seed, first + chunk)

        return _stream_block(model(), inputs, key, num_samples, samples, begin, end)

    return function


def evaluate_block(model, inputs, key, num_samples, samples, chunks):
    """Returns the results of a block of images, float64 [B, _COLUMNS + L]. Runs in a graph.

    The columns are log_likelihood, the bound of log p(x), the effective sample size, the ELBO, and
    a rate for each layer.

    Args:
        model: a VAE.
        inputs: {"image": [B, H, W, C], "label": [B]}.
        key: a function of a chunk's number that gives its noise key, int32 [2] or [B, 2].
        num_samples: K; what the last chunk has beyond it does not count.
        samples: samples a chunk, static.
        chunks: chunks to run.
    """
    state, exact = _stream_block(model, inputs, key, num_samples, samples, 0, chunks)
    return state.results(exact, tf.minimum(num_samples, chunks * samples))


def _stream_block(model, inputs, key, num_samples, samples, begin, end):
    """Returns the Stream of the chunks from `begin` up to `end`, and the exact rates."""
    image, label = model.check_inputs(inputs)
    encoded = model.features(image, label)
    with model.fixed_prior():
        exact = _analytic_rates(model, encoded, label, key(0))
        state = Stream.empty(image.shape[0], len(exact))
        for chunk in tf.range(begin, end):
            terms = model.terms(
                inputs,
                num_samples=samples,
                analytic=model.is_bound,
                seed=key(chunk),
                encoded=encoded,
            )
            counted = chunk * samples + tf.range(samples) < num_samples  # [samples]
            state = state.add(terms, counted)
    return state, exact


def _key(seed, index):
    """Returns a noise key that no training step has."""
    return tf.stack([seed, -2 - index])


def _analytic_rates(model, encoded, label, key):
    """Returns a list: KL of each layer whose posterior depends on the image alone, [B], or None.

    None is the mean of the samples' rates, which are the analytic ones where is_bound.
    """
    latents = model.infer(encoded, label, 1, key)
    if model.is_bound:
        return [None] * len(latents)
    rates = [model.rate(latent, analytic=True) for latent in latents]
    return [tf.cast(rate, tf.float64) if rate.shape.rank == 1 else None for rate in rates]


def _summarize(model, results, statistics, num_samples):
    log_likelihood, bound, effective, elbo = results[:, :_COLUMNS].mean(0).tolist()
    rates = results[:, _COLUMNS:].mean(0).tolist()
    per_image = -results[:, 3 if model.is_bound else 1]
    nll = elbo if model.is_bound else bound
    return Evaluation(
        elbo=elbo,
        rate=sum(rates),
        distortion=-log_likelihood,
        nll=-nll,
        nll_stderr=standard_error(per_image),
        bits_per_dim=bits_per_dim(model, -nll),
        active_units=statistics.active_units,
        active_threshold=statistics.active_threshold,
        rate_per_dimension=statistics.rate_per_dimension,
        rate_per_layer=rates if len(rates) > 1 else None,
        effective_sample_size=None if model.is_bound else effective,
        num_images=len(results),
        num_samples=num_samples,
        is_bound=bool(model.is_bound),
        given_label=bool(model.needs_labels),
    )


def standard_error(values):
    """Returns the standard error of the mean of values [N]; NaN of one."""
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan


def bits_per_dim(model, nll):
    """Returns nats an image as bits per dimension, for a model of 8-bit images; else None."""
    if model.likelihood_name != "discretized_logistic":
        return None
    return nll / (math.prod(model.image_shape) * math.log(2))
