"""pythae's VAE trained by its own trainer with its own published settings, against minutes.

Its reproduction of the VAE on binarised MNIST (89.78 nats after 500 epochs): an MLP of 400 units,
40 latent dimensions, batches of 100, Adam at 1e-4 with its schedule, and PyTorch's first weights.
The NLL is its own get_nll, of the weights with the best validation loss so far, which its trainer
keeps; evaluation does not count as training, validation does.
"""

import contextlib
import io
import time

import torch
from pythae.trainers.training_callbacks import TrainingCallback

from benchmarks import pythae_models
from benchmarks.torch_models import tensor
from vae_zoo import registry

_BATCH, _EPOCHS, _LEARNING_RATE = 100, 500, 1e-4
_NETWORK = {"hidden": (400,), "latent_size": 40}
_SCHEDULE = {
    "scheduler_cls": "MultiStepLR",
    "scheduler_params": {"milestones": [200, 350, 500, 750, 1000], "gamma": 10 ** (-1 / 5)},
}


class _Done(Exception):
    """The last mark is reached."""


class _Marks(TrainingCallback):
    """Evaluates at the first end of an epoch after each mark, the clock standing still."""

    def __init__(self, marks, evaluate):
        self.marks, self.evaluate = list(marks), evaluate
        self.points, self.epoch = [], 0
        self.start, self.cpu_start = time.monotonic(), time.process_time()

    def on_epoch_end(self, training_config, **kwargs):
        self.epoch += 1
        minutes = (time.monotonic() - self.start) / 60
        if minutes < self.marks[0]:
            return
        cpu = (time.process_time() - self.cpu_start) / 60
        figures = self.evaluate()
        print(f"pythae: {minutes:.1f} minutes, NLL {figures['nll']:.2f}", flush=True)
        self.points.append(
            {"minutes": minutes, "cpu_minutes": cpu, "epochs": self.epoch, **figures}
        )
        while self.marks and self.marks[0] <= minutes:
            self.marks.pop(0)
        if not self.marks:
            raise _Done
        self.start = time.monotonic() - 60 * minutes
        self.cpu_start = time.process_time() - 60 * cpu


def measure(splits_of, marks, curve, final):
    """Returns the curve (minutes, epochs, NLL of each mark) and the figures of its end.

    Args:
        splits_of: a function of the batch size that returns the data.
        marks: minutes of training after which to evaluate.
        curve: {"images", "samples"} of the curve's evaluation.
        final: {"images", "samples"} of the last one; images None is all of them.
    """
    splits = splits_of(_BATCH)
    vae = _first_weights(pythae_models.build(_network()))
    test = splits.images("test")

    def evaluate(images, samples):
        best = trainer._best_model
        return pythae_models.likelihood_figures(best, test[:images], samples)

    marks = _Marks(marks, lambda: evaluate(**curve))
    trainer = pythae_models.trainer(
        vae,
        tensor(splits.images("train")),
        _BATCH,
        _LEARNING_RATE,
        epochs=_EPOCHS,
        settings=_SCHEDULE,
        eval_dataset=pythae_models.dataset(tensor(splits.images("validation"))),
        callbacks=[marks],
    )
    marks.start, marks.cpu_start = time.monotonic(), time.process_time()
    with contextlib.suppress(_Done), contextlib.redirect_stderr(io.StringIO()):
        trainer.train()
    count = sum(parameter.numel() for parameter in vae.parameters())
    return {
        "curve": marks.points,
        "parameters": count,
        "num_train": splits.num_train,
        "final": {
            **evaluate(**final),
            "num_images": len(test[: final["images"]]),
            "num_samples": final["samples"],
        },
    }


def _network():
    """Returns the architecture as a vae_zoo.VAE, which pythae_models translates."""
    return registry.create_model("vae", image_shape=(28, 28, 1), **_NETWORK)


def _first_weights(vae):
    torch.manual_seed(123)  # theirs
    for layer in vae.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.reset_parameters()
    return vae
