"""A VAE by what one knows of Keras: fit, predict, save; then latents, scores and new images."""

import keras
import numpy as np

import vae_zoo

images = np.concatenate([vae_zoo.load_dataset("digits").raw("train")])  # uint8 [N, H, W, 1]
images = np.where(images > 127, 255, 0).astype(np.uint8)  # binary, as a Bernoulli has them

model = vae_zoo.create_model("vae", image_shape=images.shape[1:], hidden=(64,), latent_size=8)
model.compile(keras.optimizers.Adam(1e-3))
model.fit(images, epochs=2, batch_size=64, validation_split=0.1)

print("reconstructions", model.predict(images[:8], verbose=0).shape)
print("latents", model.transform(images).shape)
print("log p(x)", model.score_samples(images[:8], num_samples=50))
vae_zoo.show(model.generate(seed=0, num=16)).savefig("digits.png")

model.save("digits.keras")
again = keras.saving.load_model("digits.keras")  # compiled: fit goes on
again.fit(images, epochs=1, batch_size=64)
