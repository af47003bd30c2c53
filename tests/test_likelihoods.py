"""Likelihoods of grey values: closed forms against TFP's; where they start; colour; densities."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import vae_zoo
from vae_zoo import noise
from vae_zoo.probability import densities, discretized, likelihoods

tfd = tfp.distributions
LEVELS = np.arange(256, dtype=np.float32) / 255
EXTREME = (-1e4, -30.0, -1.0, 0.0, 1.0, 30.0, 1e4)
SHAPE = (16, 16, 3)
# Arguments of the 8-bit likelihood that change what it is made of.
VARIANTS = [
    {},
    {"scale": "channel", "mixture_components": 3},
    {"scale": "pixel", "channels": "linear"},
    {"scale": "pixel", "mixture_components": 2, "channels": "linear"},
]


def names(variant):
    return "-".join(map(str, variant.values())) or "default"


def tfp_quantized(location, log_scale):
    """Returns TFP's quantised logistic of the same parameters, in float64."""
    level = tf.cast(discretized.HALF * (1.0 + tf.cast(location, tf.float64)), tf.float64)
    scale = tf.exp(tf.cast(discretized.level_log_scale(log_scale), tf.float64))
    # Its bins end at the levels: half a level less makes it round to the nearest.
    return tfd.QuantizedDistribution(tfd.Logistic(level - 0.5, scale), low=0.0, high=255.0)


def pixels(rng, count):
    """Returns (location, log_scale) of `count` pixels, black to white, sharp to flat."""
    location = rng.uniform(-1.2, 1.2, count).astype(np.float32)
    return tf.constant(location), tf.constant(rng.uniform(-6, 1, count).astype(np.float32))


def probabilities(pixel):
    """Returns the probability of each of the 256 levels, float64 [256, N]."""
    return np.exp(np.asarray(pixel.log_prob(LEVELS[:, np.newaxis]), np.float64))


def test_log_probabilities_are_those_of_tfp_at_every_grey_level():
    location, log_scale = pixels(np.random.default_rng(0), 200)
    ours = discretized.DiscretizedLogistic(location, log_scale).log_prob(LEVELS[:, np.newaxis])
    theirs = tfp_quantized(location, log_scale).log_prob(np.arange(256.0)[:, np.newaxis]).numpy()
    finite = theirs > -300  # far out TFP's own is minus infinity
    assert finite.mean() > 0.4
    np.testing.assert_allclose(ours.numpy()[finite], theirs[finite], rtol=1e-5, atol=1e-4)


def test_gradients_are_those_of_tfp():
    location, log_scale = pixels(np.random.default_rng(1), 100)
    found = []
    for kind in (discretized.DiscretizedLogistic, tfp_quantized):
        at = np.arange(256.0)[:, np.newaxis]
        with tf.GradientTape() as tape:
            tape.watch([location, log_scale])
            value = kind(location, log_scale).log_prob(at if kind is tfp_quantized else at / 255)
            total = tf.reduce_sum(tf.where(value > -50.0, value, 0.0))
        found.append(tape.gradient(total, [location, log_scale]))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3 * np.abs(theirs).max())


def test_a_scale_that_pixels_share_gets_the_sum_of_their_gradients():
    location = tf.random.stateless_normal([4, 5, 3], [0, 0])
    image = np.random.default_rng(0).integers(0, 256, (5, 3)) / np.float32(255)
    gradients = []
    for log_scale in (tf.constant([-1.0, -2.0, 0.0]), tf.zeros([4, 5, 3]) + [-1.0, -2.0, 0.0]):
        with tf.GradientTape() as tape:
            tape.watch([location, log_scale])
            value = discretized.DiscretizedLogistic(location, log_scale).log_prob(image)
        gradients.append(tape.gradient(value, [location, log_scale]))
    (ours, shared), (theirs, full) = gradients
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    np.testing.assert_allclose(shared, tf.reduce_sum(full, [0, 1]), rtol=1e-4)


def test_the_levels_of_a_pixel_sum_to_one():
    pixel = discretized.DiscretizedLogistic(*pixels(np.random.default_rng(2), 100))
    np.testing.assert_allclose(probabilities(pixel).sum(0), 1.0, atol=1e-4)


def test_the_mean_is_that_of_the_256_levels_to_half_a_level():
    rng = np.random.default_rng(3)
    logits = tf.constant(rng.normal(size=(200, 3)), tf.float32)
    parts = [tf.reshape(value, [200, 3]) for value in pixels(rng, 600)]
    for pixel in (
        discretized.DiscretizedLogistic(*pixels(rng, 200)),
        discretized.discretized_logistic_mixture(logits, *parts),
    ):
        exact = (probabilities(pixel) * LEVELS[:, np.newaxis]).sum(0)
        np.testing.assert_allclose(pixel.mean(), exact, atol=0.5 / 255)


