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
        return self._logits(self.codes(tf.concat([start, codes[:, :-1]], axis=1)))

    def logits_of(self, one_hots):
        """Returns the logits of codes as one-hot vectors [N, L, V], with a gradient to these."""
        table = tf.cast(self.codes.embeddings, self.compute_dtype)  # [V + 1, width]
        start = tf.zeros_like(one_hots[:, :1, :1], table.dtype) + table[-1]  # [N, 1, width]
        before = tf.matmul(tf.cast(one_hots[:, :-1], table.dtype), table[:-1])
        return self._logits(tf.concat([start, before], axis=1))

    def _logits(self, x):
        """Returns the logits of what is seen at each place, [N, L, width]."""
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

        def place(index, codes, before, caches):
            logits, caches = self.next_logits(before, index, caches)
            below = tf.cumsum(tf.nn.softmax(logits / tf.maximum(temperature, 1e-6)), axis=-1)
            threshold = tf.gather(uniforms, index, axis=1)[:, tf.newaxis]
            code = tf.reduce_sum(tf.cast(below[:, :-1] <= threshold, tf.int32), -1, keepdims=True)
            here = tf.cast(tf.equal(tf.range(self.length), index), tf.int32)  # [L]
            return index + 1, codes + here * code, code, caches

        nothing = tf.zeros_like(uniforms, tf.int32)
        start = self.vocabulary + nothing[:, :1]
        loop = (tf.constant(0), nothing, start, self.empty_caches(uniforms))
        return tf.while_loop(lambda index, *_: index < self.length, place, loop)[1]

    def next_logits(self, before, index, caches):
        """Returns (logits of one place [N, V], the caches with that place's keys and values).

        Args:
            before: the code before the place, int32 [N, 1]; V at the start.
            index: of the place, int32.
            caches: (keys, values) of the places before, for each block; see CausalBlock.step.
        """
        x = self.codes(before)
        x += tf.cast(tf.gather(self.places, index), x.dtype)
        filled = []
        for block, cache in zip(self.blocks, caches, strict=True):
            x, cache = block.step(x, index, cache)
            filled.append(cache)
        return tf.cast(self.head(self.norm(x)), tf.float32)[:, 0], filled

    def empty_caches(self, uniforms):
        """Returns the caches of `next_logits` before the first place: zeros.

        Args:
            uniforms: float32 [N, L] in [0, 1). The zeros are computed from them: as a constant they
                would be stored in an export, for each batch size.
        """
        block = self.blocks[0]
        zero = tf.cast(tf.minimum(uniforms, 0.0), self.compute_dtype)[:, tf.newaxis, :, tf.newaxis]
        parts = tf.zeros([1, block.heads, 1, self.width // block.heads], zero.dtype)
        return [(zero + parts, zero + parts) for _ in self.blocks]

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
        places = tf.range(x.shape[1])
        query, key, value = self._parts(x)
        return self._taken(query, key, value, places > places[:, tf.newaxis])

    def step(self, x, index, cache):
        """Returns (what `call` gives at one place [N, 1, width], the cache with that place).

        Args:
            x: of that place alone, [N, 1, width].
            index: of the place, int32.
            cache: (keys, values) of the places before, [N, heads, L, size] each; zeros elsewhere.
        """
        query, key, value = self._parts(self.norms[0](x))
        places = tf.range(cache[0].shape[2])
        here = tf.cast(tf.equal(places, index), key.dtype)[:, tf.newaxis]  # [L, 1]
        keys, values = cache[0] + here * key, cache[1] + here * value
        x = x + self._taken(query, keys, values, places > index)
        return x + self.narrow(self.wide(self.norms[1](x))), (keys, values)

    def _parts(self, x):
        """Returns (query, key, value) of places x [N, L, width], [N, heads, L, size] each."""
        size = self.width // self.heads
        parts = tf.reshape(self.joint(x), [-1, x.shape[1], 3 * self.heads, size])
        return tf.split(tf.transpose(parts, [0, 2, 1, 3]), 3, axis=1)

    def _taken(self, query, key, value, hidden):
        """Returns the attention's result, [N, Q, width]; `hidden` [Q, L] says what is not seen."""
        scores = tf.matmul(query, key, transpose_b=True)
        scores = tf.cast(scores, tf.float32) / math.sqrt(self.width // self.heads)
        weights = tf.nn.softmax(scores - 1e9 * tf.cast(hidden, tf.float32))
        taken = tf.matmul(tf.cast(weights, value.dtype), value)
        taken = tf.transpose(taken, [0, 2, 1, 3])  # [N, Q, heads, size]
        return self.mixed(tf.reshape(taken, [-1, query.shape[2], self.width]))

    def get_config(self):
        return {**super().get_config(), "width": self.width, "heads": self.heads}
