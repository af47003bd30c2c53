"""Functions written so that no runtime overflows, whichever operations it makes of them."""

import tensorflow as tf


def softplus(x):
    """Returns log(1 + exp(x)), to within 1e-7, for any finite x.

    tf.nn.softplus becomes log(1 + exp(x)) as it stands in TFLite: infinite beyond 88.
    """
    return tf.nn.relu(x) + tf.math.log1p(tf.exp(-tf.abs(x)))
