"""Training against PyTorch: the same architecture, weights, batch, precision and threads.

Parameter counts and the loss on the same weights, batch and noise are compared first. Ours is the
command's own loop, data pipeline, guard and all; PyTorch's step has its batches ready in memory,
channels last, and its fused Adam.
"""

from absl import flags

from vae_zoo import errors

FLAGS = flags.FlagValues()
flags.DEFINE_list("models", "conv_vae,vae", "which of conv_vae, vae", flag_values=FLAGS)
flags.DEFINE_list("batch_sizes", "128", "images a step", flag_values=FLAGS)
flags.DEFINE_list("precisions", "float32,bfloat16", "float32, bfloat16", flag_values=FLAGS)
flags.DEFINE_integer("rounds", 7, "turns of each candidate", flag_values=FLAGS)
flags.DEFINE_bool("smoke", False, "seconds, of a small model; nothing is kept", flag_values=FLAGS)

_STEPS = 20  # a call
_BATCHES = 16  # PyTorch's, in memory
_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
_RTOL = 1e-4  # of the loss, between the frameworks


def run():
    """Times training of conv_vae and vae against PyTorch eager and torch.compile."""
    check_torch()
    from benchmarks import harness

    rows = []
    for name in FLAGS.models:
        for batch_size in map(int, FLAGS.batch_sizes):
            for precision in FLAGS.precisions:
                rows.append(measure(name, batch_size, precision))
                print(_line(rows[-1]), flush=True)
    harness.write("peers", rows, smoke=FLAGS.smoke)


def check_torch():
    """Raises a UserError where PyTorch is not installed."""
    import importlib.util

    if importlib.util.find_spec("torch") is None:
        raise errors.UserError(
            "this benchmark needs PyTorch. Install the extra: pip install 'vae_zoo[peers]'."
        )


def measure(name, batch_size, precision):
    """Returns the figures of one model, batch size and precision: images a second and ratios."""
    from benchmarks import flops, harness

    import torch

    model, splits = _ours(name, batch_size, precision)
    batches = _torch_batches(splits, model)
    same = _check_same(model, batches)
    candidates = {
        "vae_zoo": _our_step(model, splits),
        "torch_eager": _torch_step(model, batches, precision, compiled=False),
        "torch_compile": _torch_step(model, batches, precision, compiled=True),
    }
    seconds = 0.2 if FLAGS.smoke else harness.SECONDS
    rounds = 3 if FLAGS.smoke else FLAGS.rounds
    speeds = harness.interleave(candidates, rounds, seconds)
    peak = flops.peak(seconds=seconds)
    count = flops.training_flops(model, batch_size)
    ours = harness.figure(speeds["vae_zoo"], "images/s")
    return {
        "model": name,
        "batch_size": batch_size,
        "precision": precision,
        **same,
        "images_per_second": {k: harness.figure(v, "images/s") for k, v in speeds.items()},
        "ratio": {
            k: harness.ratio(speeds["vae_zoo"], speeds[k]) for k in speeds if k != "vae_zoo"
        },
        "flops_per_image": count,
        "float32_peak": peak,
        "share_of_float32_peak": ours["median"] * count / peak,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def _ours(name, batch_size, precision):
    from vae_zoo import datasets, registry, training

    splits = datasets.load("digits", batch_size=batch_size)
    model = registry.create_model(
        name, tiny=FLAGS.smoke, image_shape=splits.image_shape, dtype=_POLICIES[precision]
    )
    training.compile_model(model, training.Settings(epochs=10_000), 10_000)
    return model, splits


def _our_step(model, splits):
    import tensorflow as tf

    iterator, loop = iter(splits.train_from(0)), model.make_train_function()

    def work():
        loop(iterator)
        tf.convert_to_tensor(model.optimizer.iterations).numpy()  # waits
        return _STEPS * splits.batch_size

    return work


def _torch_batches(splits, model):
    import torch

    made = []
    for batch, _ in zip(splits.train_from(0), range(_BATCHES), strict=False):
        image = torch.from_numpy(batch["image"].numpy()).permute(0, 3, 1, 2).contiguous()
        made.append((image, torch.randn(len(image), model.latent_size)))
    return made


def _check_same(model, batches):
    """Returns the parameter count and the losses; raises where the work is not the same."""
    from benchmarks.torch_models import TorchVAE
    from vae_zoo import distributions

    import numpy as np
    import tensorflow as tf
    import torch

    image, draws = batches[0]
    inputs = tf.constant(image.permute(0, 2, 3, 1).numpy())
    reference = type(model).from_config({**model.get_config(), "dtype": "float32"})
    reference.set_weights(model.get_weights())
    posterior = reference.posterior(inputs)
    z = distributions.reparameterize(posterior, draws.numpy())
    rate = posterior.kl_divergence(reference.prior())
    ours = float(tf.reduce_mean(rate - reference.likelihood(z).log_prob(inputs)))
    peer = TorchVAE(reference)
    with torch.no_grad():
        theirs = float(peer(image, draws))
    count = sum(int(np.prod(v.shape)) for v in reference.trainable_variables)
    if count != sum(p.numel() for p in peer.parameters()) or abs(ours - theirs) > _RTOL * ours:
        raise RuntimeError(f"not the same model: loss {ours} here, {theirs} in PyTorch")
    return {"parameters": count, "loss": ours, "loss_torch": theirs}


def _torch_step(model, batches, precision, compiled):
    import torch

    from benchmarks.torch_models import TorchVAE

    torch.manual_seed(0)
    peer = TorchVAE(model).to(memory_format=torch.channels_last)
    batches = [(image.to(memory_format=torch.channels_last), draws) for image, draws in batches]
    forward = torch.compile(peer) if compiled else peer
    optimizer = torch.optim.Adam(peer.parameters(), lr=1e-3, fused=True)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")

    def work():
        for number in range(_STEPS):
            image, draws = batches[number % len(batches)]
            optimizer.zero_grad(set_to_none=True)
            with autocast:
                loss = forward(image, torch.randn_like(draws))
            loss.backward()
            optimizer.step()
        return _STEPS * len(batches[0][0])

    return work


def _line(row):
    speeds = {k: v["median"] for k, v in row["images_per_second"].items()}
    return (
        f"{row['model']} batch {row['batch_size']} {row['precision']}: "
        + ", ".join(f"{name} {speed:,.0f} images/s" for name, speed in speeds.items())
        + f"; {row['ratio']['torch_compile']['median']:.2f} times torch.compile, "
        f"{row['ratio']['torch_eager']['median']:.2f} times eager; "
        f"{100 * row['share_of_float32_peak']:.0f}% of the float32 peak"
    )
