# %% [markdown]
# # 1. The encoder gives a normal
#
# An encoder of an autoencoder gives one point for each image. The encoder of a VAE gives a
# **distribution** over latent variables z: a normal with one mean and one standard deviation for
# each latent dimension,
#
#     q(z | x) = N(z; m(x), s(x)^2)
#
# This page looks at that normal in a trained model, and asks how many latent dimensions are
# useful.

# %%
import matplotlib.pyplot as plt
import numpy as np
from lesson import digits, labels, mean, source, trained

import vae_zoo
from vae_zoo.metrics import latent_space
from vae_zoo.probability import distributions

model = vae_zoo.from_preset("conv_vae/digits")
images = digits("test")
vae_zoo.show(images[:16], columns=8)

# %%
posterior = model.posterior(images)
print(posterior)
print("mean     of the first image:", np.round(posterior.mean()[0], 2))
print("deviation of the first image:", np.round(posterior.stddev()[0], 2))

# %% [markdown]
# The network gives 2 D numbers for each image. The first D are the means; the other D become
# standard deviations. A deviation must be positive, so the network gives its logarithm, and the
# code keeps that within (-7, 4).

# %%
source(type(model).features, type(model).posterior_of, distributions.diagonal_normal)

# %% [markdown]
# Each dimension costs *nats*: the Kullback-Leibler divergence from N(0, 1), page 2. A dimension
# whose mean is the same for all images says nothing about them: it is not *active*.

# %%
statistics = latent_space.statistics(model, images)
print("active dimensions:", statistics.active_units, "of", model.latent_size)
print("nats of each dimension:", np.round(statistics.rate_per_dimension, 2))

# %% [markdown]
# ## How many dimensions?
#
# Three small models, with 1, 4 and 32 latent dimensions. With more of them the images come back
# better (the distortion falls) and cost more nats (the rate rises). But each further dimension
# says less: the last column is the rate of one dimension.

# %%
sizes = (1, 4, 32)
models = [trained("vae", latent_size=size, hidden=(128,)) for size in sizes]
terms = [each.terms({"image": images}, seed=(0, 0)) for each in models]
rates = [mean(np.sum(each.rate, -1)) for each in terms]
distortions = [mean(-each.log_likelihood) for each in terms]
each_rate = [rate / size for rate, size in zip(rates, sizes, strict=True)]
for row in zip(sizes, rates, distortions, each_rate, strict=True):
    print("latent_size {:2d}: rate {:5.1f}, distortion {:5.1f}, rate / size {:.1f}".format(*row))

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3))
axes[0].bar([str(size) for size in sizes], rates, label="rate")
axes[0].bar([str(size) for size in sizes], distortions, bottom=rates, label="distortion")
axes[0].set(xlabel="latent dimensions", ylabel="nats for each image")
axes[0].legend()
means = posterior.mean().numpy()
axes[1].scatter(means[:, 0], means[:, 1], c=labels("test"), cmap="tab10", s=12)
axes[1].set(xlabel="mean of dimension 1", ylabel="mean of dimension 2")
plt.show()

# %% [markdown]
# ## Checks
#
# What this page says, as code that fails if it is not so.

# %%
assert posterior.batch_shape == (len(images),) and posterior.event_shape == (5,)
assert np.all(posterior.stddev() > 0)
assert statistics.active_units == model.latent_size
assert distortions[0] > distortions[1] > distortions[2] and rates[0] < rates[1] < rates[2]
assert distortions[1] - distortions[2] < distortions[0] - distortions[1]
assert each_rate[2] < 0.5 * each_rate[1]
