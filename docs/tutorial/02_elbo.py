# %% [markdown]
# # 2. The ELBO
#
# We want log p(x), the probability that the model gives to an image. It needs an integral over
# all z, which nobody can compute. The *evidence lower bound* is what a VAE trains instead:
#
#     ELBO(x) = E_q(z|x) [log p(x | z)] - KL(q(z | x) || p(z))  <=  log p(x)
#
# The first part, with a minus sign, is the **distortion**: how badly images come back. The second
# is the **rate**: how many nats z says about x. The loss is the negative ELBO, the sum of
# distortion and rate.

# %%
import matplotlib.pyplot as plt
import numpy as np
from lesson import digits, source

import vae_zoo
from vae_zoo.probability import elbo

model = vae_zoo.from_preset("conv_vae/digits")
images = digits("test", 64)
terms = model.terms({"image": images}, seed=(0, 0))  # nats, [B, K] and [B, K, L]
rate, distortion = np.sum(terms.rate, -1).mean(), -np.mean(terms.log_likelihood)
print(f"distortion {distortion:.1f} + rate {rate:.1f} = {distortion + rate:.1f} nats")

# %%
source(elbo.elbo, elbo.log_weights, type(model).terms)

# %% [markdown]
# ## The KL divergence, in closed form
#
# For two normals there is a formula. With p(z) = N(0, 1) it is
#
#     KL = 1/2 sum_d (m_d^2 + s_d^2 - 1 - log s_d^2)
#
# The package takes it from TensorFlow Probability; here it is next to ours by hand.

# %%
source(type(model).rate)
posterior = model.posterior(images)
m, s = posterior.mean().numpy(), posterior.stddev().numpy()
by_hand = 0.5 * np.sum(m**2 + s**2 - 1 - np.log(s**2), axis=-1)  # [B]
closed = terms.rate[:, 0, 0].numpy()
print("the first images, by hand:", np.round(by_hand[:4], 3))
print("the first images, by model:", np.round(closed[:4], 3))

# %% [markdown]
# ## The KL divergence, by sampling
#
# Without a formula one takes samples: KL = E_q [log q(z | x) - log p(z)]. The mean over K
# samples is right on average, and its error falls as 1 / sqrt(K).

# %%
counts = np.array([1, 4, 16, 64, 256])
draws = model.terms({"image": images}, num_samples=int(counts[-1]), analytic=False, seed=(0, 1))
sampled = draws.rate[..., 0].numpy()  # [B, K]
errors = [
    np.sqrt(np.mean((sampled.reshape(len(images), -1, k).mean(-1) - closed[:, None]) ** 2))
    for k in counts
]
figure, axis = plt.subplots(figsize=(5, 3))
axis.loglog(counts, errors, "o-", label="measured")
axis.loglog(counts, errors[0] / np.sqrt(counts), "--", label="1 / sqrt(K)")
axis.set(xlabel="samples K", ylabel="error of the KL, nats")
axis.legend()
plt.show()

# %% [markdown]
# ## A bound, not the thing itself
#
# The gap between the ELBO and log p(x) is KL(q(z | x) || p(z | x)): how far the encoder's normal
# is from the true posterior. Page 6 closes most of it with samples; that estimate is higher.

# %%
lower = elbo.elbo(terms).numpy().mean()
estimate = model.score_samples(images, num_samples=200).mean()
print(f"ELBO {lower:.1f}, estimate of log p(x) {estimate:.1f} nats")

# %% [markdown]
# ## Checks

# %%
np.testing.assert_allclose(closed, by_hand, rtol=1e-4)
deviation = sampled.std(axis=1) / np.sqrt(sampled.shape[1])
assert np.all(np.abs(sampled.mean(axis=1) - closed) < 5 * deviation)
slope = np.polyfit(np.log(counts[:4]), np.log(errors[:4]), 1)[0]
assert -0.65 < slope < -0.35, slope
assert lower < estimate
