"""Data sets of tensorflow-datasets: where they lie, how they are prepared, what they hold."""

import contextlib
import fcntl
import io
import os
import socket
import tempfile
import threading

import numpy as np

from vae_zoo import errors
from vae_zoo.datasets import catalogue
from vae_zoo.datasets.stored import CHUNK, SPLITS, TENTH, Part, Source

_PROBE = ("storage.googleapis.com", 443, 1.5)  # host of TFDS's mirrors, port, seconds


def open_tfds(name, data_dir, manual_dir):
    """Returns the Source of a data set of TFDS; the arguments are those of sources.open_source."""
    spec = catalogue.DATASETS.get(name.split("/")[0].split(":")[0], catalogue.OTHER)
    data_dir, notes = _place(data_dir, spec.ships)
    builder = _builder(name, spec, data_dir)
    if not builder.is_prepared():
        _prepare(builder, name, spec, data_dir, manual_dir)
    if not builder.info.splits:  # another process has prepared it in the meantime
        builder = _builder(name, spec, data_dir)
    image = _image_feature(builder, name)
    named = {split: split for split in builder.info.splits if split in SPLITS}
    if "train" not in named:
        raise errors.UserError(
            f"{name} has no train split (it has {', '.join(builder.info.splits)}). "
            "Expected a data set that can be trained on."
        )
    features = builder.info.features
    names = getattr(features["label"], "names", None) if "label" in features else None
    metadata = dict(builder.info.metadata or {})
    parts, cut = _cut_slices(named, {s: builder.info.splits[s].num_examples for s in named})
    return Source(
        name=name,
        parts={s: _tfds_part(builder, image, slices) for s, slices in parts.items()},
        spec=spec,
        label_names=names,
        factor_names=metadata.get("factor_names") or _factor_features(builder),
        factor_sizes=metadata.get("factor_sizes"),
        notes=(*notes, *cut),
        identity=f"{builder.info.full_name}",
    )


def _place(data_dir, ships):
    """Returns the folder of prepared data, and a note if it is not the one that the user named."""
    wanted = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    wanted = os.path.expanduser(str(wanted))
    if not ships or _writable(wanted):
        return wanted, ()
    fallback = os.path.join(tempfile.gettempdir(), f"vae_zoo-{os.getuid()}")
    return fallback, (f"{wanted} cannot be written: prepared the data in {fallback} instead",)


