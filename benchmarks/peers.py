"""Training against PyTorch, pythae and Keras's example, on the same architecture and weights.

    vae_zoo        the command's own loop, with its data pipeline and guard
    torch_eager    a plain loop: batches ready in memory, channels last, fused Adam
    torch_compile  the same, compiled
    pythae         the package's own trainer, data loader and all; it knows no bfloat16 on a CPU
    keras_example  a custom train_step as Keras's documentation teaches it, in `fit`

Parameter counts and the loss on the same weights, batch and noise are compared first. All use the
same threads and take turns. Pictures in colour have a discretised logistic, which is PyTorch's
alone to compare with: Keras's example and pythae have no likelihood of 8-bit pixels.
"""

import importlib.util

from benchmarks import candidates, harness, markdown, sections
from vae_zoo import errors

# name -> (registered model, constructor arguments, batch size of its own, data set)
_CASES = {
    "conv_vae": ("conv_vae", {}, None, "digits"),
    "vae": ("vae", {}, None, "digits"),
    "pythae_default": ("vae", {"hidden": (512,), "latent_size": 40}, 100, "digits"),
    "colour_32": ("conv_vae", {}, None, "shapes"),
    "colour_64": ("conv_vae", {}, None, "shapes/large"),
}
_BATCHES = 16  # PyTorch's, in memory
_EPOCH = {"mlp": 25_600, "conv": 6_400}  # images of a pass, where a candidate makes whole ones
_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
_RTOL = 1e-4  # of the loss, between the frameworks
_PEERS = ("torch_eager", "torch_compile", "pythae", "keras_example")

FLAGS = harness.define(
    models=(
        list(_CASES),
        "the models to train: conv_vae, vae, pythae_default (vae with 784-512-40 units and batches "
        "of 100 images), colour_32 and colour_64 (conv_vae on 8-bit pictures in colour with 32 or "
        "64 pixels a side)",
    ),
    batch_sizes=["128"],
    precisions=(list(_POLICIES), "float32, bfloat16 or both"),
    candidates=([], f"only these: one or several of {', '.join(_PEERS)} (default: all)"),
    rounds=7,
    smoke=False,
)


def run():
    """Times training of conv_vae and vae against PyTorch, pythae and Keras's example."""
    check_torch()
    harness.check_known("model", FLAGS.models, _CASES)
    harness.check_known("precision", FLAGS.precisions, _POLICIES)
    harness.check_known("candidate", FLAGS.candidates, _PEERS)
    sizes = harness.numbers("batch_sizes", FLAGS.batch_sizes)
    turns = harness.turns(FLAGS)
    rows = []
    for name in FLAGS.models:
        own = _CASES[name][2]
        for batch_size in [own] if own else sizes:
            for precision in FLAGS.precisions:
                row = {"model": name, "batch_size": batch_size, "precision": precision}
                reason = harness.missing(precision)
                row |= {"not_measured": reason} if reason else measure(**row, turns=turns)
                rows.append(row)
                print(markdown.line(sections.peers_columns([row]), row), flush=True)
                harness.write("peers", rows, smoke=FLAGS.smoke, packages=("torch", "pythae"))


def check_torch(*packages):
    """Raises a UserError where PyTorch, or another package of the extra, is not installed."""
    for package in ("torch", *packages):
        if importlib.util.find_spec(package) is None:
            raise errors.UserError(
                f"this benchmark needs {package}. Install the extra: pip install 'vae_zoo[peers]'."
            )


def measure(model, batch_size, precision, turns):
    """Returns the figures of one model, batch size and precision: images a second and ratios.

    Args:
        model: of _CASES.
        batch_size: images a step.
        precision: of _POLICIES.
        turns: (how many, seconds of each).
    """
    import torch

    from benchmarks import flops

    registered, arguments, _, dataset = _CASES[model]
    model, splits = candidates.prepare(
        registered,
        batch_size,
        dataset=dataset,
        precision=_POLICIES[precision],
        tiny=FLAGS.smoke,
        **({} if FLAGS.smoke else arguments),
    )
    work = _Work(model, splits, precision)
    same = work.check_same()
    count = flops.training_flops(model, batch_size)
    timed = {"vae_zoo": candidates.training_work(model, splits), **work.peers(FLAGS.candidates)}
    figures = harness.against_peak(timed, "images/s", count, *turns)
    return {**same, **figures, "flops_per_image": count, "threads": torch.get_num_threads()}


