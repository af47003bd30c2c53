"""The inputs of a model, checked: what was expected, what came, the remedy."""

import tensorflow as tf

from vae_zoo import checks, errors


class CheckedInputs:
    """Checks of images, labels and latents against a model."""

    def check_inputs(self, inputs):
        """Returns (image, label) of an input dict.

        Raises:
            UserError: for images of another shape, or a missing label.
        """
        if not isinstance(inputs, dict) or "image" not in inputs:
            raise errors.UserError(
                'Expected inputs {"image": [B, H, W, C], "label": [B]}, '
                f"got {type(inputs).__name__}. Wrap images as {{'image': images}}."
            )
        image = tf.cast(inputs["image"], tf.float32)
        if tuple(image.shape[1:]) != self.image_shape:
            raise errors.UserError(
                f"Expected images of shape [B, {', '.join(map(str, self.image_shape))}], got "
                f"{tuple(image.shape)}. Resize them, or create the model with that image_shape."
            )
        return image, self.check_label(inputs.get("label"))

    def check_decodes_z(self, what):
        """Raises a UserError for a model that no one z decodes to an image of."""
        if not self.decodes_z:
            raise errors.UserError(
                f"{type(self).__name__} has no {what}: no one vector z decodes to an image. "
                "Expected a call of sample, reconstruct or terms."
            )

    def check_label(self, label):
        """Returns the label of a conditional model, None of another.

        Raises:
            UserError: where a conditional model gets none, or one that is no class.
        """
        if self.needs_labels:
            checks.labels(label, self.num_classes, type(self))
        return label if self.needs_labels else None
