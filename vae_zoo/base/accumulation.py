"""A training step whose batch is computed in parts, one after the other, so that it fits.

The gradient of the batch is the mean of the gradients of its parts. Part m of M of a replica has
the place of replica index * M + m of count * M: it draws the noise of its own images.
"""

import keras
import tensorflow as tf

from vae_zoo import errors, replicas

_EITHER = "Expected --accumulate=1, smaller batches, or more workers."


class Accumulating:
    """A step of `accumulate` parts of a batch; one, unless it is set.

    Attributes:
        accumulate: parts; a divisor of the images that a replica has of a batch.
    """

    accumulate = 1

    def train_step(self, data):
        if self.accumulate == 1:
            return super().train_step(data)
        parts = tf.nest.map_structure(self._cut, data)
        variables = self.trainable_weights

        def add(number, sums):
            part = tf.nest.map_structure(lambda tensor: tensor[number], parts)
            with replicas.part(number, self.accumulate):
                gradients = self._gradients(part, variables)
            return number + 1, [a + b for a, b in zip(sums, gradients, strict=True)]

        zeros = [tf.zeros(variable.shape, variable.dtype) for variable in variables]
        _, sums = tf.while_loop(
            lambda number, sums: number < self.accumulate,
            add,
            (tf.constant(0), zeros),
            parallel_iterations=1,
            maximum_iterations=self.accumulate,
        )
        gradients = [each / self.accumulate for each in sums]
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return self.get_metrics_result()

    def check_accumulates(self):
        """Raises a UserError where parts of a batch would not train what the whole of it does."""
        if type(self).train_step is not Accumulating.train_step:
            raise errors.UserError(
                f"--accumulate={self.accumulate}: {self.name} follows whole batches in a training "
                f"step of its own. {_EITHER}"
            )
        inputs = {"image": tf.zeros([2, *self.image_shape])}
        inputs |= {"label": tf.zeros([2], tf.int32)} if self.needs_labels else {}
        try:
            with replicas.part(0, 2):
                self.call(inputs, training=True)
        except replicas.WholeBatchError as error:
            raise errors.UserError(
                f"--accumulate={self.accumulate}: {self.name}, as it is set, compares the images "
                f"of a batch with each other, and a part has not all of them. {_EITHER}"
            ) from error

    def _cut(self, tensor):
        rows = tensor.shape[0] or tf.shape(tensor)[0]
        shape = [self.accumulate, rows // self.accumulate, *tensor.shape[1:]]
        return tf.reshape(tensor, shape)

    def _gradients(self, data, variables):
        """Returns the gradients of one part; counts its figures."""
        x, _, weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            terms = self(x, training=True)
            loss = self.compute_loss(x=x, y_pred=terms, sample_weight=weight)
            scaled = self.optimizer.scale_loss(loss)
        whole = loss * self.distribute_strategy.num_replicas_in_sync
        self._loss_tracker.update_state(whole, sample_weight=tf.shape(terms.loss)[0])
        values = [variable.value for variable in variables]
        return tape.gradient(scaled, values, unconnected_gradients="zero")
