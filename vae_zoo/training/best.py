"""The weights of the best epoch so far: they are part of every checkpoint, checksums and all."""

import tensorflow as tf

from vae_zoo.training import optimizers


class BestWeights:
    """A copy of a model's weights, in the memory of the host.

    Create it outside a strategy's scope: a replica needs none.

    Args:
        model: a VAE.

    Attributes:
        variables: what a checkpoint tracks.
    """

    def __init__(self, model):
        with tf.device("CPU:0"):
            self.variables = [tf.Variable(w.numpy(), trainable=False) for w in model.weights]

    def keep(self, model):
        """Takes the model's weights, the averaged ones where the optimizer averages them."""
        with optimizers.averaged(model):
            for mine, weight in zip(self.variables, model.weights, strict=True):
                mine.assign(weight.numpy())

    def put(self, model):
        """Gives the model the weights that were kept."""
        model.set_weights([variable.numpy() for variable in self.variables])
