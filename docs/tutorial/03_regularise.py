# %% [markdown]
# # 3. Why regularise the latent space
#
# Take the rate away (`beta=0`) and what is left is an autoencoder: it only has to give its images
# back. Nothing keeps its codes near the prior, and nothing fills the space between them. So a z
# drawn from the prior falls into a *hole*: the decoder never saw anything like it.
#
# The rate gives the space two properties:
#
# * **continuity**: two points that are close decode to images that are alike;
# * **completeness**: a point drawn from the prior decodes to an image that makes sense.

# %%
import matplotlib.pyplot as plt
import numpy as np
from lesson import digits, labels, source, trained

import vae_zoo
from vae_zoo.base import Objective
from vae_zoo.metrics import latent_space
from vae_zoo.metrics.classifier import fit_classifier

source(Objective.charged_weights)
images = digits("test")
small = {"hidden": (256,), "activation": "relu", "latent_size": 2, "epochs": 40}
models = {
    "autoencoder": trained("vae", beta=0.0, **small),
    "VAE": trained("vae", beta=1.0, **small),
}

# %% [markdown]
# ## The codes of the test images
#
# The circle holds 95% of the prior's draws. The codes of the autoencoder spread far beyond it,
# with empty space between the classes.

# %%
codes = {name: model.transform(images) for name, model in models.items()}
figure, axes = plt.subplots(1, 2, figsize=(9, 4))
for axis, (name, z) in zip(axes, codes.items(), strict=True):
    axis.scatter(z[:, 0], z[:, 1], c=labels("test"), cmap="tab10", s=10)
    axis.add_patch(plt.Circle((0, 0), 2.45, fill=False))
    axis.set(title=name, aspect="equal")
    axis.autoscale_view()
plt.show()

# %% [markdown]
# ## Completeness: what the prior's draws decode to
#
# First the autoencoder, then the VAE, then the preset: a convolutional VAE of five dimensions
# that was trained for longer.

# %%
drawn = {name: model.generate(seed=0, num=200).numpy() for name, model in models.items()}
vae_zoo.show(drawn["autoencoder"][:32], columns=16)

# %%
vae_zoo.show(drawn["VAE"][:32], columns=16)

# %%
drawn["preset"] = vae_zoo.from_preset("conv_vae/digits").generate(seed=0, num=200).numpy()
vae_zoo.show(drawn["preset"][:32], columns=16)

# %% [markdown]
# A classifier that also knows "no digit" counts the draws that are surely of one class. The
# codes of real images say the same of the space: how far from the origin they are, where the
# prior is not.

# %%
probabilities = fit_classifier(digits("train"), labels("train"))
complete = {
    name: float(np.mean(probabilities(image)[:, :10].max(axis=1) > 0.8))
    for name, image in drawn.items()
}
outside = {name: float(np.mean(np.linalg.norm(z, axis=1) > 2.45)) for name, z in codes.items()}
print("draws that are surely a digit:", complete)
print("codes outside of the circle:  ", outside)

# %% [markdown]
# ## Continuity: how much the image changes on a path
#
# On straight paths between two draws, the change of the image for each unit of z. The closer its
# 95th percentile is to the median, the fewer cliffs there are. The picture shows one path,
# between two images of the test set, in each model.

# %%
source(latent_space.continuity)
changes = {name: latent_space.continuity(model) for name, model in models.items()}
paths = []
for name, model in models.items():
    steps = latent_space.interpolate(codes[name][0], codes[name][5], 16)
    paths.append(model.decode(steps.astype(np.float32)))
    print(name, {key: round(changes[name][key], 2) for key in ("median", "p95")})
vae_zoo.show(np.concatenate(paths), columns=16)

# %% [markdown]
# ## Checks

# %%
spread = {name: float(np.sqrt(np.mean(z**2))) for name, z in codes.items()}
assert spread["autoencoder"] > 2 * spread["VAE"]
assert 0.6 < spread["VAE"] < 1.4  # the codes fill the prior
assert outside["autoencoder"] > 2 * outside["VAE"]
assert complete["autoencoder"] < complete["VAE"] < complete["preset"] and complete["preset"] > 0.5
cliffs = {name: change["p95"] / change["median"] for name, change in changes.items()}
assert cliffs["VAE"] < cliffs["autoencoder"]
