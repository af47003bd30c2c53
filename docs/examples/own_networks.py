"""A VAE around an encoder and a decoder of one's own, keras.Models with an Input."""

import keras
from keras import layers

import vae_zoo

encoder = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
        layers.Flatten(),
        layers.Dense(64, activation="relu"),
    ]
)
decoder = keras.Sequential(
    [
        keras.Input((8,)),
        layers.Dense(14 * 14 * 4, activation="relu"),
        layers.Reshape((14, 14, 4)),
        layers.Conv2DTranspose(1, 3, strides=2, padding="same"),  # logits, no activation
    ]
)

if __name__ == "__main__":
    digits = vae_zoo.load_dataset("digits")
    model = vae_zoo.create_model(
        "vae", image_shape=(28, 28, 1), latent_size=8, encoder=encoder, decoder=decoder
    )
    model.compile()
    model.fit(digits.train, epochs=1)
    model.save("own_networks.keras")  # the networks are saved with it
    print(keras.saving.load_model("own_networks.keras").generate(seed=0, num=4).shape)
