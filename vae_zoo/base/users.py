"""What users call on a trained model: latents, reconstructions, images from noise, scores."""

import numpy as np
import tensorflow as tf

from vae_zoo import checks, errors
from vae_zoo.probability import distributions, elbo, noise, priors

_BATCH = 256  # images at a time, of what goes through arrays
_FIRST_KEY = -2  # of scores; no step of a training has a negative one
_DRAWN = 64  # images of an int seed, where nothing says how many


class ForUsers:
    """Encoding, decoding, sampling and scoring, by the hooks of VAE."""

    def encode(self, image, label=None):
        """Returns the latents of images: the centre of the posterior, float32 [B, D].

        Args:
            image: [B, H, W, C] in [0, 1]; or uint8.
            label: int32 [B], for a conditional model.

        Raises:
            UserError: for images of another shape, missing labels, or a model without one z.
        """
        self.check_decodes_z("encode")
        image, label = self.check_inputs({"image": image, "label": label})
        return distributions.centre(self.posterior(image, label))

    def transform(self, x, y=None):
        """Returns the latents of many images, a NumPy array [N, D]; see `encode`.

        Args:
            x: images [N, H, W, C] in [0, 1], or uint8.
            y: labels [N], for a conditional model.
        """
        return self._by_batches(lambda inputs, _: self.encode(**inputs), x, y)

    def score_samples(self, x, y=None, num_samples=100, seed=0):
        """Returns an estimate of log p(x) for each image, in nats, a NumPy array [N].

        It is the importance weighted bound of K samples, which is at most log p(x) in the mean
        and rises with K; of a model without importance weights (`is_bound`), the ELBO.

        Args:
            x: images [N, H, W, C] in [0, 1], or uint8.
            y: labels [N], for a conditional model: it scores log p(x | y).
            num_samples: K.
            seed: of the samples.

        Source: Burda et al. (2016), eq. 8.
        """
        errors.at_least("num_samples", num_samples, 1, whole=True)
        seed = checks.seed(seed)
        samples = min(num_samples, self.bound_samples or num_samples)
        bound = elbo.elbo if self.is_bound else _importance_weighted

        @tf.function(reduce_retracing=True)
        def score(inputs, rows):
            analytic = self.is_bound
            return bound(self.terms(inputs, num_samples=samples, analytic=analytic, seed=rows))

        def score_of(inputs, first):
            count = len(inputs["image"])
            return score(inputs, noise.rows(seed, count, start=_FIRST_KEY - first - count))

        return self._by_batches(score_of, x, y)

    def reconstruct(self, image, label=None):
        """Returns the likelihood's mean at the posterior's centre, [B, H, W, C] in [0, 1].

        The centre is the mean; of a flow, whose mean has no closed form, its base's mean carried
        through it.
        """
        image, label = self.check_inputs({"image": image, "label": label})
        return self.decode(distributions.centre(self.posterior(image, label)), label)

    def decode(self, z, label=None):
        """Returns the likelihood's mean for z [N, D]: images [N, H, W, C] in [0, 1]."""
        self.check_decodes_z("decode")
        return self.likelihood(z, self.check_label(label)).mean()

    def sample_prior(self, seed, label=None, temperature=1.0):
        """Returns one z for each row of seed: portable noise through the prior, [N, D].

        Args:
            seed: int32 [N, 2], see noise.rows; or an int, for 64 rows or one for each label.
            label: int32 [N], where the prior depends on it.
            temperature: factor of the noise.
        """
        self.check_decodes_z("sample_prior")
        seed, label = self.draw_arguments(seed, label)
        if hasattr(self.prior_part, "draw"):  # a prior of the user's own
            return self.prior_part.draw(seed, temperature)
        prior = self.prior(self.check_label(label))
        return priors.draw(prior, seed, self.latent_size, temperature)

    def sample(self, seed, label=None, temperature=1.0):
        """Returns (images [N, H, W, C], z [N, D]), one for each row of seed.

        Args:
            seed: int32 [N, 2], see noise.rows; or an int, for 64 rows or one for each label.
            label: int32 [N], for a conditional model; one class is that of all images.
            temperature: factor of the prior's noise; 1 is the model.
        """
        likelihood, z = self.sample_likelihood(seed, label, temperature)
        return likelihood.mean(), z

    def sample_likelihood(self, seed, label=None, temperature=1.0):
        """Returns (p(x | z) of batch [N], z), one z for each row of seed; see `sample`.

        likelihoods.draw draws the pixels from it; its mean is what `sample` gives.
        """
        seed, label = self.draw_arguments(seed, label)
        z = self.sample_prior(seed, label, temperature)
        return self.likelihood(z, self.check_label(label)), z

    def generate(self, seed=0, label=None, temperature=1.0, num=None):
        """Returns one image for each row of seed, [N, H, W, C] in [0, 1].

        Args:
            seed: int32 [N, 2]; or an int, for the rows [seed, 0], [seed, 1] and so on.
            label: int32 [N], for a conditional model; or one class, that of all images.
            temperature: factor of the prior's noise; 1 is the model.
            num: how many images of an int seed; None is one for each label, or 64.

        Raises:
            UserError: for seeds of another shape, or another number of labels.
        """
        seed, label = self.draw_arguments(seed, label, num)
        return self.sample(seed, label, temperature)[0]

    def draw_arguments(self, seed, label=None, num=None):
        """Returns (rows of seed int32 [N, 2], labels int32 [N] or None) of what a user gave.

        Raises:
            UserError: where the numbers of rows and labels differ, or are none.
        """
        shape = label.shape if hasattr(label, "shape") else np.shape(label)
        several = label is not None and len(shape) > 0
        if isinstance(seed, (int, np.integer)):
            if num is None:
                num = len(label) if several else _DRAWN
            count = errors.at_least("num", num, 1, whole=True)
            seed = noise.rows(checks.seed(seed), count)
        elif num is not None:
            raise errors.UserError(f"num={num!r} with rows of seed: expected it left out.")
        seed = checks.seed_rows(seed)
        if label is None:
            return seed, None
        if not several and self.needs_labels:
            self.check_label([label])
            label = np.full(seed.shape[0], label)
        if several and not seed.shape[:1].is_compatible_with(shape):
            raise errors.UserError(
                f"label={label!r:.60}: expected one for each of {seed.shape[0]} images."
            )
        return seed, label

    def summary_line(self):
        """Returns what the model is, in one line: class, parts, image, latents, parameters."""
        count = sum(int(np.prod(variable.shape)) for variable in self.trainable_variables)
        shape = " x ".join(map(str, self.image_shape))
        return (
            f"{type(self).__name__} {self.name!r}: images {shape}, latents {self.latent_size}, "
            f"network {self.network}, likelihood {self.likelihood_name}, {count:,} parameters"
        )

    def __repr__(self):
        return f"<{self.summary_line()}>" if self.built else super().__repr__()

    def export(self, *args, **kwargs):
        """Raises a UserError that says what writes a SavedModel: Keras's own would not serve."""
        raise errors.UserError(
            "model.export writes no SavedModel of this model, which has several signatures. "
            "Expected `import export; export.export_model(model, directory)`."
        )

    def _by_batches(self, function, x, y):
        """Returns function(inputs, index of the first image) over batches, as one NumPy array."""
        inputs = self.inputs_of(x, y)
        count = len(inputs["image"])
        parts = [
            np.asarray(function({k: v[i : i + _BATCH] for k, v in inputs.items()}, i))
            for i in range(0, count, _BATCH)
        ]
        return np.concatenate(parts)


def _importance_weighted(terms):
    return elbo.importance_weighted_bound(elbo.log_weights(terms))