def test_samples_are_levels_with_the_probabilities_that_they_should_have():
    pixel = discretized.DiscretizedLogistic(tf.constant([-1.0, 0.3]), tf.constant([-3.0, -1.5]))
    drawn = pixel.sample(20_000, seed=1).numpy()
    np.testing.assert_allclose(drawn * 255, np.round(drawn * 255), atol=1e-4)
    np.testing.assert_allclose(drawn.mean(0), pixel.mean(), atol=0.01)
    share_of_black = (drawn[:, 0] == 0).mean()
    assert share_of_black == pytest.approx(float(tf.exp(pixel.log_prob(0.0))[0]), abs=0.02)


@pytest.mark.parametrize("pixel", [0.0, 1 / 255, 0.5, 254 / 255, 1.0])
def test_value_and_gradient_are_finite_everywhere(pixel):
    location, log_scale = (
        tf.constant(grid.reshape(-1), tf.float32) for grid in np.meshgrid(EXTREME, EXTREME)
    )
    with tf.GradientTape() as tape:
        tape.watch([location, log_scale])
        distribution = discretized.DiscretizedLogistic(location, log_scale)
        value = distribution.log_prob(pixel)
    assert np.isfinite(value).all() and np.max(value) <= 1e-6
    assert all(np.isfinite(g).all() for g in tape.gradient(value, [location, log_scale]))
    mean = distribution.mean().numpy()
    assert ((mean >= 0) & (mean <= 1)).all()


def test_a_sharp_logistic_knows_its_pixel():
    for level in (0, 128, 255):
        sharp = discretized.DiscretizedLogistic([2 * level / 255 - 1.0], [-20.0])
        assert probabilities(sharp).argmax() == level
        assert float(sharp.mean()[0]) == pytest.approx(level / 255, abs=2e-4)


def test_a_mixture_of_like_components_is_one_of_them():
    location, log_scale = pixels(np.random.default_rng(4), 50)
    alike = [tf.repeat(value[:, tf.newaxis], 3, axis=1) for value in (location, log_scale)]
    mixture = discretized.discretized_logistic_mixture(tf.zeros([50, 3]), *alike)
    one = discretized.DiscretizedLogistic(location, log_scale)
    np.testing.assert_allclose(mixture.log_prob(0.5), one.log_prob(0.5), rtol=1e-5, atol=1e-4)


# The part of a model: its weights, where it starts, what it is made of.


@pytest.fixture(scope="module")
def images():
    """200 colour images, each grey level around another mean in each pixel."""
    rng = np.random.default_rng(0)
    mean = rng.integers(60, 190, SHAPE)
    drawn = np.clip(mean + rng.normal(0, 20, (200, *SHAPE)), 0, 255)
    return np.round(drawn).astype(np.float32) / 255


def model_of(**arguments):
    given = {"likelihood": "discretized_logistic", "network": "conv", "hidden": (8,), **arguments}
    return vae_zoo.VAE(SHAPE, 4, **given)


@pytest.mark.parametrize("variant", VARIANTS, ids=names)
def test_each_variant_trains_saves_and_means_the_same_again(variant, images, tmp_path):
    model = model_of(**variant)
    model.start_at(images)
    model.compile("adam")
    model.fit({"image": images[:64]}, batch_size=32, epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    copy = vae_zoo.VAE.from_config(model.get_config())
    copy.load_weights(tmp_path / "model.keras")
    inputs, seed = {"image": images[:8]}, tf.constant([0, 1])
    loss = model.terms(inputs, seed=seed).loss
    assert np.isfinite(loss).all()
    np.testing.assert_allclose(loss, copy.terms(inputs, seed=seed).loss, rtol=1e-6)
    decoded = model.decode(tf.zeros([2, 4]))
    np.testing.assert_allclose(decoded, copy.decode(tf.zeros([2, 4])), rtol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS, ids=names)
def test_graphs_xla_and_bfloat16_give_what_eager_float32_does(variant, images):
    model, short = model_of(**variant), model_of(dtype="mixed_bfloat16", **variant)
    short.set_weights(model.get_weights())
    z = tf.random.stateless_normal([4, 4], [0, 0])

    def log_prob(model):
        with tf.GradientTape() as tape:
            value = model.likelihood(z).log_prob(images[:4])
        return value, tape.gradient(value, model.likelihood_part.log_scale.value)

    wanted = log_prob(model)
    for jit in (False, True):
        found = tf.function(log_prob, jit_compile=jit)(model)
        for ours, theirs in zip(found, wanted, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2e-4)
    low = log_prob(short)
    assert low[0].dtype == tf.float32
    np.testing.assert_allclose(low[0], wanted[0], rtol=0.02)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("variant", VARIANTS, ids=names)
def test_a_call_in_half_precision_takes_the_pixels_own_weights_as_they_are(variant, dtype, images):
    """Within a layer's call Keras casts weights, unless they say otherwise."""
    model, short = model_of(**variant), model_of(dtype=dtype, **variant)
    short.set_weights(model.get_weights())
    wanted, found = (each({"image": images[:4]}).log_likelihood for each in (model, short))
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, wanted, rtol=0.02)


