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
    from benchmarks import flops, pythae_models
    from vae_zoo.metrics import likelihood

    harness.check_rounds(FLAGS.rounds)
    errors.at_least("--num_images", FLAGS.num_images, 1)
    chunks = (_SMOKE_SAMPLES,) if FLAGS.smoke else _CHUNKS
    samples = _SMOKE_SAMPLES if FLAGS.smoke else FLAGS.num_samples
    if samples < 1 or samples % max(chunks):
        raise errors.UserError(
            f"--num_samples={samples}: expected a multiple of {max(chunks)}: pythae's get_nll "
            "takes whole batches of samples."
        )
    arguments = {} if FLAGS.smoke else {"hidden": (512,), "latent_size": 40}
    model, splits = candidates.prepare("vae", 100, tiny=FLAGS.smoke, **arguments)
    train, steps = candidates.training_work(model, splits), 20 if FLAGS.smoke else _TRAINED
    while model.steps_made < steps:
        train()
    images = splits.images("test", 2 if FLAGS.smoke else FLAGS.num_images)
    vae = pythae_models.build(model)
    found = {}

    def ours():
        found["vae_zoo"] = likelihood.evaluate(model, images, num_samples=samples).nll
        return len(images) * samples

    def theirs(chunk):
        def work():
            found[f"pythae_{chunk}"] = pythae_models.nll(vae, images, samples, chunk)
            return len(images) * samples

        return work

    turns = {"vae_zoo": ours, **{f"pythae_{chunk}": theirs(chunk) for chunk in chunks}}
    seconds = 0.1 if FLAGS.smoke else harness.SECONDS
    turns["matmul"] = flops.matmul_work(seconds=seconds)
    speeds = harness.interleave(turns, 1 if FLAGS.smoke else FLAGS.rounds, seconds)
    for name, nll in found.items():
        if not FLAGS.smoke and abs(nll - found["vae_zoo"]) > _AGREE:
            raise RuntimeError(f"NLL {nll} of {name}, {found['vae_zoo']} here")
    peak = speeds.pop("matmul")
    decoding = flops.decoding_flops(model)
    figures = {
        "dataset": splits.name,
        "network": [784, *(model.hidden or ()), model.latent_size],
        "num_samples": samples,
        "num_images": len(images),
        "nll": found,
        "samples_per_second": {k: harness.figure(v, "samples/s") for k, v in speeds.items()},
        "ratio": {k: harness.ratio(speeds["vae_zoo"], v) for k, v in speeds.items()
                  if k != "vae_zoo"},
        "flops_per_sample": decoding,
        "float32_peak": harness.figure(peak, "FLOP/s"),
        "share_of_float32_peak": harness.share(speeds["vae_zoo"], decoding, peak),
    }  # fmt: skip
    for name, figure in figures["samples_per_second"].items():
        milliseconds = 1000 * samples / figure["median"]
        print(f"{name}: {figure['median']:,.0f} samples/s, {milliseconds:.1f} ms an image")
    harness.write("likelihood", figures, smoke=FLAGS.smoke, packages=("torch", "pythae"))
