"""The inputs of a model, read and checked: what was expected, what came, the remedy."""

import keras
import numpy as np
import tensorflow as tf

from vae_zoo import checks, errors

# In the message of an assertion in a tf.data pipeline, by which `fit` knows it again.
OUT_OF_RANGE = "images outside of the pixel range"
_EIGHT_BIT = (0, 255)


class ReadInputs:
    """Reads images, labels and latents for a model, and refuses anything else.

    Attributes:
        pixel_range: the lowest and the highest pixel that `fit`, `evaluate` and `predict` take;
            None where a model's own likelihood takes any number.
    """

    pixel_range = (0.0, 1.0)

    def check_inputs(self, inputs):
        """Returns (image float32 [B, H, W, C], label) of inputs.

        Args:
            inputs: {"image": [B, H, W, C], "label": [B]}, or the images alone. Images of one
                channel may be [B, H, W]; 8-bit images, see `is_eight_bit`, are divided by 255.

        Raises:
            UserError: for images of another shape, or a missing label.
        """
        if not isinstance(inputs, dict):
            inputs = {"image": inputs}
        if "image" not in inputs:
            raise errors.UserError(
                f"Expected inputs {{'image': images, 'label': labels}}, got the names "
                f"{sorted(inputs)!r:.60}."
            )
        image = self.check_shape(inputs["image"])
        eight_bit = self.is_eight_bit(image)
        image = tf.cast(image, tf.float32)
        image = image / 255.0 if eight_bit else image
        label = inputs.get("label") if self.needs_labels else None
        return image, self.check_label(label)

    def check_shape(self, image):
        """Returns images as a tensor [B, H, W, C]; a UserError for images of another shape."""
        image = tf.convert_to_tensor(image)
        if image.shape.rank is None:  # known only when the graph runs
            return tf.ensure_shape(image, [None, *self.image_shape])
        image = self.with_channel(image)
        if tuple(image.shape[1:]) == self.image_shape:
            return image
        if tuple(image.shape) == self.image_shape:
            remedy = "Give a batch: image[None], or data.batch(128)"
        else:
            remedy = "Resize them, or create the model with that image_shape"
        raise errors.UserError(
            f"Expected images of shape [B, {', '.join(map(str, self.image_shape))}], got "
            f"{tuple(image.shape)}. {remedy}."
        )

    def with_channel(self, image):
        """Returns grey images [B, H, W], arrays or tensors, as [B, H, W, 1]; others as they are."""
        grey = self.image_shape[-1] == 1 and tuple(image.shape[1:]) == self.image_shape[:2]
        return image[..., np.newaxis] if grey else image

    def is_eight_bit(self, image):
        """Returns whether images hold 8-bit values, 0 to 255.

        uint8 always does. Other integers do where all lie in 0 to 255 and one is over 1: zeros and
        ones alone are a binary image. They do not where `pixel_range` is not [0, 1], nor in a
        graph, where their values are not known.

        Args:
            image: an array or a tensor.
        """
        if not tf.is_tensor(image):
            image = np.asarray(image)
        if image.dtype == np.uint8:
            return True
        if not (is_wide_integer(image) and _is_known(image) and self.pixel_range == (0.0, 1.0)):
            return False
        image = np.asarray(image)
        return image.size > 0 and bool(image.min() >= 0 and 1 < image.max() <= 255)

    def pixels(self, image):
        """Returns images as `fit` reads them, a float32 array: 8-bit values are divided by 255.

        Raises:
            UserError: for pixels outside of the model's range.
        """
        image = np.asarray(image)
        if self.is_eight_bit(image):
            return image.astype(np.float32) / np.float32(255)
        self.check_range(image)
        return image.astype(np.float32, copy=False)

    def check_range(self, image, eight_bit=False):
        """Raises a UserError for pixels outside of the model's range, NaN included.

        Args:
            image: an array or an eager tensor; uint8 is always in range.
            eight_bit: whether the range is that of 8-bit values.
        """
        image = np.asarray(image)
        if image.dtype == np.uint8 or image.size == 0 or self.pixel_range is None:
            return
        bounds = _EIGHT_BIT if eight_bit else self.pixel_range
        low, high = float(image.min()), float(image.max())
        if not (bounds[0] <= low and high <= bounds[1]):
            raise self.out_of_range(low, high)

    def out_of_range(self, low, high):
        """Returns the UserError for images from `low` to `high`."""
        if not np.isfinite([low, high]).all():
            remedy = "Leave out what is not finite"
        elif low >= 0 and high <= 255:
            remedy = "Divide them by 255, or give them as uint8"
        elif low >= -1 and high <= 1:
            remedy = "Give (images + 1) / 2"
        else:
            remedy = "Scale them, or give them as uint8"
        wanted = " to ".join(f"{bound:g}" for bound in self.pixel_range)
        return errors.UserError(
            f"Images with values from {low:g} to {high:g}: expected {wanted}. {remedy}."
        )

    def check_decodes_z(self, what):
        """Raises a UserError for a model whose images are not decoded from one vector z."""
        if not self.decodes_z:
            raise errors.UserError(
                f"{type(self).__name__} has no {what}: its images need more than one vector z. "
                "Expected a call of sample, reconstruct or terms."
            )

    def check_label(self, label):
        """Returns the label for a conditional model, and None for any other.

        Raises:
            UserError: where a conditional model gets none, or one that is no class.
        """
        if self.needs_labels:
            checks.labels(label, self.num_classes, type(self))
        return label if self.needs_labels else None

    # What Keras's fit, evaluate and predict are given.

    def inputs_of(self, x, y=None, eight_bit=None):
        """Returns {"image", "label"} of a batch, or of whole arrays, checked.

        Integers that hold 8-bit values become uint8, so that all batches are read alike.

        Args:
            x: images, or a dict of them.
            y: labels [N] or [N, 1]; or images, as an autoencoder is taught by, which are left out.
            eight_bit: whether integers hold 8-bit values; None asks `is_eight_bit` of these.

        Raises:
            UserError: for images of another shape or range, or labels that are no classes.
        """
        inputs = dict(x) if isinstance(x, dict) else {"image": x}
        if "image" in inputs:
            image = inputs["image"]
            if not tf.is_tensor(image):
                image = np.asarray(image)
            if len(image.shape):
                inputs["image"] = image = self.with_channel(image)
            self.check_shape(image[:1] if len(image.shape) > 1 else image)
        label = inputs.pop("label", None)
        label = _label_of(y, self.num_classes) if label is None else label
        if self.needs_labels:
            self.check_label(label)
            inputs["label"] = label
        elif label is not None and isinstance(x, dict):
            inputs["label"] = label
        if "image" not in inputs:
            self.check_inputs(inputs)
        if _is_known(image):
            eight_bit = self.is_eight_bit(image) if eight_bit is None else eight_bit
            eight_bit = eight_bit and is_wide_integer(image)
            self.check_range(image, eight_bit)
            if eight_bit:
                inputs["image"] = np.asarray(image).astype(np.uint8)
        return inputs

    def batch_of(self, element, eight_bit=None):
        """Returns a batch as `train_step` takes it: inputs, or (inputs, weight, weight).

        Args:
            element: images, a dict, or a tuple (x,), (x, y) or (x, y, sample_weight).
            eight_bit: see `inputs_of`.
        """
        x, y, weight = keras.utils.unpack_x_y_sample_weight(element)
        inputs = self.inputs_of(x, y, eight_bit)
        # Keras wants a y wherever there is a weight; no model reads it.
        return inputs if weight is None else (inputs, weight, weight)

    @tf.autograph.experimental.do_not_convert  # an error stays the error that it is
    def graph_batch_of(self, *element, eight_bit=False):
        """Returns `batch_of` in a tf.data pipeline; the range is asserted at each batch.

        Args:
            *element: see `batch_of`.
            eight_bit: whether images are integers that hold 8-bit values.
        """
        batch = self.batch_of(element[0] if len(element) == 1 else element)
        inputs = batch[0] if isinstance(batch, tuple) else batch
        image = inputs["image"]
        if image.dtype == tf.uint8 or self.pixel_range is None:
            return batch
        low, high = tf.reduce_min(image), tf.reduce_max(image)
        if eight_bit:  # int8 holds no 255
            low, high = tf.cast(low, tf.int64), tf.cast(high, tf.int64)
        bounds = _EIGHT_BIT if eight_bit else self.pixel_range
        bounds = [tf.cast(bound, low.dtype) for bound in bounds]
        inside = (low >= bounds[0]) & (high <= bounds[1])
        with tf.control_dependencies([tf.debugging.Assert(inside, [OUT_OF_RANGE, low, high])]):
            inputs["image"] = tf.cast(image, tf.uint8) if eight_bit else tf.identity(image)
        return batch


def image_of(element):
    """Returns the images of a `batch_of`'s element, or of its spec; None where it has none."""
    x, _, _ = keras.utils.unpack_x_y_sample_weight(element)
    return x.get("image") if isinstance(x, dict) else x


def is_wide_integer(image):
    """Returns whether an array, a tensor or its spec is of whole numbers, uint8 apart."""
    dtype = getattr(image, "dtype", None)
    dtype = dtype.as_numpy_dtype if isinstance(dtype, tf.DType) else dtype
    return dtype is not None and np.issubdtype(dtype, np.integer) and dtype != np.uint8


def _is_known(image):
    return not tf.is_tensor(image) or hasattr(image, "numpy")


def _label_of(y, num_classes):
    """Returns the labels [N] that `y` is: [N], [N, 1] or one-hot; or None where it is images."""
    if y is None:
        return None
    y = y if tf.is_tensor(y) else np.asarray(y)
    if len(y.shape) == 2 and y.shape[-1] == 1:
        y = y[:, 0]
    elif len(y.shape) == 2 and y.shape[-1] == num_classes:
        y = tf.argmax(y, axis=-1, output_type=tf.int32)
    return y if len(y.shape) == 1 else None
