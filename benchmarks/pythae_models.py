"""The real pythae package on our architecture and weights: its VAE, its trainer, its get_nll."""

import contextlib
import io
import itertools
import logging
import tempfile

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig

from benchmarks.torch_models import TorchVAE, tensor

for _name in [name for name in logging.root.manager.loggerDict if name.startswith("pythae")]:
    logging.getLogger(_name).setLevel(logging.ERROR)  # they are talkative


class _Encoder(BaseEncoder):
    def __init__(self, peer):
        super().__init__()
        self.layers, self.head, self.peer = peer.encoder, peer.head, [peer]

    def forward(self, x):
        mean, log_scale = self.peer[0].posterior(x)
        return ModelOutput(embedding=mean, log_covariance=2 * log_scale)


class _Decoder(BaseDecoder):
    def __init__(self, peer):
        super().__init__()
        self.layers, self.peer = peer.decoder, [peer]

    def forward(self, z):
        return ModelOutput(reconstruction=self.peer[0].decode(z))


def build(model):
    """Returns pythae's VAE of the architecture and weights of a vae_zoo.VAE, mlp or conv."""
    peer = TorchVAE(model)
    config = VAEConfig(
        input_dim=(1, 28, 28), latent_dim=model.latent_size, reconstruction_loss="bce"
    )
    return VAE(config, _Encoder(peer), _Decoder(peer))


def loss(vae, image, draws):
    """Returns pythae's own loss for images [B, 1, 28, 28] and given normals [B, D]."""
    vae._sample_gauss = lambda mean, std: (mean + draws * std, draws)
    with torch.no_grad():
        value = float(vae({"data": image}).loss)
    del vae._sample_gauss
    return value


def trainer(vae, images, batch_size, learning_rate=1e-3, epochs=1, settings=None, **arguments):
    """Returns pythae's trainer.

    Args:
        vae: a pythae VAE.
        images: float [N, 1, 28, 28].
        batch_size: images a step.
        learning_rate: Adam's.
        epochs: of `train`.
        settings: more of BaseTrainerConfig.
        **arguments: more of BaseTrainer: an eval_dataset, callbacks.
    """
    scratch = tempfile.TemporaryDirectory(prefix="pythae-")
    config = BaseTrainerConfig(
        output_dir=scratch.name,
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=batch_size,
        learning_rate=learning_rate,
        num_epochs=epochs,
        no_cuda=True,
        **(settings or {}),
    )
    made = BaseTrainer(vae, dataset(images), training_config=config, **arguments)
    made.scratch = scratch  # gone with the trainer
    return made


def dataset(images):
    """Returns pythae's data set of images [N, 1, 28, 28], labels being of no use."""
    return BaseDataset(images, torch.zeros(len(images)))


def training_work(vae, images, batch_size):
    """Returns a function that trains one epoch by pythae's trainer and returns the images seen."""
    made, epochs = trainer(vae, images, batch_size), itertools.count(1)
    made.prepare_training()

    def work():
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
            made.train_step(next(epochs))
        return len(images)

    return work


def nll(vae, images, num_samples, chunk):
    """Returns pythae's importance-weighted NLL in nats.

    Args:
        vae: a pythae VAE.
        images: float [N, H, W, 1].
        num_samples: of an image; a multiple of `chunk`.
        chunk: its batch_size, samples decoded at once.
    """
    with torch.no_grad():
        return -float(vae.get_nll(tensor(images), n_samples=num_samples, batch_size=chunk))


def likelihood_figures(vae, images, samples):
    """Returns elbo, rate, distortion, nll and nll_stderr in nats, over images [N, H, W, 1]."""
    vae.eval()
    with torch.no_grad():
        output = vae({"data": tensor(images)})
    each = [nll(vae, image[np.newaxis], samples, samples) for image in images]
    vae.train()
    return {
        "elbo": -float(output.loss),
        "rate": float(output.reg_loss),
        "distortion": float(output.recon_loss),
        "nll": float(np.mean(each)),
        "nll_stderr": float(np.std(each, ddof=1) / np.sqrt(len(each))),
    }
