"""A prior of one's own: a Laplace distribution, whose width is learned.

An object is a prior by three methods: `distribution` makes p(z), `draw` makes z for rows of seed,
`get_config` says how to make it again. It is a layer, so that its weight is trained and saved.
A posterior likewise has `parameters`, `distribution` and `get_config`.
"""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

import vae_zoo

tfd = tfp.distributions


@keras.saving.register_keras_serializable("own_prior")
class LaplacePrior(keras.layers.Layer):
    """p(z) = Laplace(0, scale) over each of D latents.

    Args:
        latent_size: D.
    """

    def __init__(self, latent_size, **kwargs):
        super().__init__(**kwargs)
        self.latent_size = latent_size
        self.log_scale = self.add_weight(shape=(), initializer="zeros", name="log_scale")

    def distribution(self, posterior, label=None):
        del posterior, label
        scale = tf.fill([self.latent_size], tf.exp(self.log_scale.value))
        return tfd.Independent(tfd.Laplace(tf.zeros([self.latent_size]), scale), 1)

    def draw(self, seed, temperature=1.0):
        uniforms = vae_zoo.noise.uniform(seed, [self.latent_size])  # [N, D]
        return temperature * self.distribution(None).distribution.quantile(uniforms)

    def get_config(self):
        return {**super().get_config(), "latent_size": self.latent_size}


if __name__ == "__main__":
    digits = vae_zoo.load_dataset("digits")
    prior = LaplacePrior(8)
    model = vae_zoo.create_model("vae", image_shape=(28, 28, 1), latent_size=8, prior=prior)
    model.compile()
    model.fit(digits.train, epochs=1)
    model.save("own_prior.keras")
    print(keras.saving.load_model("own_prior.keras").generate(seed=0, num=4).shape)
