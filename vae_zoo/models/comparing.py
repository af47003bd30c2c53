"""What models share whose penalty compares reconstructions with the images themselves."""


class ComparesImages:
    """The methods of a VAE of one layer whose Latent has the images as its `features`."""

    def features(self, image, label=None):
        """Returns (`VAE.features`'s result, the images)."""
        return super().features(image, label), image

    def posterior_of(self, encoded):
        return super().posterior_of(encoded[0])

    def infer(self, encoded, label, num_samples, seed):
        [latent] = super().infer(encoded, label, num_samples, seed)
        return [latent._replace(features=encoded[1])]
