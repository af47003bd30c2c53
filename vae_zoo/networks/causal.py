"""A causal transformer over sequences of codes: an autoregressive distribution.

    log p(c) = sum_i log p(c_i | c_1, ..., c_{i-1})

Vaswani et al. (2017), "Attention is all you need", in the pre-normalised form of Radford et al.
(2019).
"""

import math

import keras
import tensorflow as tf
from keras import layers


@keras.saving.register_keras_serializable("vae_zoo")
class CausalTransformer(layers.Layer):
    """Codes int32 [N, L] -> logits float32 [N, L, V]; those of place i see the codes before i.

    Args:
        vocabulary: V, different codes.
        length: L, places of a sequence.
        width: channels.
        depth: blocks.
        heads: of the attention; they divide the width.
    """

    def __init__(self, vocabulary, length, width, depth, heads=4, **kwargs):
        super().__init__(**kwargs)
        self.vocabulary, self.length, self.width = vocabulary, length, width
        policy = self.dtype_policy
        self.codes = layers.Embedding(vocabulary + 1, width, dtype=policy)  # the last one: start
        self.places = self.add_weight(
            name="places", shape=(length, width), initializer=keras.initializers.RandomNormal()
        )
        self.blocks = [CausalBlock(width, heads, dtype=policy) for _ in range(depth)]
        self.norm = layers.LayerNormalization(dtype=policy)
        self.head = layers.Dense(vocabulary, kernel_initializer="zeros", dtype=policy)

    def build(self, input_shape):
        del input_shape
        shape = (None, self.length, self.width)
        self.codes.build((None, self.length))
        for part in (*self.blocks, self.norm, self.head):
            part.build(shape)

    def call(self, codes):
        start = self.vocabulary + 0 * codes[:, :1]
        x = self.codes(tf.concat([start, codes[:, :-1]], axis=1))
        x += tf.cast(self.places, x.dtype)
        for block in self.blocks:
            x = block(x)
        return tf.cast(self.head(self.norm(x)), tf.float32)

    def log_prob(self, codes):
        """Returns log p(codes) in nats, [N], for int32 [N, L]."""
        return -tf.reduce_sum(
            tf.nn.sparse_softmax_cross_entropy_with_logits(codes, self(codes)), axis=-1
        )

    @tf.function(autograph=False, reduce_retracing=True)  # many steps, each of many operations
    def draw(self, uniforms, temperature=1.0):
        """Returns the codes whose places in the distribution the uniforms are, int32 [N, L].

        One code after the other, by the inverse of its conditional distribution function.

        Args:
            uniforms: float32 [N, L] in [0, 1).
            temperature: what the logits are divided by; 0 takes the likeliest code each time.
        """

        def place(index, codes):
            logits = tf.gather(self(codes), index, axis=1) / tf.maximum(temperature, 1e-6)
            below = tf.cumsum(tf.nn.softmax(logits), axis=-1)[:, :-1]  # [N, V - 1]
            threshold = tf.gather(uniforms, index, axis=1)[:, tf.newaxis]
            code = tf.reduce_sum(tf.cast(below <= threshold, tf.int32), axis=-1, keepdims=True)
            here = tf.cast(tf.equal(tf.range(self.length), index), tf.int32)  # [L]
            return index + 1, codes + here * code

        nothing = tf.zeros_like(uniforms, tf.int32)
        loop = (tf.constant(0), nothing)
        return tf.while_loop(lambda index, _: index < self.length, place, loop)[1]

    def get_config(self):
        sizes = {"vocabulary": self.vocabulary, "length": self.length, "width": self.width}
        shape = {"depth": len(self.blocks), "heads": self.blocks[0].heads}
        return {**super().get_config(), **sizes, **shape}


@keras.saving.register_keras_serializable("vae_zoo")
class CausalBlock(layers.Layer):
    """x + attention to the places up to one's own, then + a two-layer perceptron.

    Args:
        width: channels.
        heads: of the attention.
    """

    def __init__(self, width, heads, **kwargs):
        super().__init__(**kwargs)
        self.width, self.heads = width, heads
        policy = self.dtype_policy
        self.norms = [layers.LayerNormalization(dtype=policy) for _ in range(2)]
        self.joint = layers.Dense(3 * width, use_bias=False, dtype=policy)
        self.mixed = layers.Dense(width, dtype=policy)
        self.wide = layers.Dense(4 * width, activation="relu", dtype=policy)
        self.narrow = layers.Dense(width, dtype=policy)

    def build(self, input_shape):
        for part in (*self.norms, self.joint, self.mixed, self.wide):
            part.build(input_shape)
        self.narrow.build((*input_shape[:-1], 4 * self.width))

    def call(self, x):
        x = x + self.attend(self.norms[0](x))
        return x + self.narrow(self.wide(self.norms[1](x)))

    def attend(self, x):
        """Returns what each place takes from itself and those before it, [N, L, width]."""
        length = x.shape[1]
        size = self.width // self.heads
        parts = tf.reshape(self.joint(x), [-1, length, 3 * self.heads, size])
        query, key, value = tf.split(tf.transpose(parts, [0, 2, 1, 3]), 3, axis=1)
        scores = tf.cast(tf.matmul(query, key, transpose_b=True), tf.float32) / math.sqrt(size)
        places = tf.range(length)
        later = tf.cast(places > places[:, tf.newaxis], tf.float32)  # [L, L]
        weights = tf.cast(tf.nn.softmax(scores - 1e9 * later), value.dtype)
        taken = tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3])  # [N, L, heads, size]
        return self.mixed(tf.reshape(taken, [-1, length, self.width]))

    def get_config(self):
        return {**super().get_config(), "width": self.width, "heads": self.heads}
