"""A user's own encoder and decoder in a model of the zoo."""

import keras
import numpy as np
import pytest
from keras import layers

import vae_zoo


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
