# %% [markdown]
# # 7. Richer posteriors and priors
#
# A normal posterior and a N(0, 1) prior are the simplest choice. Either can be more.
#
# * **Posterior**: an inverse autoregressive flow carries the encoder's normal through T steps,
#   each
#   invertible with a triangular Jacobian, so that the density stays known:
#
#       z_t = g_t z_{t-1} + (1 - g_t) m_t,   log q(z_T | x) = log q(z_0 | x) - sum_t sum log g_t
#
# * **Prior**: the best p(z) for the ELBO is the mean of all posteriors, the *aggregated
#   posterior*. A
#   mixture of learned normals can come close to it; the VampPrior takes the posteriors at K learned
#   pseudo-images.

# %%
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from lesson import digits, mean, source, trained

from vae_zoo.probability import posteriors, priors

source(posteriors.GatedStep._forward, posteriors.GatedStep._forward_log_det_jacobian)
source(priors.VampPrior.distribution, priors.NormalMixture.distribution)

# %% [markdown]
# ## Four models that differ by one argument
#
# The NLL is the importance-weighted bound of 50 samples (page 6): rate and distortion of
# different posteriors do not compare, log p(x) does.

# %%
small = {"network": "mlp", "hidden": (128,), "latent_size": 4, "epochs": 20}
models = {
    "normal, standard": trained("vae", **small),
    "iaf, standard": trained("vae", posterior="iaf", flow_steps=2, **small),
    "normal, mixture": trained("vae", prior="mixture", components=20, **small),
    "normal, vamp": trained("vae", prior="vamp", components=20, **small),
}
images = digits("test")
nats = {name: -mean(model.score_samples(images, num_samples=50)) for name, model in models.items()}
rates = {
    name: mean(model.terms({"image": images}, num_samples=8, analytic=False, seed=(0, 0)).rate)
    for name, model in models.items()
}
for name in models:
    print(f"{name:18s} NLL {nats[name]:.1f}, rate {rates[name]:.1f} nats")

# %% [markdown]
# After so short a training the figures lie within a few nats: on 1,439 small images there is
# little to win. What a flow and a mixture *can* be is easier to see in two dimensions.

# %%
mixture = models["normal, mixture"]
prior = mixture.prior()
codes = mixture.transform(images)
draws = np.asarray(mixture.sample_prior(seed=0))
figure, axis = plt.subplots(figsize=(5, 4))
axis.scatter(codes[:, 0], codes[:, 1], s=8, label="codes of test images")
axis.scatter(draws[:, 0], draws[:, 1], s=20, marker="x", label="draws from the learned prior")
axis.legend()
plt.show()

# %% [markdown]
# ## Checks
#
# The flow's Jacobian is triangular, and its log-determinant is the one that the density uses.

# %%
made = posteriors.MADE(4, 3, hidden=(16,))
made.build(None)
step = posteriors.GatedStep(made, tf.ones([1, 3]))
z = tf.Variable([[0.3, -0.2, 0.5, 0.1]])
with tf.GradientTape() as tape:
    forward = step.forward(z)
jacobian = tape.jacobian(forward, z)[0, :, 0].numpy()
np.testing.assert_allclose(jacobian, np.tril(jacobian), atol=1e-6)
log_determinant = float(step.forward_log_det_jacobian(z, event_ndims=1)[0])
np.testing.assert_allclose(log_determinant, np.linalg.slogdet(jacobian)[1], rtol=1e-4)

# %% [markdown]
# The VampPrior is the mean of the posteriors at its pseudo-inputs; and a learned prior moved from
# where it began towards the codes.

# %%
vamp = models["normal, vamp"]
point = tf.constant(vamp.transform(images[:1]))
inputs = tf.clip_by_value(vamp.prior_part.pseudo_inputs.value, 0.0, 1.0)
by_hand = np.log(np.mean(np.exp(vamp.posterior(inputs).log_prob(point))))
np.testing.assert_allclose(vamp.prior().log_prob(point)[0], by_hand, rtol=1e-3)

standard = models["normal, standard"].prior()
assert mean(prior.log_prob(codes)) > mean(standard.log_prob(codes))  # it fits the codes better
assert max(nats.values()) - min(nats.values()) < 25  # all four learned the digits