def _writable(directory):
    try:
        os.makedirs(directory, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return True
    except OSError:
        return False


def _builder(name, spec, data_dir):
    import tensorflow_datasets as tfds

    if spec.ships:
        from vae_zoo.datasets import digits, shapes, sprites  # noqa: F401 (registers them)
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        known = errors.unknown("data set", name, [*catalogue.DATASETS, *tfds.list_builders()])
        raise errors.UserError(f"--dataset={name}: no such folder or file. {known}") from None
    except (ValueError, KeyError, AssertionError) as error:  # the last one: of a version
        reason = str(error).splitlines()[0].rpartition('": ')[2].rstrip(".")
        raise errors.UserError(
            f"--dataset={name}: {reason[:160]}. Expected name, or name/config."
        ) from error


def _prepare(builder, name, spec, data_dir, manual_dir):
    """Prepares a data set; the ones that ship need no network."""
    import tensorflow_datasets as tfds

    if not spec.ships and not manual_dir and not _reachable():
        raise _not_there(name, data_dir)
    config = tfds.download.DownloadConfig(manual_dir=manual_dir)
    # TFDS keys what it extracts by file name alone: each data set needs a folder of its own.
    config.extract_dir = os.path.join(data_dir, "downloads", "extracted", name.replace("/", "-"))
    tfds.disable_progress_bar()
    os.makedirs(data_dir, exist_ok=True)
    try:
        with _lock(os.path.join(data_dir, f".{name.replace('/', '-')}.lock")):
            quiet = contextlib.redirect_stdout(io.StringIO())
            with quiet if spec.ships else contextlib.nullcontext():
                if not builder.is_prepared():
                    builder.download_and_prepare(download_config=config)
    except errors.UserError:
        raise
    except Exception as error:
        raise _not_there(name, data_dir, manual_dir, error) from error


@contextlib.contextmanager
def _lock(path):
    """Two processes that prepare the same data take turns."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _reachable():
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy")):
        return True
    answers = []
    # In a thread, because looking a name up knows no time limit.
    probe = threading.Thread(target=_connect, args=(answers,), daemon=True)
    probe.start()
    probe.join(_PROBE[2])
    return bool(answers)


def _connect(answers):
    host, port, seconds = _PROBE
    with contextlib.suppress(OSError):
        socket.create_connection((host, port), timeout=seconds).close()
        answers.append(True)


def _not_there(name, data_dir, manual_dir=None, error=None):
    reason = f" ({type(error).__name__}: {str(error).splitlines()[0][:120]})" if error else ""
    looked = data_dir + (f" and {manual_dir}" if manual_dir else "")
    return errors.UserError(
        f"data set {name} is not prepared: looked in {looked}, and it cannot be downloaded from "
        f"here{reason}. Either give --data_dir with a folder that holds it prepared; or "
        "--manual_dir with its downloaded files; or prepare it on a machine with a network: "
        f"python -c \"import tensorflow_datasets as tfds; tfds.load('{name}')\" "
        "and copy ~/tensorflow_datasets."
    )


def _image_feature(builder, name):
    import tensorflow_datasets as tfds

    for key, feature in builder.info.features.items():
        if isinstance(feature, tfds.features.Image):
            return key
    raise errors.UserError(
        f"{name} has no images (it has {', '.join(builder.info.features)}). Expected an image "
        "data set."
    )


def _factor_features(builder):
    names = [key for key in builder.info.features if key.startswith("label_")]
    return tuple(name.removeprefix("label_") for name in names) or None


def _cut_slices(named, counts):
    """Returns split -> TFDS slice, cut off `train` where a split is missing, and what was cut."""
    parts = dict(named)
    notes = []
    missing = [split for split in ("validation", "test") if split not in parts]
    kept = counts["train"] - len(missing) * (counts["train"] // TENTH)
    for i, split in enumerate(missing):
        first = kept + i * (counts["train"] // TENTH)
        parts[split] = f"train[{first}:{first + counts['train'] // TENTH}]"
        notes.append(
            f"no {split} split: the last {counts['train'] // TENTH:,} of the stored training "
            "images serve as one"
            if len(missing) == 1
            else f"no {split} split: {counts['train'] // TENTH:,} training images serve as one"
        )
    if missing:
        parts["train"] = f"train[:{kept}]"
    return {split: parts[split] for split in SPLITS}, notes


def _tfds_part(builder, image, split):
    """Returns a split's Part; labels and factors are read at once, images when asked for."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    features = builder.info.features
    wanted = [k for k in features if k in ("label", "factors") or k.startswith("label_")]
    read = tfds.ReadConfig(interleave_cycle_length=1)
    small = {key: [] for key in wanted}
    if wanted:
        decoders = tfds.decode.PartialDecoding({key: True for key in wanted})
        data = builder.as_dataset(split=split, read_config=read, decoders=decoders)
        for batch in tfds.as_numpy(data.batch(4096)):
            for key in wanted:
                small[key].append(batch[key])
    columns = {key: np.concatenate(value) for key, value in small.items()}
    labels = columns.pop("label", None)
    factors = columns.pop("factors", None)
    if columns:
        factors = np.stack([columns[key] for key in columns], axis=1)

    def chunks():
        decoders = tfds.decode.PartialDecoding({image: True})
        data = builder.as_dataset(split=split, read_config=read, decoders=decoders)
        size = CHUNK if None not in features[image].shape else 1
        for batch in tfds.as_numpy(data.batch(size).prefetch(tf.data.AUTOTUNE)):
            yield batch[image]

    count = builder.info.splits[split].num_examples
    classes = "label" in features and isinstance(features["label"], tfds.features.ClassLabel)
    labels = labels.astype(np.int32) if classes else None
    return Part(chunks, count, labels, factors)
