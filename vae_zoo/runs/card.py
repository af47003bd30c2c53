"""A model card: what a trained model is, what it was trained on, how good it is, what it is for.

Markdown with the metadata header that the Hugging Face hub reads, so that the folder can be put
there as it is.
"""

import pathlib

from vae_zoo import memory, presets, registry
from vae_zoo.datasets import catalogue
from vae_zoo.metrics import latent_space
from vae_zoo.probability import noise
from vae_zoo.runs import plots

_DRAWN = 40
_UNKNOWN = "not known here: see where the data comes from"


def draw(directory, model, seed):
    """Draws samples.png of a preset: 40 images from the prior."""
    labels = latent_space.cycle_labels(model, _DRAWN)
    rows, shape = noise.rows(seed, _DRAWN), model.image_shape
    images = memory.in_batches(model.generate, rows, labels, image_shape=shape)
    plots.image_grid(pathlib.Path(directory) / "samples.png", images, columns=10)


def text(name, config, report, data_licence=None):
    """Returns the card of a preset.

    Args:
        name: of the preset.
        config: of the run.
        report: its report.json, measured on the weights that are shared.
        data_licence: in words; None: what the catalogue knows.
    """
    spec = registry.spec(config["model"])
    data = config["dataset"]["name"]
    known = catalogue.DATASETS.get(data.split("/")[0], catalogue.OTHER)
    shape = " x ".join(map(str, config["arguments"]["image_shape"]))
    return f"""---
library_name: keras
license: apache-2.0
pipeline_tag: unconditional-image-generation
tags: [vae, variational-autoencoder, {config["model"]}, {', '.join(spec.tags)}]
datasets: [{pathlib.PurePath(data).stem}]
---

# {name}

{spec.idea} ({spec.source}), trained on {data}, images of {shape}. A model of vae_zoo.

![samples from the prior](samples.png)

```python
import vae_zoo

model = vae_zoo.from_preset("{name}")  # or the path of this folder
images = model.generate(seed=0)  # in [0, 1]
```

| | |
| --- | --- |
| test likelihood | {presets.nll(report)}; {_samples(report)} |
| ELBO, rate, distortion | {_terms(report)} |
| binarisation | {report["binarization"]} |
| parameters | {report["parameters"]:,}, stored in float16; the figures are of these weights |
| training | {_training(report)} |
| recipe | {_recipe(config)} |
| licence of the data | {data_licence or known.licence or _UNKNOWN} |

The command: `{config["command"]}`

## What it is for, and what it is not for

For learning, for tests, and as a start for a training of your own. It knows images like those of
{data} alone. Its samples are no evidence of anything in the world, and its likelihood compares only
with figures of the same data, binarisation and protocol.
"""


def _recipe(config):
    batch, training = config["dataset"]["batch_size"], config["training"]
    rate, averages = training["learning_rate"], training["ema"]
    optimizer = training.get("optimizer", "adam").capitalize()
    return (
        f"{optimizer}, batches of {batch}, learning rate {rate}, {training['schedule']} schedule, "
        f"{f'averaged weights ({averages})' if averages else 'no averaged weights'}"
    )


def _samples(report):
    images = f"{report['num_images']:,} test images"
    samples = f"{report['num_samples']:,} importance samples each"
    return f"{images}, {'a bound' if report['is_bound'] else samples}"


def _terms(report):
    elbo = report.get("elbo", report.get("negative_bce_less_rate"))
    distortion = report.get("distortion", report.get("bce"))
    return f"{elbo:.2f}, {report['rate']:.2f}, {distortion:.2f} nats"


def _training(report):
    return (
        f"{report['epochs']} epochs in {report['minutes']:.1f} minutes, "
        f"{report['images_per_second']:,.0f} images/s"
    )
