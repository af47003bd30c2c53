"""The stacks that models are built of, and the likelihood behind a decoder."""

import keras

from vae_zoo import errors, networks


class Stacks:
    """Encoder, decoder and head by a model's arguments; for `build_networks` of VAE."""

    def build_encoder(self, image_shape=None):
        """Returns the model's encoder stack, image [B, H, W, C] -> features [B, F]."""
        image_shape = tuple(image_shape or self.image_shape)
        own = self.own_part("encoder")
        if own is not None:
            return _checked("encoder", own, image_shape, "[B, F]", lambda shape: len(shape) == 1)
        encoder = networks.build_encoder(
            self.network,
            image_shape,
            self.hidden,
            self.blocks,
            self.dtype_policy,
            self.activation,
        )
        return _with_input(encoder)

    def build_decoder(self, inputs):
        """Returns the model's decoder stack, [N, inputs] -> likelihood parameters."""
        shape = (*self.image_shape[:2], self.likelihood_part.outputs)
        own = self.own_part("decoder")
        if own is not None:
            text = f"[N, {', '.join(map(str, shape))}]"
            return _checked("decoder", own, (inputs,), text, lambda found: found == shape)
        decoder = networks.build_decoder(
            self.network,
            inputs,
            self.image_shape,
            self.likelihood_part.outputs,
            self.hidden,
            self.blocks,
            self.dtype_policy,
            self.activation,
        )
        return _with_input(decoder)

    def build_head(self, inputs, outputs):
        """Returns a built linear layer, [N, inputs] -> [N, outputs]."""
        head = keras.layers.Dense(outputs, dtype=self.dtype_policy)
        head.build((None, inputs))
        return head

    def build_principal_path(self):
        """Returns the built PrincipalPath; the networks beside it start at nothing."""
        path = networks.PrincipalPath(self.image_shape, self.latent_size)
        path.build()
        *_, last = (layer for layer in self.decoder.layers if hasattr(layer, "kernel"))
        for layer in (self.posterior_head, last):
            layer.kernel.assign(keras.ops.zeros_like(layer.kernel))
        return path

    def principal_parameters(self, image):
        """Returns what the principal components add to the posterior's parameters, [B, 2 * D]."""
        return self.principal_path.parameters(self.centred(image) - self.likelihood_part.pixel_mean)

    def pixel_parameters(self, inputs):
        """Returns the likelihood's parameters, [N, H, W, P], for decoder inputs [N, F]."""
        parameters = self.decoder(inputs)
        if self.principal_path is None:
            return parameters
        parameters = keras.ops.cast(parameters, "float32")
        return self.likelihood_part.moved(parameters, self.principal_path(inputs))

    def pixel_likelihood(self, inputs):
        """Returns p(x | inputs) over images for decoder inputs [..., F], or maps [..., H, W, F]."""
        event_rank = len(self.decoder.input_shape) - 1
        parameters = networks.over_samples(self.pixel_parameters, inputs, event_rank)
        return self.likelihood_part.distribution(parameters)

    def centred(self, image):
        """Returns what the encoder sees: the image, moved to [-1, 1] if it is not binary."""
        return image if self.likelihood_name == "bernoulli" else 2.0 * image - 1.0


def _with_input(stack):
    """Returns a stack after a symbolic call, for keras.Model(stack.input, stack.output)."""
    stack(keras.Input(stack.input_shape[1:]))
    return stack


def _checked(name, model, takes, gives_text, gives):
    """Returns a user's encoder or decoder; a UserError where it does not fit the model.

    Args:
        name: "encoder" or "decoder".
        model: what came.
        takes: the shape of its input, without the batch.
        gives_text: the shape of its output, in words.
        gives: a function of the output's shape, without the batch: whether it is right.
    """
    wished = f"expected a keras.Model [B, {', '.join(map(str, takes))}] -> {gives_text}"
    if not isinstance(model, keras.Model):
        raise errors.UserError(f"{name}={model!r:.60}: {wished}.")
    shapes = [getattr(model, which, None) for which in ("input_shape", "output_shape")]
    if not all(isinstance(shape, tuple) for shape in shapes):
        raise errors.UserError(
            f"{name}={model.name!r}: {wished}; its shapes are not known. Start it with a "
            "keras.Input."
        )
    if shapes[0][1:] != takes or not gives(shapes[1][1:]):
        raise errors.UserError(f"{name}={model.name!r}: {wished}, got {shapes[0]} -> {shapes[1]}.")
    return model
