"""A user's own encoder, decoder, prior and posterior in a model of the zoo."""

import importlib.util
import pathlib

import keras
import numpy as np
import pytest
from keras import layers

import vae_zoo
from vae_zoo import networks
from vae_zoo.probability import codebook, distributions, likelihoods, posteriors

EXAMPLES = pathlib.Path(__file__).parent.parent / "docs" / "examples"


def example(name):
    """Returns a file of docs/examples as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def encoder_of(shape=(28, 28, 1), units=6):
    return keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(units)])


def decoder_of(inputs=3, shape=(28, 28, 1)):
    stack = [layers.Dense(int(np.prod(shape))), layers.Reshape(shape)]
    return keras.Sequential([keras.Input((inputs,)), *stack])


def model_of(**parts):
    given = {"image_shape": (28, 28, 1), "latent_size": 3, **parts}
    return vae_zoo.create_model("vae", **given)


def test_they_are_what_is_trained_and_saved(batch, tmp_path):
    encoder, decoder = encoder_of(), decoder_of()
    model = model_of(encoder=encoder, decoder=decoder)
    assert model.encoder is encoder and model.decoder is decoder
    before = encoder.get_weights()[0]
    model.compile(jit_compile=False)
    model.fit(batch["image"], verbose=0)
    assert (encoder.get_weights()[0] != before).any()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.generate(0, num=2), model.generate(0, num=2))
    assert loaded.encoder.output_shape == (None, 6)


def test_one_of_them_is_enough(batch):
    model = model_of(encoder=encoder_of(), network="conv")
    assert model.reconstruct(batch["image"]).shape == (8, 28, 28, 1)


@pytest.mark.parametrize(
    "parts, words",
    [
        ({"encoder": encoder_of((8, 8, 1))}, "a keras.Model [B, 28, 28, 1] -> [B, F], got"),
        ({"decoder": decoder_of(4)}, "expected a keras.Model [B, 3] -> [N, 28, 28, 1], got"),
        ({"decoder": decoder_of(3, (30, 28, 1))}, "got (None, 3) -> (None, 30, 28, 1)"),
        ({"encoder": keras.Sequential([layers.Flatten()])}, "Start it with a keras.Input"),
        ({"encoder": "conv"}, "encoder='conv': expected a keras.Model"),
    ],
)
def test_shapes_that_do_not_fit_are_named(parts, words):
    with pytest.raises(vae_zoo.UserError) as error:
        model_of(**parts)
    assert words in str(error.value)


def test_a_model_with_networks_of_its_own_says_so():
    with pytest.raises(vae_zoo.UserError, match="VQVAE builds networks of its own"):
        vae_zoo.create_model("vq_vae", image_shape=(28, 28, 1), tiny=True, encoder=encoder_of())


def test_a_prior_of_ones_own_is_trained_drawn_from_and_saved(batch, tmp_path):
    prior = example("own_prior").LaplacePrior(3)
    model = model_of(prior=prior, hidden=(8,))
    model.compile(jit_compile=False)
    model.fit(batch["image"], verbose=0)
    assert prior.log_scale.numpy() != 0
    z = np.asarray(model.sample_prior(0))
    exact = prior.distribution(None).log_prob(z)
    terms = model.terms(batch["image"], seed=(0, 0), num_samples=2)
    assert z.shape == (64, 3) and np.isfinite(exact).all() and np.isfinite(terms.rate).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.sample_prior(0), z)


def test_a_posterior_of_ones_own_is_inferred_with(batch):
    class Narrow(posteriors.NormalPosterior):
        def distribution(self, encoded):
            return distributions.diagonal_normal(encoded - [[0.0] * 3 + [5.0] * 3])

        def get_config(self):
            return {"latent_size": 3}

        @classmethod
        def from_config(cls, config):
            return cls(**config)

    model = model_of(posterior=Narrow(3), hidden=(8,))
    assert (model.posterior(batch["image"]).stddev().numpy() < 0.1).all()


def test_what_is_no_part_is_told():
    with pytest.raises(vae_zoo.UserError, match="it has no draw"):
        model_of(prior=posteriors.NormalPosterior(3))
    prior = example("own_prior").LaplacePrior(3)
    with pytest.raises(vae_zoo.UserError, match="does not combine with VQVAE"):
        vae_zoo.create_model("vq_vae", image_shape=(28, 28, 1), tiny=True, prior=prior)


def test_a_likelihood_of_ones_own_reads_pixels_of_its_own_range(batch, tmp_path):
    likelihood = example("own_likelihood").LaplacePixels()
    model = model_of(likelihood=likelihood, hidden=(8,))
    images = 4 * batch["image"] - 2
    assert model.decoder.output_shape == (None, 28, 28, 1)
    model.compile(jit_compile=False)
    history = model.fit(images, verbose=0).history
    assert np.isfinite(history["elbo"]).all()
    with pytest.raises(vae_zoo.UserError, match="from -20 to 20: expected -3 to 3"):
        model.fit(10 * images, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.generate(0, num=2), model.generate(0, num=2))


def test_a_subclass_passes_its_own_networks_on(batch):
    class Small(vae_zoo.VAE):
        def __init__(self, image_shape, **kwargs):
            super().__init__(image_shape, 3, encoder=encoder_of(), **kwargs)

    assert Small((28, 28, 1)).encoder.output_shape == (None, 6)


@pytest.mark.parametrize(
    "part",
    [
        likelihoods.DiscretizedLogisticPixels((8, 8, 3), "channel", channels="linear", name="own"),
        likelihoods.NormalPixels((8, 8, 3), "pixel", name="own"),
        networks.PrincipalPath((8, 8, 3), 4, name="own"),
        codebook.Codebook(8, 2, 0.9, name="own"),
    ],
    ids=lambda part: type(part).__name__,
)
def test_a_part_is_what_its_config_says(part):
    again = type(part).from_config(part.get_config())
    assert again.get_config() == part.get_config() and again.name == "own"
