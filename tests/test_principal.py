"""Principal components past the networks: the bound that a model starts at, what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import distinct_models

import vae_zoo
from vae_zoo.probability import elbo

GAINS = np.array([4.0, 3.0, 2.0, 1.0, 0.5, 0.25], np.float32)
NOISE = 0.15  # in units of the locations: 19 grey levels


def drawn(shape, count=1500):
    """Returns (images in [0, 1] of 8 bits, components [pixels, 6]) of a linear-Gaussian law."""
    rng = np.random.default_rng(0)
    coarse = tf.image.resize(rng.normal(size=(len(GAINS), 4, 4, shape[-1])), shape[:2]).numpy()
    components = np.linalg.qr(coarse.reshape(len(GAINS), -1).T)[0].astype(np.float32)
    z = rng.normal(size=(count, len(GAINS))).astype(np.float32)
    noise = rng.normal(size=(count, *shape)).astype(np.float32)
    x = (z * GAINS) @ components.T + NOISE * noise.reshape(count, -1)
    images = np.clip(np.round((x + 1) * 127.5), 0, 255) / 255
    return images.reshape(-1, *shape).astype(np.float32), components


def bound(model, images):
    """Returns the mean ELBO in nats."""
    return float(np.mean(elbo.elbo(model.terms({"image": images}, seed=(0, 0)))))


def started(tiny, shape, images, **arguments):
    given = {"likelihood": "normal", "latent_size": 8, "principal": True, **arguments}
    model = tiny("conv_vae", image_shape=shape, **given)
    model.start_at(images)
    return model


def test_the_bound_starts_at_the_log_likelihood_of_the_linear_law(tiny):
    """Known: log N(x; 0, U G^2 U' + s^2), of locations; a pixel is half of one."""
    shape = (16, 16, 3)
    images, components = drawn(shape)
    pixels = np.prod(shape)
    model = started(tiny, shape, images)
    x = 2 * images[:300].reshape(300, -1) - 1
    z = x @ components
    variances = GAINS**2 + NOISE**2
    squares = (z**2 / variances).sum(1) + ((x**2).sum(1) - (z**2).sum(1)) / NOISE**2
    log_determinant = np.log(variances).sum() + 2 * (pixels - len(GAINS)) * np.log(NOISE)
    known = -(squares + log_determinant + pixels * np.log(2 * np.pi)) / 2 + pixels * np.log(2)
    found = bound(model, images[:300])
    assert found == pytest.approx(known.mean(), abs=6)  # nats, of some 900
    assert found < known.mean()
    posterior = model.posterior(images[:1])
    assert posterior.stddev().numpy()[0, 0] == pytest.approx(NOISE / GAINS[0], rel=0.2)


@pytest.mark.parametrize("shape", [(100, 75, 1), (33, 64, 3), (8, 8, 1)])
@pytest.mark.parametrize("scale", ["shared", "channel", "pixel"])
def test_images_of_any_size_are_made_again(shape, scale, tiny):
    images, _ = drawn(shape, 400)
    model = started(tiny, shape, images, likelihood="discretized_logistic", scale=scale)
    made = model.reconstruct(images[:50]).numpy()
    left = np.mean((images[:50] - made) ** 2)
    assert left == pytest.approx((NOISE / 2) ** 2, rel=0.2)  # the noise alone
    assert np.isfinite(bound(model, images[:50]))


def test_training_goes_on_from_there(tiny):
    shape = (16, 16, 3)
    images, _ = drawn(shape)
    model = started(tiny, shape, images, likelihood="discretized_logistic", channels="linear")
    kept = [weight.numpy() for weight in model.principal_path.weights]
    before = bound(model, images[:300])
    model.compile(optimizer="adam")
    model.fit({"image": images}, batch_size=50, epochs=2, verbose=0)
    after = bound(model, images[:300])
    assert after > before - 10
    for value, weight in zip(kept, model.principal_path.weights, strict=True):
        np.testing.assert_array_equal(value, weight.numpy())


def test_it_is_saved_with_the_model(tiny, tmp_path):
    images, _ = drawn((16, 16, 1), 200)
    model = started(tiny, (16, 16, 1), images)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.reconstruct(images[:3]), model.reconstruct(images[:3]))


@pytest.mark.parametrize("images", [drawn((16, 16, 1), 12)[0], np.zeros((60, 16, 16, 1))])
def test_of_a_few_images_or_of_one_nothing_is_found(images, tiny):
    images = images.astype(np.float32)
    model = started(tiny, (16, 16, 1), images, likelihood="discretized_logistic")
    assert not model.principal_path.gains.numpy().any()
    assert np.isfinite(bound(model, images))
    assert all(np.isfinite(weight.numpy()).all() for weight in model.weights)


def test_fit_finds_them_in_its_own_data(tiny):
    images, _ = drawn((16, 16, 1), 200)
    model = tiny("conv_vae", image_shape=(16, 16, 1), likelihood="normal", principal=True)
    model.compile(optimizer="adam")
    model.fit(images, batch_size=50, epochs=1, verbose=0)
    assert model.principal_path.gains.numpy().any()


@pytest.mark.parametrize("name", distinct_models())
def test_every_model_takes_them_or_refuses(name, tiny):
    images, _ = drawn((16, 16, 1), 100)
    given = {"image_shape": (16, 16, 1), "likelihood": "discretized_logistic"}
    plain = tiny(name, **given)
    try:
        model = tiny(name, principal=True, **given)
    except vae_zoo.UserError as error:
        assert "principal=True does not combine with" in str(error)
        assert name not in ("vae", "conv_vae", "resnet_vae", "beta_vae", "iwae", "info_vae")
        return
    bounds = []
    for each in (plain, model):
        each.start_at(images)
        bounds.append(bound(each, images))
    assert np.isfinite(bounds).all()
    if model.prior_name == "standard":
        assert bounds[1] > bounds[0]


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("conv_vae", {"likelihood": "bernoulli"}),
        ("conv_vae", {"posterior": "iaf"}),
        ("hvae", {}),
        ("cvae", {"num_classes": 3}),
        ("spatial_vae", {}),
        ("ladder_vae", {}),
    ],
)
def test_what_it_does_not_combine_with_is_refused(name, arguments, tiny):
    given = {"image_shape": (16, 16, 1), "likelihood": "normal", "principal": True, **arguments}
    with pytest.raises(vae_zoo.UserError, match="principal=True does not combine with"):
        tiny(name, **given)


def test_it_is_true_or_false(tiny):
    with pytest.raises(vae_zoo.UserError, match="principal='yes': expected True or False"):
        tiny("conv_vae", principal="yes")
