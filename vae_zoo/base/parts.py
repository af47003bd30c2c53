"""The parts of a model, by name or as objects of a user's own: prior, posterior, likelihood."""

from contextlib import nullcontext

import tensorflow_probability as tfp

from vae_zoo import checks, errors
from vae_zoo.probability import likelihoods, posteriors, priors

tfd = tfp.distributions


class Parts:
    """Builds the parts of a model of their names, and keeps those that a user made."""

    def keep_own_parts(self, *, encoder, decoder, likelihood):
        """Keeps what a user gave as objects, for build_encoder and the like.

        Args:
            encoder, decoder: a keras.Model, or None.
            likelihood: a name, or an object.
        """
        own = {"encoder": encoder, "decoder": decoder}
        if isinstance(likelihood, str):
            likelihoods.check_likelihood(likelihood)
        else:
            own["likelihood"] = likelihood
            checks.own_part("likelihood", likelihood)
            self.pixel_range = getattr(likelihood, "pixel_range", self.pixel_range)
        self.likelihood_name = _name_of(likelihood)
        object.__setattr__(self, "_own", own)  # tracked where they are used

    def own_part(self, name):
        """Returns the "encoder", "decoder" or "likelihood" that the user gave, or None."""
        return self._own.get(name)

    def check_own_parts(self):
        """Raises a UserError for an encoder or a decoder that this model has no place for."""
        for name in ("encoder", "decoder"):
            own = self.own_part(name)
            if own is not None and getattr(self, name, None) is not own:
                raise errors.UserError(
                    f"{name}={getattr(own, 'name', own)!r:.60}: {type(self).__name__} builds "
                    "networks of its own. Leave it out, or take a model such as vae or cvae."
                )

    def build_latent_parts(self, prior, posterior, components, flow_steps):
        """Sets the parts that give p(z) and q(z | x), and whether KL(q || p) has a closed form.

        Args:
            prior, posterior: names, or objects.
            components: of a mixture.
            flow_steps: of a flow.
        """
        self.prior_name, self.posterior_name = _name_of(prior), _name_of(posterior)
        self.prior_part, self.posterior_part = prior, posterior
        if isinstance(prior, str):
            self.prior_part = priors.build(
                *(prior, self.latent_size, components),
                *(self.image_shape, self.num_classes, flow_steps),
            )
        if isinstance(posterior, str):
            self.posterior_part = posteriors.build(
                posterior, self.latent_size, flow_steps, self.dtype_policy
            )
        parts = (self.prior_part, self.posterior_part)
        closed = all(getattr(part, "analytic_kl", False) for part in parts)
        self.analytic_kl = self.analytic_kl and closed

    def build_likelihood(self, scale, mixture_components, channels):
        """Returns the part that gives p(x | z); see likelihoods.build."""
        if self.own_part("likelihood") is not None:
            return self.own_part("likelihood")
        pixels = (scale, mixture_components, channels)
        return likelihoods.build(self.likelihood_name, self.image_shape, *pixels)

    def fixed_prior(self, constant=False):
        """Returns a context that computes the prior once, for many batches of unchanged weights.

        Args:
            constant: compute it outside of the graph that is being traced, such as an export's.
        """
        computed_once = getattr(self.prior_part, "computed_once", None)
        return computed_once(self.posterior, constant) if computed_once else nullcontext()

    def replace_prior(self, part, name):
        """Takes another prior in the place of the model's own, such as a fitted one.

        The model is then for evaluation, draws and export: saved, it does not load again.

        Args:
            part: an object with `distribution`, as of `priors.Prior`; and `draw`, see the class.
            name: what it is called.
        """
        self.prior_part, self.prior_name, self.analytic_kl = part, name, False
        self._arguments["prior"] = part

    def kl_divergence(self, latent):
        """Returns KL(q || p) of a Latent in closed form, in nats."""
        try:
            return tfd.kl_divergence(latent.posterior, latent.prior)
        except NotImplementedError:
            raise errors.UserError(
                f"{type(self).__name__}: there is no closed form of KL(q || p) for a posterior "
                f"{latent.posterior.name} and a prior {latent.prior.name}. Set "
                "`analytic_kl = False` in the class, for the rate of samples."
            ) from None


def _name_of(part):
    return part if isinstance(part, str) else type(part).__name__
