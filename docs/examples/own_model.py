"""A model of one's own, by a name that the commands know too.

In Python: import own_model; vae_zoo.create_model("sparse_vae", image_shape=(28, 28, 1))
In a shell, in this folder: python -m vae_zoo.train --import=own_model --model=sparse_vae

It is a VAE whose latents also cost their absolute value, so that few of them are used at once.
"""

import tensorflow as tf

import vae_zoo


class SparseVAE(vae_zoo.VAE):
    """VAE with a penalty on the absolute value of its latents.

    Args:
        image_shape: (H, W, C).
        latent_size: D.
        sparsity: nats for each unit of |z|.
        **kwargs: of VAE.
    """

    has_penalty = True

    def __init__(self, image_shape, latent_size=16, *, sparsity=0.1, **kwargs):
        super().__init__(image_shape, latent_size, **kwargs)
        self.sparsity = sparsity

    def penalty(self, latents, seed):
        return self.sparsity * tf.reduce_sum(tf.abs(latents[0].z), axis=-1)  # [K, B]


vae_zoo.register(
    "sparse_vae",
    SparseVAE,
    arguments={"network": "conv"},
    tiny={"latent_size": 3, "hidden": (4, 4)},
    idea="The VAE with few latents at once",
    tags=("conv", "sparse"),
)

if __name__ == "__main__":
    digits = vae_zoo.load_dataset("digits")
    model = vae_zoo.create_model("sparse_vae", image_shape=digits.image_shape, tiny=True)
    model.compile()
    model.fit(digits.train, epochs=1)
    print(model.generate(seed=0, num=4).shape)
