"""What hierarchies share: several stochastic layers, each drawn given all those above it.

    p(x, z) = p(x | z) p(z_1) prod_l p(z_l | z_<l)
    q(z | x) = q(z_1 | x) prod_l q(z_l | x, z_<l)

Layers are numbered from the top, z_1, which alone is the model's z for users: `decode` takes it,
with the layers below at their priors' means. Training, sampling and reconstruction are one walk
down the layers, with other noise.
"""

import tensorflow as tf

from vae_zoo import errors, networks
from vae_zoo.networks import common
from vae_zoo.probability import distributions, noise
from vae_zoo.probability.elbo import Latent
from vae_zoo.vae import VAE, batch_size


class Hierarchy(VAE):
    """A VAE of several stochastic layers; the base class of hvae, ladder_vae and others.

    A subclass says the shapes of the layers, and for each layer below the top the two conditional
    distributions; see the hooks. `features` returns a list, the top posterior's parameters first.
    """

    # What a hierarchy says.

    def lower_shapes(self):
        """Returns the event shape of each layer below the top, from the top down."""
        raise NotImplementedError

    def join(self, layer, z, features=None):
        """Returns what the layers below `layer` and the likelihood see, [..., *features].

        Args:
            layer: from 0, the top.
            z: its sample, [..., *event].
            features: what the layer itself saw; None at the top.
        """
        raise NotImplementedError

    def lower_prior(self, layer, features):
        """Returns p(z_l | z_<l), batch [...], of a layer below the top."""
        raise NotImplementedError

    def lower_posterior(self, layer, features, prior, encoded):
        """Returns q(z_l | x, z_<l), batch [...], of a layer below the top."""
        raise NotImplementedError

    def climb(self, encoded, normals):
        """Returns what `descend` needs of the image; another thing where the way up has latents.

        Args:
            encoded: `features`'s result.
            normals: as of `descend`.
        """
        del normals
        return encoded

    # What follows from it.

    def posterior_of(self, encoded):
        return super().posterior_of(encoded[0])

    def infer(self, encoded, label, num_samples, seed):
        batch = batch_size(encoded)

        def normals(layer, shape):
            return noise.standard_normal(seed, num_samples, batch, shape, layer)

        encoded = self.climb(encoded, normals)
        posterior = self.posterior_of(encoded)
        z = distributions.reparameterize(posterior, normals(0, [self.latent_size]))  # [K, B, D]
        return self.descend(Latent(posterior, self.prior(label), z), normals, encoded)

    def descend(self, top, normals, encoded=None):
        """Returns the Latents of all layers, top first.

        Args:
            top: the top layer's Latent; z [..., D].
            normals: a function (layer, event shape) -> noise, broadcastable with [..., *event].
            encoded: `climb`'s result; None draws each layer from its prior.
        """
        features = self.join(0, top.z)
        latents = [top._replace(features=features)]
        for layer, shape in enumerate(self.lower_shapes(), start=1):
            prior = self.lower_prior(layer, features)
            posterior = prior
            if encoded is not None:
                posterior = self.lower_posterior(layer, features, prior, encoded)
            z = distributions.reparameterize(posterior, normals(layer, shape))
            features = self.join(layer, z, features)
            latents.append(Latent(posterior, prior, z, features))
        return latents

    def log_likelihood(self, image, latents, label=None):
        del label
        return self.pixel_likelihood(latents[-1].features).log_prob(image)

    def likelihood(self, z, label=None):
        """Returns p(x | z) for z [..., D] of the top layer, those below at their priors' means."""
        del label
        return self._likelihood_below(Latent(None, None, z), no_noise)

    def reconstruct(self, image, label=None):
        encoded = self.features(*self.check_inputs({"image": image, "label": label}))
        encoded = self.climb(encoded, no_noise)
        posterior = self.posterior_of(encoded)
        top = Latent(posterior, None, distributions.centre(posterior))
        return self._likelihood_below(top, no_noise, encoded).mean()

    def sample_likelihood(self, seed, label=None, temperature=1.0):
        """Returns (p(x | all z) of batch [N], z [N, D] of the top layer), one for each row of seed.

        Args:
            seed: int32 [N, 2]; see noise.rows.
            label: not used.
            temperature: factor of the noise of every layer; 1 is the model.
        """
        seed, label = self.draw_arguments(seed, label)
        z = self.sample_prior(seed, label, temperature)

        def normals(layer, shape):
            return temperature * noise.normal(seed, shape, layer)

        return self._likelihood_below(Latent(None, None, z), normals), z

    def _likelihood_below(self, top, normals, encoded=None):
        return self.pixel_likelihood(self.descend(top, normals, encoded)[-1].features)


def no_noise(layer, shape):
    """The noise of latents at their means: `normals` of `Hierarchy.descend` and `climb`."""
    del layer
    return tf.zeros(shape)


def size_of(model, known, size, hidden, latent_channels, **counts):
    """Returns the sizes of a model: those of a name, with the arguments that are given instead.

    Args:
        model: the name that errors say.
        known: {name: Size}, a NamedTuple with `channels`, `latent_channels` and `counts`' name.
        size: a name in it.
        hidden: (C,), channels of every map; None is the size's.
        latent_channels: latent dimensions at each place of a map; None is the size's.
        **counts: layers at each resolution, by the name that the model gives them, or None.

    Raises:
        UserError: for arguments that make no model.
    """
    if size not in tuple(known):  # a list has no hash
        raise errors.unknown("size", size, known)
    channels = None if hidden is None else common.check_one_width(model, hidden)
    given = {"channels": channels, "latent_channels": latent_channels, **counts}
    found = known[size]._replace(**{k: v for k, v in given.items() if v is not None})
    for name in counts:
        networks.check_widths(name, getattr(found, name))
    errors.at_least("latent_channels", found.latent_channels, 1, whole=True)
    return found
