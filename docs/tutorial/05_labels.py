# %% [markdown]
# # 5. Labels: p(x, y)
#
# With a label y next to each image, the model can be one of p(x | y): it draws the class that one
# asks for. The bound is the same with y everywhere:
#
#     log p(x | y) >= E_q(z|x,y) [log p(x | z, y)] - KL(q(z | x, y) || p(z | y))
#
# With the classes' shares p(y) it is a model of both: log p(x, y) = log p(x | y) + log p(y).

# %%
import numpy as np
from lesson import digits, labels, source, trained

import vae_zoo
from vae_zoo.models import cvae

model = trained("cvae", epochs=25, network="mlp", hidden=(256,), latent_size=8, num_classes=10)
source(cvae.CVAE.features, cvae.CVAE.decoder_inputs)

# %% [markdown]
# One row of pictures for each z, one column for each class: z keeps the style, y says the digit.

# %%
z = np.repeat(np.asarray(model.sample_prior(seed=3, label=[0, 0, 0, 0])), 10, axis=0)
vae_zoo.show(model.decode(z, np.tile(np.arange(10), 4).astype(np.int32)), columns=10)

# %% [markdown]
# ## Bayes' rule classifies
#
# Training never asked which class an image has. Yet p(y | x) = p(x, y) / sum_y p(x, y) follows
# from the model: score each image under each label, and take the best.

# %%
images, true = digits("test"), labels("test")
scores = np.stack(
    [
        model.score_samples(images, np.full(len(images), y, np.int32), num_samples=10)
        for y in range(10)
    ],
    axis=1,
)  # log p(x | y), [N, 10]
shares = np.bincount(labels("train"), minlength=10) / len(labels("train"))
joint = scores + np.log(shares)  # log p(x, y)
accuracy = float(np.mean(joint.argmax(axis=1) == true))
log_evidence = np.logaddexp.reduce(joint, axis=1)  # log p(x) = log sum_y p(x, y)
right = joint[np.arange(len(true)), true]
print(f"{accuracy:.0%} of the test images are given to the right class")
print(f"log p(x, y) {right.mean():.1f}, log p(x) {log_evidence.mean():.1f} nats")

# %% [markdown]
# ## Checks

# %%
assert accuracy > 0.8
assert np.all(log_evidence >= right)  # p(x) >= p(x, y)
assert right.mean() > np.sort(joint, axis=1)[:, :5].mean()
