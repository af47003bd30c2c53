"""Importance-weighted samples a second: ours against pythae's get_nll on the same weights.

The network is pythae's own default (784-512-40). Both estimates of the NLL are compared first:
they may differ by what the samples' noise allows. Both take turns with the matrix product whose
speed is the peak.
"""

from absl import flags

from benchmarks import candidates, harness, peers
from vae_zoo import errors

FLAGS = flags.FlagValues()
flags.DEFINE_integer("num_samples", 5000, "importance samples an image", flag_values=FLAGS)
flags.DEFINE_integer("num_images", 16, "images a call", flag_values=FLAGS)
flags.DEFINE_integer("rounds", 7, "turns of each candidate", flag_values=FLAGS)
flags.DEFINE_bool("smoke", False, "seconds, of a small model; nothing is kept", flag_values=FLAGS)

_TRAINED = 2000  # steps before: with fewer, few weights count and the estimates are noise
_CHUNKS = (100, 1000)  # pythae's default batch_size, and a better one for it
_SMOKE_SAMPLES = 200
_AGREE = 0.5  # nats


def run():
    """Times the importance-weighted NLL against pythae's get_nll on pythae's default network."""
    peers.check_torch("pythae")
    harness.check_rounds(FLAGS.rounds)
    errors.at_least("--num_images", FLAGS.num_images, 1)
    chunks, samples = _samples()
    model, splits = _trained()
    images = splits.images("test", 2 if FLAGS.smoke else FLAGS.num_images)
    speeds, nll = _take_turns(model, images, samples, chunks)
    figures = {
        "dataset": splits.name,
        "network": [784, *(model.hidden or ()), model.latent_size],
        "num_samples": samples,
        "num_images": len(images),
        "nll": nll,
        **_speed_figures(model, speeds),
    }
    for name, figure in figures["samples_per_second"].items():
        milliseconds = 1000 * samples / figure["median"]
        print(f"{name}: {figure['median']:,.0f} samples/s, {milliseconds:.1f} ms an image")
    harness.write("likelihood", figures, smoke=FLAGS.smoke, packages=("torch", "pythae"))


def _samples():
    """Returns pythae's batch sizes and the samples an image, whole batches of each."""
    chunks = (_SMOKE_SAMPLES,) if FLAGS.smoke else _CHUNKS
    samples = _SMOKE_SAMPLES if FLAGS.smoke else FLAGS.num_samples
    if samples < 1 or samples % max(chunks):
        raise errors.UserError(
            f"--num_samples={samples}: expected a multiple of {max(chunks)}: pythae's get_nll "
            "takes whole batches of samples."
        )
    return chunks, samples


def _trained():
    """Returns pythae's default network as a model, trained for a moment, and its data."""
    arguments = {} if FLAGS.smoke else {"hidden": (512,), "latent_size": 40}
    model, splits = candidates.prepare("vae", 100, tiny=FLAGS.smoke, **arguments)
    train, steps = candidates.training_work(model, splits), 20 if FLAGS.smoke else _TRAINED
    while model.steps_made < steps:
        train()
    return model, splits


def _take_turns(model, images, samples, chunks):
    """Returns {candidate: speed of each turn} and {candidate: NLL}; raises where NLLs differ."""
    from benchmarks import flops, pythae_models
    from vae_zoo.metrics import likelihood

    vae, nll = pythae_models.build(model), {}

    def ours():
        nll["vae_zoo"] = likelihood.evaluate(model, images, num_samples=samples).nll
        return len(images) * samples

    def theirs(chunk):
        def work():
            nll[f"pythae_{chunk}"] = pythae_models.nll(vae, images, samples, chunk)
            return len(images) * samples

        return work

    turns = {"vae_zoo": ours, **{f"pythae_{chunk}": theirs(chunk) for chunk in chunks}}
    seconds = 0.1 if FLAGS.smoke else harness.SECONDS
    turns["matmul"] = flops.matmul_work(seconds=seconds)
    speeds = harness.interleave(turns, 1 if FLAGS.smoke else FLAGS.rounds, seconds)
    for name, value in nll.items():
        if not FLAGS.smoke and not abs(value - nll["vae_zoo"]) <= _AGREE:  # nor is nan
            raise RuntimeError(f"NLL {value} of {name}, {nll['vae_zoo']} here")
    return speeds, nll


def _speed_figures(model, speeds):
    from benchmarks import flops

    peak, decoding = speeds.pop("matmul"), flops.decoding_flops(model)
    ours = speeds["vae_zoo"]
    return {
        "samples_per_second": {k: harness.figure(v, "samples/s") for k, v in speeds.items()},
        "ratio": {k: harness.ratio(ours, v) for k, v in speeds.items() if k != "vae_zoo"},
        "flops_per_sample": decoding,
        "float32_peak": harness.figure(peak, "FLOP/s"),
        "share_of_float32_peak": harness.share(ours, decoding, peak),
    }
