# %% [markdown]
# # 6. Importance weighting
#
# K samples of z give a better bound than one (Burda et al., 2016, eq. 8):
#
#     log p(x) >= E [ log 1/K sum_k w_k ],   w_k = p(x, z_k) / q(z_k | x),   z_k ~ q(z | x)
#
# K = 1 is the ELBO. The bound rises with K, and goes to log p(x).

# %%
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from lesson import digits, source

import vae_zoo
from vae_zoo.probability import elbo

tfd = tfp.distributions
source(elbo.importance_weighted_bound, elbo.log_weights)

# %% [markdown]
# ## A model whose log p(x) is known
#
# p(z) = N(0, 1), p(x | z) = N(z, 1): then p(x) = N(0, 2), and the true posterior is N(x / 2,
# 1/2). We take a posterior that is wrong, N(0.2, 1), to have a gap.

# %%
x, exact = 1.5, float(tfd.Normal(0.0, np.sqrt(2.0)).log_prob(1.5))
q, p = tfd.Normal(0.2, 1.0), tfd.Normal(0.0, 1.0)
z = q.mean() + q.stddev() * tf.random.stateless_normal([4096, 256], seed=(0, 1))  # [rows, K]
log_likelihood = tfd.Normal(z, 1.0).log_prob(x)
weights = log_likelihood - (q.log_prob(z) - p.log_prob(z))
analytic = log_likelihood - tfd.kl_divergence(q, p)  # the trap: see below

counts = [1, 2, 4, 8, 16, 32, 64, 128, 256]
right = [float(tf.reduce_mean(elbo.importance_weighted_bound(weights[:, :k]))) for k in counts]
wrong = [float(tf.reduce_mean(elbo.importance_weighted_bound(analytic[:, :k]))) for k in counts]
figure, axis = plt.subplots(figsize=(6, 3))
axis.semilogx(counts, right, "o-", label="each sample's own log-ratio")
axis.semilogx(counts, wrong, "x-", label="KL in closed form: no bound")
axis.axhline(exact, color="black", label="log p(x)")
axis.set(xlabel="samples K", ylabel="nats")
axis.legend()
plt.show()

# %% [markdown]
# **The trap**: for the ELBO one may take the KL in closed form, or each sample's log q - log p.
# For K > 1 only the second makes weights. With the first, the "bound" rises above log p(x). That
# is why `terms` has the argument `analytic`, and evaluations say `analytic=False`.
#
# ## The digits
#
# The same in the preset, up to 256 samples. The *effective sample size* says how many samples
# count: (sum w)^2 / sum w^2.

# %%
model = vae_zoo.from_preset("conv_vae/digits")
images = digits("test", 64)
terms = model.terms({"image": images}, num_samples=256, analytic=False, seed=(0, 0))
own = elbo.log_weights(terms)  # [B, K]
bounds = [float(tf.reduce_mean(elbo.importance_weighted_bound(own[:, :k]))) for k in counts]
share = tf.nn.softmax(own, axis=1)
effective = float(tf.reduce_mean(1.0 / tf.reduce_sum(share**2, axis=1)))
for k, nats in zip(counts, bounds, strict=True):
    print(f"K = {k:3d}: {nats:.2f} nats")
print(f"effective samples of 256: {effective:.1f}")

# %% [markdown]
# The model `iwae` trains this bound instead of the ELBO; one method says so.

# %%
from vae_zoo.models import iwae  # noqa: E402

source(iwae.IWAE.bound)

# %% [markdown]
# ## Checks

# %%
assert all(low < high for low, high in zip(right, right[1:], strict=False))
assert right[0] < exact - 0.2 and abs(right[-1] - exact) < 0.01
assert wrong[-1] > exact + 0.05
assert bounds[0] < bounds[3] < bounds[-1]
assert 1 < effective < 256