@pytest.mark.parametrize("scale", likelihoods.SCALES)
def test_an_untrained_model_starts_at_the_mean_and_deviation_of_the_images(scale, images):
    model = model_of(scale=scale)
    before = model.likelihood(tf.zeros([1, 4])).log_prob(images).numpy().mean()
    model.start_at(images)
    decoded = model.decode(tf.zeros([1, 4]))[0]
    assert np.abs(decoded - images.mean(0)).mean() < 0.02
    bits = -model.likelihood(tf.zeros([1, 4])).log_prob(images).numpy().mean() / 768 / math.log(2)
    # The entropy of a normal of 20 levels.
    assert bits == pytest.approx(0.5 * math.log2(2 * math.pi * math.e * 400), abs=0.1)
    assert -bits * 768 * math.log(2) > before + 300


def test_a_start_is_made_once_and_kept(images):
    model = model_of()
    model.start_at(images)
    weights = model.get_weights()
    model.start_at(images[:10])
    copy = vae_zoo.VAE.from_config(model.get_config())
    copy.set_weights(weights)
    copy.start_at(images[:10])
    for ours, kept, theirs in zip(model.get_weights(), weights, copy.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, kept)
        np.testing.assert_array_equal(theirs, kept)


def test_fit_starts_at_its_own_images(images):
    model = model_of()
    model.compile("adam")
    data = tf.data.Dataset.from_tensor_slices({"image": images}).batch(50)
    model.fit(data, epochs=1, verbose=0)
    np.testing.assert_allclose(
        model.likelihood_part.pixel_mean, 2 * images.mean(0) - 1, rtol=1e-4, atol=1e-5
    )
    other = model_of()
    other.compile("adam")
    other.evaluate(data, verbose=0)  # is no training
    assert not other.likelihood_part.is_started
    other.fit(np.uint8(np.round(images * 255)), epochs=1, verbose=0)
    trained = other.likelihood_part.pixel_mean.numpy()
    np.testing.assert_allclose(trained, model.likelihood_part.pixel_mean, atol=1e-5)
    model.fit(data.take(1), epochs=1, verbose=0)
    np.testing.assert_array_equal(model.likelihood_part.pixel_mean, trained)


def test_a_shared_scale_finds_its_optimum_within_a_few_hundred_steps(images):
    model = model_of()
    part = model.likelihood_part
    model.start_at(np.float32([[0.0], [1.0]])[:, :, np.newaxis, np.newaxis] * np.ones(SHAPE))
    part.pixel_mean.assign(2 * images.mean(0) - 1)
    optimizer = tf.keras.optimizers.Adam(1e-3)
    optimizer.build([part.log_scale])

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            value = -tf.reduce_mean(part.distribution(tf.zeros([1, *SHAPE])).log_prob(images))
        optimizer.apply([tape.gradient(value, part.log_scale.value)])

    for _ in range(400):
        step()
    scale = np.exp(10 * part.log_scale.numpy()) * 127.5 * math.pi / math.sqrt(3)
    assert scale == pytest.approx(20, rel=0.1)


def test_binary_images_have_no_such_weights():
    assert len(model_of(likelihood="bernoulli").weights) == len(model_of().weights) - 2


WRONG = [
    ({"scale": "shred"}, "Did you mean 'shared'"),
    ({"channels": "lineal"}, "Did you mean 'linear'"),
    ({"mixture_components": 0}, "mixture_components=0"),
    ({"likelihood": "normal", "mixture_components": 2}, "does not combine"),
    ({"likelihood": "normal", "channels": "linear"}, "does not combine"),
    ({"likelihood": "bernoulli", "scale": "pixel"}, "has no scale"),
    ({"image_shape": (16, 16, 1), "channels": "linear"}, "colour"),
]


