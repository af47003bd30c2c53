"""The stacks that models build of, and the likelihood behind a decoder."""

import keras

from vae_zoo import networks
from vae_zoo.probability import likelihoods


class Stacks:
    """Encoder, decoder and head by a model's arguments; for `build_networks` of VAE."""

    def build_encoder(self, image_shape=None):
        """Returns the model's encoder stack, image [B, H, W, C] -> features [B, F]."""
        encoder = networks.build_encoder(
            self.network,
            image_shape or self.image_shape,
            self.hidden,
            self.blocks,
            self.dtype_policy,
        )
        return _with_input(encoder)

    def build_decoder(self, inputs):
        """Returns the model's decoder stack, [N, inputs] -> likelihood parameters."""
        outputs = likelihoods.output_channels(self.likelihood_name, self.image_shape[-1])
        decoder = networks.build_decoder(
            self.network,
            inputs,
            self.image_shape,
            outputs,
            self.hidden,
            self.blocks,
            self.dtype_policy,
        )
        return _with_input(decoder)

    def build_head(self, inputs, outputs):
        """Returns a built linear layer, [N, inputs] -> [N, outputs]."""
        head = keras.layers.Dense(outputs, dtype=self.dtype_policy)
        head.build((None, inputs))
        return head

    def pixel_likelihood(self, inputs):
        """Returns p(x | inputs) over images for decoder inputs [..., F], or maps [..., H, W, F]."""
        event_rank = len(self.decoder.input_shape) - 1
        parameters = networks.over_samples(self.decoder, inputs, event_rank)
        return likelihoods.pixel_likelihood(self.likelihood_name, parameters, self.image_shape[-1])

    def centred(self, image):
        """Returns what the encoder sees: the image, moved to [-1, 1] if it has 8 bits."""
        return image if self.likelihood_name == "bernoulli" else 2.0 * image - 1.0


def _with_input(stack):
    """Returns a stack after a symbolic call, for keras.Model(stack.input, stack.output)."""
    stack(keras.Input(stack.input_shape[1:]))
    return stack
