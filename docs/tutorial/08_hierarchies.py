# %% [markdown]
# # 8. Hierarchies
#
# One stochastic layer must say all at once. A hierarchy says it step by step, from the top down:
#
#     p(x, z) = p(x | z) p(z_1) prod_l p(z_l | z_<l)
#     q(z | x) = q(z_1 | x) prod_l q(z_l | x, z_<l)
#
# The rate is then a sum: one KL for each layer, between normals that depend on the layers above.

# %%
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from lesson import digits, source, trained

import vae_zoo
from vae_zoo.models import hierarchy, ladder
from vae_zoo.probability import elbo, noise
from vae_zoo.probability.elbo import Latent

tfd = tfp.distributions
source(hierarchy.Hierarchy.descend)

# %% [markdown]
# ## Two layers
#
# `rate` has a column for each stochastic layer, top first.

# %%
model = trained("hvae", epochs=25, hidden=(128,), between=(64,), latent_size=8, lower_size=16)
images = digits("test")
terms = model.terms({"image": images}, seed=(0, 0))
print("rate of each layer, nats:", np.round(np.mean(terms.rate, axis=(0, 1)), 2))

# %% [markdown]
# What does each layer decide? In each row the top layer is kept, and the layer below is drawn
# anew in each column. The rows differ more than the columns.

# %%
rows, columns = 4, 8
top = np.repeat(np.asarray(model.sample_prior(noise.rows(0, rows))), columns, axis=0)
keys = noise.rows(1, rows * columns)


def normals(layer, shape):
    return noise.normal(keys, shape, layer)


latents = model.descend(Latent(None, None, tf.constant(top)), normals)
drawn = model.pixel_likelihood(latents[-1].features).mean().numpy()
vae_zoo.show(drawn, columns=columns)

# %%
grid = drawn.reshape(rows, columns, -1)
within = float(np.mean(grid.var(axis=1).sum(-1)))
between = float(grid.mean(axis=1).var(axis=0).sum())
print(f"variance of the images: {between:.1f} between rows, {within:.1f} within a row")

# %% [markdown]
# ## The ladder
#
# A ladder VAE multiplies what the image says of a layer with the layer's own prior. The product
# of two normals weighs them by their precision, 1 / deviation^2.

# %%
source(ladder.precision_weighted)
one = tfd.Independent(tfd.Normal([0.0], [1.0]), 1)
two = tfd.Independent(tfd.Normal([3.0], [0.5]), 1)
product = ladder.precision_weighted(one, two)
print("mean", product.mean().numpy(), "deviation", product.stddev().numpy())

# %% [markdown]
# ## Checks

# %%
assert terms.rate.shape[-1] == 2 and np.all(np.mean(terms.rate, axis=(0, 1)) > 0)
whole = np.mean(terms.log_likelihood) - np.sum(np.mean(terms.rate, axis=(0, 1)))
np.testing.assert_allclose(np.mean(elbo.elbo(terms)), whole, rtol=1e-4)
assert between > within
# Precisions 1 and 4: mean (1 * 0 + 4 * 3) / 5, deviation 1 / sqrt(5).
np.testing.assert_allclose(product.mean(), [2.4], rtol=1e-6)
np.testing.assert_allclose(product.stddev(), [5**-0.5], rtol=1e-6)
