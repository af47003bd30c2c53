# %% [markdown]
# # 4. The gradient through a sample
#
# The distortion is a mean over z drawn from q(z | x), and q has parameters that we train. Two
# ways to get the gradient of E_q [f(z)]:
#
#     score function:     E_q [ f(z) d/dm log q(z) ]
#     reparameterised:    E_e [ d/dm f(m + s e) ],   e ~ N(0, 1)
#
# Both have the same mean. The second uses the slope of f, the first its value alone; so the first
# has much more variance, and needs many more samples.

# %%
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from lesson import digits, source

import vae_zoo
from vae_zoo.probability import distributions, noise

tfd = tfp.distributions
model = vae_zoo.from_preset("conv_vae/digits")
source(distributions.reparameterize)

# %% [markdown]
# f(z) is log p(x | z) of one test image, with the decoder of the preset. The noise is a function
# of a seed: the same seed gives the same 512 samples in both estimates.

# %%
K = 512
image = digits("test", 1)
posterior = model.posterior(image)
m, s = (tf.Variable(tf.repeat(value, K, 0)) for value in (posterior.mean(), posterior.stddev()))
e = noise.normal(noise.rows(0, K), [model.latent_size])  # [K, D]


def log_likelihood(z):
    return model.likelihood(z).log_prob(image)  # [K]


with tf.GradientTape() as tape:
    q = tfd.Independent(tfd.Normal(m, s), 1)
    f = log_likelihood(distributions.reparameterize(q, e))
reparameterised = tape.gradient(f, m).numpy()  # [K, D], a gradient for each sample

with tf.GradientTape() as tape:
    q = tfd.Independent(tfd.Normal(m, s), 1)
    z = tf.stop_gradient(distributions.reparameterize(q, e))
    score = q.log_prob(z)
score = tape.gradient(score, m).numpy()  # [K, D]
value = f.numpy()[:, None]
plain, centred = value * score, (value - value.mean()) * score

# %%
estimates = {"score": plain, "score, centred": centred, "reparameterised": reparameterised}
deviations = {name: each.std(axis=0).mean() for name, each in estimates.items()}
figure, axis = plt.subplots(figsize=(6, 3))
axis.bar(deviations.keys(), deviations.values())
axis.set(yscale="log", ylabel="standard deviation of one sample")
plt.show()
for name, each in estimates.items():
    print(f"{name:16s} mean {np.round(each.mean(0), 1)}, deviation {deviations[name]:.1f}")

# %% [markdown]
# The middle bar takes the mean of f away first (a *baseline*), which leaves the mean of the
# gradient as it is and lowers its variance. The reparameterised gradient is still better.

# %% [markdown]
# ## Checks

# %%
difference = centred - reparameterised
error = difference.std(axis=0) / np.sqrt(K)
assert np.all(np.abs(difference.mean(axis=0)) < 5 * error)  # the same mean
assert deviations["score"] > 5 * deviations["reparameterised"]
assert deviations["score, centred"] > deviations["reparameterised"]
