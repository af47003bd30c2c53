"""The conditional VAE: images of a class that one asks for.

    log p(x | y) >= E_q(z|x,y) [log p(x | z, y)] - KL(q(z | x, y) || p(z | y))

The encoder sees the label as one more channel, the decoder as a one-hot vector joined to z.
`prior="standard"` makes z independent of the label; `prior="conditional"` learns p(z | y).

Sohn, Lee and Yan (2015), "Learning structured output representation using deep conditional
generative models", eq. 4, with the label y in the place of their x.
"""

import keras
import tensorflow as tf

from vae_zoo.vae import VAE


class CVAE(VAE):
    """Label-conditional VAE; arguments are those of VAE, `num_classes` being needed.

    Example:
        model = CVAE(image_shape=(28, 28, 1), network="conv", num_classes=10)
        model.generate(seed=0, label=[7, 7, 7])  # three sevens, [3, 28, 28, 1]
    """

    needs_labels = True
    combines = {
        **VAE.combines,
        "prior": ("standard", "conditional", "mixture", "maf", "realnvp"),
    }

    def build_networks(self):
        height, width, channels = self.image_shape
        self.label_channel = keras.layers.Embedding(
            self.num_classes, height * width, dtype=self.dtype_policy
        )
        self.label_channel.build((None,))
        self.encoder = self.build_encoder((height, width, channels + 1))
        self.posterior_head = self.build_head(
            self.encoder.output_shape[-1], self.posterior_part.parameters
        )
        self.decoder = self.build_decoder(self.latent_size + self.num_classes)

    def features(self, image, label=None):
        image = self.centred(image)
        channel = tf.reshape(self.label_channel(label), [-1, *self.image_shape[:2], 1])
        both = tf.concat([image, tf.cast(channel, image.dtype)], axis=-1)
        return self.posterior_head(self.encoder(both))

    def decoder_inputs(self, z, label=None):
        one_hot = tf.one_hot(label, self.num_classes, dtype=z.dtype)  # [B, classes]
        shape = tf.concat([tf.shape(z)[:-1], [self.num_classes]], 0)
        return tf.concat([z, tf.broadcast_to(one_hot, shape)], axis=-1)
