# %% [markdown]
# # 9. Where diffusion begins
#
# Take a hierarchy of T layers, each of the image's size. Fix the posterior: layer t is the image
# with noise, z_t = alpha_t x + sigma_t e. Let each layer's prior be that posterior, with the
# guess x_hat(z_t) of a network in the place of x. The ELBO is that of page 8, and each KL
# between normals has become a weighted square:
#
#     KL(q(z_s | z_t, x) || p(z_s | z_t)) = 1/2 (SNR(s) - SNR(t)) ||x - x_hat(z_t)||^2
#
# That is a diffusion model (Kingma et al., 2021). This page computes both sides: the KL by the
# code that every hierarchy uses, and the square by the model `vdm`, for T from 2 to 1,000.

# %%
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from lesson import digits, source

import vae_zoo
from vae_zoo.models import vdm
from vae_zoo.probability import diffusion, noise
from vae_zoo.probability.elbo import Latent

tfd = tfp.distributions
images = digits("test", 2)
TIMES = (2, 10, 100, 1000)
models = {
    T: vae_zoo.create_model("vdm", image_shape=(28, 28, 1), timesteps=T, hidden=(8, 8), seed=0)
    for T in TIMES
}
x = models[2].features(images)  # in [-1, 1]
SEED = (0, 0)
e = noise.standard_normal(SEED, 1, len(images), (28, 28, 1), vdm._LAYER)  # the layers share it
source(vdm.VDM.layer)

# %% [markdown]
# ## A picture on its way up
#
# From next to no noise to next to nothing else.

# %%
gammas = models[1000].schedule.gamma(tf.linspace(0.0, 1.0, 12))
on_the_way = [diffusion.diffuse(x[:1], gamma, e[0, :1])[0] for gamma in gammas]
vae_zoo.show(np.clip(0.5 + 0.5 * np.stack(on_the_way), 0, 1), columns=12)

# %% [markdown]
# ## The KL of each layer, by the code of a hierarchy
#
# Bayes' rule gives q(z_s | z_t, x); the base class `VAE` gives the rate of any Latent.


# %%
def layer_of(model, index):
    """Returns layer `index` of the hierarchy as a Latent: q(z_s | z_t, x) and p(z_s | z_t)."""
    gamma, below = (model.schedule.gamma(i / model.timesteps) for i in (index, index - 1))
    z = diffusion.diffuse(x, gamma, e)[0]
    x_hat = model.denoise(z, gamma + tf.zeros([len(x)]))
    gamma, below, z = (tf.cast(value, tf.float64) for value in (gamma, below, z))
    alpha, alpha_s = tf.sqrt(tf.sigmoid(-gamma)), tf.sqrt(tf.sigmoid(-below))
    ratio = alpha / alpha_s
    noisy = tf.sigmoid(gamma) - ratio**2 * tf.sigmoid(below)
    variance = 1 / (1 / tf.sigmoid(below) + ratio**2 / noisy)

    def given(image):
        image = tf.cast(image, tf.float64)
        mean = variance * (alpha_s * image / tf.sigmoid(below) + ratio * z / noisy)
        return tfd.Independent(tfd.Normal(mean, tf.sqrt(variance)), 3)

    return Latent(given(x), given(x_hat), z)


source(vae_zoo.VAE.rate)
pairs, totals = {}, {}
for T, model in models.items():
    checked = np.unique(np.linspace(1, T, min(T, 10)).astype(int))  # 10 of them, at most
    by_hierarchy = [vae_zoo.VAE.rate(model, layer_of(model, int(i))) for i in checked]
    rates = tf.function(model.layer_rates)({"image": images}, SEED).numpy()  # [T, B]
    pairs[T] = np.stack(by_hierarchy), rates[checked - 1]
    totals[T] = float(rates.sum(axis=0).mean())
    difference = np.max(np.abs(pairs[T][0] / pairs[T][1] - 1))
    print(f"T = {T:4d}: largest relative difference {difference:.1e}")

# %% [markdown]
# ## More layers, a better bound
#
# The sum over the layers gets smaller with T, for the same network: finer steps lose less. In
# the limit one layer at a random time stands for all, and T is no longer a cost. (The network is
# untrained here: its guess is Bayes' rule for each pixel by itself, which is enough to see it.)

# %%
figure, axis = plt.subplots(figsize=(5, 3))
axis.semilogx(list(totals), list(totals.values()), "o-")
axis.set(xlabel="layers T", ylabel="rate of all layers, nats")
plt.show()

# %% [markdown]
# ## Checks

# %%
for by_hierarchy, by_diffusion in pairs.values():
    np.testing.assert_allclose(by_diffusion, by_hierarchy, rtol=2e-3)
falling = list(totals.values())
assert falling == sorted(falling, reverse=True)
assert falling[2] - falling[3] < 0.1 * (falling[0] - falling[1])  # it converges
