"""Importance-weighted samples a second: ours against pythae's get_nll on the same weights.

The network is pythae's own default (784-512-40). Both estimates of the NLL are compared first:
they may differ by what the samples' noise allows. Both take turns with the matrix product whose
speed is the peak.
"""

from benchmarks import candidates, harness, peers
from vae_zoo import errors

FLAGS = harness.define(
    num_samples=5000,
    num_images=16,
    rounds=7,
    smoke=False,
)

_TRAINED = 2000  # steps before: with fewer, few weights count and the estimates are noise
_CHUNKS = (100, 1000)  # pythae's default batch_size, and a better one for it
_SMOKE_SAMPLES = 200
_AGREE = 0.5  # nats


def run():
    """Times the importance-weighted NLL against pythae's get_nll on pythae's default network."""
    peers.check_torch("pythae")
    turns = harness.turns(FLAGS, smoke_rounds=1)
    errors.at_least("--num_images", FLAGS.num_images, 1)
    chunks, samples = _samples()
    model, splits = _trained()
    images = splits.images("test", 2 if FLAGS.smoke else FLAGS.num_images)
    figures = {
        "dataset": splits.name,
        "network": [784, *(model.hidden or ()), model.latent_size],
        "num_samples": samples,
        "num_images": len(images),
        **_figures(model, images, samples, chunks, turns),
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


def _figures(model, images, samples, chunks, turns):
    """Returns the speeds and NLLs of the candidates; raises where the NLLs differ."""
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

    work = {"vae_zoo": ours, **{f"pythae_{chunk}": theirs(chunk) for chunk in chunks}}
    decoding = flops.decoding_flops(model)
    speeds = harness.against_peak(work, "samples/s", decoding, *turns)
    for name, value in nll.items():
        if not FLAGS.smoke and not abs(value - nll["vae_zoo"]) <= _AGREE:  # nor is nan
            raise RuntimeError(f"NLL {value} of {name}, {nll['vae_zoo']} here")
    return {"nll": nll, **speeds, "flops_per_sample": decoding}
