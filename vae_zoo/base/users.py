"""What users call on a trained model: images from noise, images from latents, reconstructions."""

import numpy as np

from vae_zoo import checks, errors
from vae_zoo.probability import distributions, noise, priors


class ForUsers:
    """Sampling, decoding and reconstruction, by the hooks of VAE."""

    def reconstruct(self, image, label=None):
        """Returns the likelihood's mean at the posterior's centre, [B, H, W, C] in [0, 1].

        The centre is the mean; of a flow, whose mean has no closed form, its base's mean carried
        through it.
        """
        return self.decode(distributions.centre(self.posterior(image, label)), label)

    def decode(self, z, label=None):
        """Returns the likelihood's mean for z [N, D]: images [N, H, W, C] in [0, 1]."""
        self.check_decodes_z("decode")
        return self.likelihood(z, self.check_label(label)).mean()

    def sample_prior(self, seed, label=None, temperature=1.0):
        """Returns one z for each row of seed: portable noise through the prior, [N, D].

        Args:
            seed: int32 [N, 2]; see noise.rows.
            label: int32 [N], where the prior depends on it.
            temperature: factor of the noise.
        """
        self.check_decodes_z("sample_prior")
        prior = self.prior(self.check_label(label))
        return priors.draw(prior, seed, self.latent_size, temperature)

    def sample(self, seed, label=None, temperature=1.0):
        """Returns (images [N, H, W, C], z [N, D]), one for each row of seed.

        Args:
            seed: int32 [N, 2]; see noise.rows.
            label: int32 [N], for a conditional model.
            temperature: factor of the prior's noise; 1 is the model.
        """
        likelihood, z = self.sample_likelihood(seed, label, temperature)
        return likelihood.mean(), z

    def sample_likelihood(self, seed, label=None, temperature=1.0):
        """Returns (p(x | z) of batch [N], z), one z for each row of seed; see `sample`.

        likelihoods.draw draws the pixels from it; its mean is what `sample` gives.
        """
        z = self.sample_prior(seed, label, temperature)
        return self.likelihood(z, self.check_label(label)), z

    def generate(self, seed, label=None, temperature=1.0):
        """Returns one image for each row of seed, [N, H, W, C] in [0, 1].

        Args:
            seed: int32 [N, 2]; or an int, for the rows [seed, 0], [seed, 1] and so on: one for
                each label, 64 without labels.
            label: int32 [N], for a conditional model.
            temperature: factor of the prior's noise; 1 is the model.

        Raises:
            UserError: for seeds of another shape, or another number of labels.
        """
        if isinstance(seed, (int, np.integer)):
            seed = noise.rows(checks.seed(seed), 64 if label is None else np.size(label))
        seed = checks.seed_rows(seed)
        if label is not None and not seed.shape[:1].is_compatible_with(np.shape(label)):
            raise errors.UserError(
                f"label={label!r:.60}: expected one for each of {seed.shape[0]} images."
            )
        return self.sample(seed, label, temperature)[0]
