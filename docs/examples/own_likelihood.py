"""A likelihood of one's own: Laplace pixels of unit scale, for images scaled to [-3, 3].

An object is a likelihood by `outputs`, how many numbers it takes for each pixel, `distribution`,
which makes p(x | z) of them, and Keras's `get_config` and `from_config`; and `pixel_range` where
pixels are not in [0, 1].
"""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

import vae_zoo

tfd = tfp.distributions


@keras.saving.register_keras_serializable("own_likelihood")
class LaplacePixels:
    """p(x | z) = Laplace(location, 1) for each pixel of one channel."""

    outputs = 1
    pixel_range = (-3.0, 3.0)

    def distribution(self, parameters):
        location = tf.cast(parameters, tf.float32)
        return tfd.Independent(tfd.Laplace(location, 1.0), 3)

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


if __name__ == "__main__":
    images = 6 * vae_zoo.load_dataset("digits").images("train") - 3
    model = vae_zoo.create_model("vae", image_shape=(28, 28, 1), likelihood=LaplacePixels())
    model.compile()
    model.fit(images, epochs=1)
    print(model.generate(seed=0, num=4).shape)
