"""The mathematics: the ELBO, distributions, likelihoods, priors, posteriors, noise."""