@pytest.mark.parametrize("arguments, message", WRONG)
def test_arguments_that_make_no_likelihood_are_refused(arguments, message):
    given = {"image_shape": SHAPE, "likelihood": "discretized_logistic", **arguments}
    with pytest.raises(vae_zoo.UserError, match=message):
        vae_zoo.VAE(latent_size=4, **given)


# Colour.


def linear_colour(slopes, location=(0.1, -0.1, 0.2), log_scale=-3.0):
    def pixels(location):
        return discretized.DiscretizedLogistic(location, tf.constant(log_scale))

    return discretized.LinearColour(pixels, tf.constant([location]), tf.constant([slopes]), -1)


def test_linear_colours_without_slopes_are_independent():
    image = np.float32([[0.3, 0.5, 0.9]])
    alone = discretized.DiscretizedLogistic(tf.constant([[0.1, -0.1, 0.2]]), tf.constant(-3.0))
    wanted = tf.reduce_sum(alone.log_prob(image), -1)
    np.testing.assert_allclose(linear_colour((0.0, 0.0, 0.0)).log_prob(image), wanted, rtol=1e-6)


def test_linear_colours_are_drawn_with_the_correlations_of_their_slopes():
    colour = linear_colour((5.0, 0.0, -5.0))  # green follows red, blue turns from green
    drawn = colour.sample(4000, seed=3).numpy()[:, 0]
    np.testing.assert_allclose(drawn.mean(0), colour.mean()[0], atol=0.01)
    assert np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1] == pytest.approx(math.sqrt(0.5), abs=0.05)
    assert np.corrcoef(drawn[:, 1], drawn[:, 2])[0, 1] == pytest.approx(-math.sqrt(2 / 3), abs=0.05)


def test_the_colours_of_a_pixel_sum_to_one():
    grid = np.stack(np.meshgrid(np.arange(0, 256), np.arange(0, 256), indexing="ij"), -1) / 255
    image = np.concatenate([grid, np.zeros((256, 256, 1))], -1).astype(np.float32)
    narrow = linear_colour((1.0, 0.5, 0.5), (0.1, -0.1, -40.0), -3.0)  # blue is surely black
    total = tf.reduce_sum(tf.exp(tf.cast(narrow.log_prob(image[:, :, np.newaxis]), tf.float64)))
    assert float(total) == pytest.approx(1.0, abs=1e-3)


# Densities.


def test_a_normal_is_the_mean_density_over_the_noise_of_dequantisation():
    normal = densities.DequantizedNormal(tf.constant(0.4), tf.constant(0.01))
    noisy = 0.41 + (np.arange(4000) + 0.5) / 4000 / 255 - 0.5 / 255
    mean = tfd.Normal(tf.constant(0.4, tf.float64), 0.01).log_prob(noisy).numpy().mean()
    assert float(normal.log_prob(0.41)) == pytest.approx(mean, abs=1e-3)
    sharp = densities.DequantizedNormal(tf.constant(0.4), tf.constant(1e-4))
    assert float(sharp.log_prob(0.4)) < float(normal.log_prob(0.4))


def test_continuous_bernoulli_is_that_of_tfp_and_finite_beyond():
    logits = tf.constant([-20.0, -3.0, -0.5, 0.5, 3.0, 20.0])
    ours = densities.ContinuousBernoulli(logits=logits)
    theirs = tfd.ContinuousBernoulli(logits=tf.cast(logits, tf.float64))
    for event in (0.0, 0.3, 1.0):
        np.testing.assert_allclose(ours.log_prob(event), theirs.log_prob(event), atol=1e-4)
    np.testing.assert_allclose(ours.mean(), theirs.mean(), atol=1e-5)


@pytest.mark.parametrize("logit", [-1e4, -0.1, -1e-6, 0.0, 1e-6, 0.1, 1e4])
def test_continuous_bernoulli_is_smooth_and_finite(logit):
    logits = tf.constant([logit - 1e-3, logit, logit + 1e-3])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        kind = densities.ContinuousBernoulli(logits=logits)
        value = kind.log_prob(0.3)
    gradient = tape.gradient(value, logits)
    assert np.isfinite(value).all() and np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient[0], gradient[2], atol=1e-3)
    assert (np.diff(kind.mean()) >= -1e-6).all()


@pytest.mark.parametrize("name", likelihoods.DENSITIES)
def test_densities_reconstruct_and_give_no_bits(name, images):
    from vae_zoo.metrics import likelihood

    model = model_of(likelihood=name)
    figures = likelihood.evaluate(model, images[:4], num_samples=2)
    assert figures.bits_per_dim is None and np.isfinite(figures.nll)
    generated = model.generate(noise.rows(0, 2))
    assert np.min(generated) >= 0 and np.max(generated) <= 1