class _Work:
    """The same training in each framework."""

    def __init__(self, model, splits, precision):
        import numpy as np

        self.model, self.precision, self.batch_size = model, precision, splits.batch_size
        made = [batch["image"].numpy() for batch in splits.train_from(0).take(_BATCHES)]
        self.images = np.concatenate(made)  # [N, H, W, C]
        self.is_binary = model.likelihood_name == "bernoulli"

    def peers(self, wanted):
        """Returns {name: function} of the other candidates; see the module."""
        found = {
            "torch_eager": lambda: self.torch(compiled=False),
            "torch_compile": lambda: self.torch(compiled=True),
        }
        if self.precision == "bfloat16":
            found["torch_compile_float32"] = lambda: self.torch(compiled=True, precision="float32")
        if self.is_binary:
            found["keras_example"] = self.keras_example
            if self.precision == "float32" and importlib.util.find_spec("pythae"):
                found["pythae"] = self.pythae
        return {name: make() for name, make in found.items() if not wanted or name in wanted}

    def check_same(self):
        """Returns the parameter count and the losses; raises where the work is not the same."""
        import numpy as np
        import tensorflow as tf

        from benchmarks import keras_model
        from vae_zoo.probability import distributions

        config = {**self.model.get_config(), "dtype": "float32"}
        reference = type(self.model).from_config(config)
        reference.set_weights(self.model.get_weights())
        image = tf.constant(self.images[: self.batch_size])
        draws = np.random.default_rng(0).standard_normal((len(image), reference.latent_size))
        draws = draws.astype(np.float32)
        posterior = reference.posterior(image)
        z = distributions.reparameterize(posterior, draws)
        rate = posterior.kl_divergence(reference.prior())
        ours = float(tf.reduce_mean(rate - reference.likelihood(z).log_prob(image)))
        losses = self._torch_losses(reference, image.numpy(), draws)
        if self.is_binary:
            example = keras_model.DocumentedVAE(reference)
            losses["keras_example"] = float(sum(example.losses_of(image, draws)))
        for name, loss in losses.items():
            if not abs(ours - loss) <= _RTOL * ours:  # nor is nan
                raise RuntimeError(f"not the same model: loss {ours} here, {loss} of {name}")
        count = sum(int(np.prod(v.shape)) for v in reference.trainable_variables)
        return {"parameters": count, "loss": ours, "losses": losses}

    def _torch_losses(self, reference, image, draws):
        import numpy as np
        import torch

        from benchmarks.torch_models import TorchVAE, tensor

        image, draws = tensor(image), torch.from_numpy(draws)
        peer = TorchVAE(reference)
        count = sum(p.numel() for p in peer.parameters())
        if count != sum(int(np.prod(v.shape)) for v in reference.trainable_variables):
            raise RuntimeError(f"not the same model: {count} parameters in PyTorch")
        with torch.no_grad():
            losses = {"torch": float(peer(image, draws))}
        if self.is_binary and importlib.util.find_spec("pythae"):
            from benchmarks import pythae_models

            losses["pythae"] = pythae_models.loss(pythae_models.build(reference), image, draws)
        return losses

    def torch(self, compiled, precision=None):
        """Returns a function that makes some steps of PyTorch's."""
        import torch

        from benchmarks.torch_models import TorchVAE, tensor

        torch.manual_seed(0)
        peer = TorchVAE(self.model).to(memory_format=torch.channels_last)
        images = tensor(self.images).to(memory_format=torch.channels_last)
        batches = images.split(self.batch_size)
        forward = torch.compile(peer) if compiled else peer
        optimizer = torch.optim.Adam(peer.parameters(), lr=1e-3, fused=True)
        low = (precision or self.precision) == "bfloat16"
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=low)

        def work():
            for number in range(candidates.STEPS):
                image = batches[number % len(batches)]
                optimizer.zero_grad(set_to_none=True)
                with autocast:
                    loss = forward(image, torch.randn(len(image), self.model.latent_size))
                loss.backward()
                optimizer.step()
            return candidates.STEPS * self.batch_size

        return work

    def pythae(self):
        """Returns a function that makes a pass of pythae's trainer."""
        from benchmarks import pythae_models
        from benchmarks.torch_models import tensor

        vae = pythae_models.build(self.model)
        return pythae_models.training_work(vae, tensor(self._pass()), self.batch_size)

    def keras_example(self):
        """Returns a function that makes a pass of `fit`."""
        from benchmarks import keras_model

        return keras_model.training_work(self.model, self._pass(), self.batch_size)

    def _pass(self):
        """Returns images for a whole pass, [N, H, W, C], N being a multiple of the batch."""
        import numpy as np

        count = 2 * self.batch_size if FLAGS.smoke else _EPOCH[self.model.network]
        count -= count % self.batch_size
        return np.resize(self.images, (count, *self.images.shape[1:]))
