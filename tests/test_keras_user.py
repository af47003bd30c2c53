"""What a Keras user tries first: fit, predict and evaluate on images as they are at hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import vae_zoo
from vae_zoo.metrics import likelihood

FIGURES = {"loss", "elbo", "rate", "distortion"}


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return (rng.random((60, 28, 28, 1)) < 0.3).astype(np.float32)


@pytest.fixture(scope="module")
def labels():
    return np.arange(60) % 10


@pytest.fixture(scope="module")
def model(tiny):
    made = tiny("vae")
    made.compile(jit_compile=False)  # XLA takes longer to compile than these tests to run
    return made


@pytest.fixture(scope="module")
def conditional(tiny):
    made = tiny("cvae", network="mlp", hidden=(8,))
    made.compile(jit_compile=False)
    return made


class Images(keras.utils.PyDataset):
    """Three batches of 20 images with labels."""

    def __init__(self, images, labels, **kwargs):
        super().__init__(**kwargs)
        self.images, self.labels = images, labels

    def __len__(self):
        return 3

    def __getitem__(self, index):
        rows = slice(20 * index, 20 * index + 20)
        return self.images[rows], self.labels[rows]


def data_of(kind, x, y):
    """Returns the arguments x and y of `fit`, of three batches."""
    batches = [(x[i : i + 20], y[i : i + 20]) for i in (0, 20, 40)]
    slices = tf.data.Dataset.from_tensor_slices
    return {
        "array": (x, None),
        "itself": (x, x),
        "labels": (x, y),
        "dict": ({"image": x, "label": y}, None),
        "tensor": (tf.constant(x), None),
        "uint8": ((255 * x).astype(np.uint8), None),
        "two axes": (x[..., 0], None),
        "dataset": (slices(x).batch(20), None),
        "pairs": (slices((x, y)).batch(20), None),
        "weighted": (slices((x, y, np.ones(60, np.float32))).batch(20), None),
        "dicts": (slices({"image": x}).batch(20), None),
        "generator": (iter_of(batch[0] for batch in batches), None),
        "generator of pairs": (iter_of(batches), None),
        "PyDataset": (Images(x, y), None),
    }[kind]


def iter_of(batches):
    yield from batches


ARRAYS = ("array", "itself", "labels", "dict", "tensor", "uint8", "two axes")
STREAMS = ("dataset", "pairs", "weighted", "dicts", "generator", "generator of pairs", "PyDataset")


@pytest.mark.parametrize("kind", ARRAYS + STREAMS)
def test_fit_takes_images_as_they_are(kind, model, images, labels):
    x, y = data_of(kind, images, labels)
    before = int(model.optimizer.iterations)
    history = model.fit(x, y, batch_size=20 if kind in ARRAYS else None, verbose=0).history
    assert int(model.optimizer.iterations) == before + 3
    assert history.keys() == FIGURES and np.isfinite(list(history.values())).all()


def test_every_form_of_the_images_gives_the_same_figures(model, images, labels):
    wanted = model.evaluate(images, batch_size=20, verbose=0, return_dict=True)
    for kind in ("uint8", "two axes", "dataset", "pairs", "generator", "PyDataset"):
        x, _ = data_of(kind, images, labels)
        size = 20 if kind in ARRAYS else None
        found = model.evaluate(x, batch_size=size, verbose=0, return_dict=True)
        assert found == pytest.approx(wanted, rel=1e-5), kind


GREY = np.random.default_rng(1).integers(0, 256, (60, 28, 28, 1))


def test_whole_numbers_to_255_are_scaled_whatever_their_dtype(model):
    narrow = GREY.astype(np.uint8)
    figures, pictures = model.evaluate(narrow, verbose=0), model.predict(narrow, verbose=0)
    for dtype in (np.int64, np.int32, np.uint16, np.uint32, np.int16):
        wide = GREY.astype(dtype)
        for x in (wide, tf.constant(wide)):
            assert model.evaluate(x, verbose=0) == figures
        np.testing.assert_array_equal(model.predict(wide, verbose=0), pictures)
        np.testing.assert_array_equal(model.encode(wide), model.encode(narrow))


@pytest.mark.parametrize("kind", ["dataset", "generator", "PyDataset"])
def test_the_first_batch_of_whole_numbers_decides_for_a_stream(kind, model, images, labels):
    dark = GREY.copy()
    dark[20:40] = GREY[20:40] > 127  # a batch that alone would be a binary one
    wanted = model.evaluate(dark.astype(np.uint8), batch_size=20, verbose=0)
    found = model.evaluate(data_of(kind, dark, labels)[0], verbose=0)
    assert found == pytest.approx(wanted, rel=1e-6)
    binary = model.evaluate(images, batch_size=20, verbose=0)
    whole = images.astype(np.int64)
    assert model.evaluate(data_of(kind, whole, labels)[0], verbose=0) == binary
    assert model.evaluate(whole, batch_size=20, verbose=0) == binary  # an array likewise
    for first, value in ((dark, 300), (dark, -1), (whole, 200)):  # beyond what it has decided
        wrong = first.copy()
        wrong[50] = value
        with pytest.raises(vae_zoo.UserError, match=f"{value}.* expected 0 to 1"):
            model.evaluate(data_of(kind, wrong, labels)[0], verbose=0)


@pytest.mark.parametrize("value", [-1, 256, 1000])
def test_whole_numbers_that_are_no_8_bit_values_are_refused(value, model):
    wrong = GREY.copy()
    wrong[7] = value
    with pytest.raises(vae_zoo.UserError, match="expected 0 to 1.*uint8"):
        model.evaluate(wrong, verbose=0)


def test_the_likelihood_reads_images_as_fit_does(model):
    def elbo(x):
        return likelihood.evaluate(model, x[:4], num_samples=2).elbo

    assert elbo(GREY) == elbo(GREY.astype(np.uint8)) == pytest.approx(elbo(GREY / 255), rel=1e-6)
    with pytest.raises(vae_zoo.UserError, match="from 0 to 255: expected 0 to 1"):
        elbo(GREY.astype(np.float32))


def test_a_conditional_model_takes_labels_as_y(conditional, images, labels):
    column = labels[:, np.newaxis].astype(np.uint8)  # as keras.datasets.cifar10 has them
    for y in (labels, column, np.eye(10, dtype=np.float32)[labels]):
        history = conditional.fit(images, y, verbose=0, validation_data=(images, y)).history
        assert np.isfinite(history["val_elbo"]).all()
    x, _ = data_of("pairs", images, labels)
    assert np.isfinite(conditional.evaluate(x, verbose=0)).all()
    assert conditional.predict(x, verbose=0).shape == images.shape


@pytest.mark.parametrize("kind", ["array", "uint8", "dataset", "pairs"])
def test_predict_gives_reconstructions(kind, model, images, labels):
    found = model.predict(data_of(kind, images, labels)[0], verbose=0)
    np.testing.assert_allclose(found, model.reconstruct(images), atol=1e-5)


def test_validation_data_and_split_are_validated_on(model, images, labels):
    slices = tf.data.Dataset.from_tensor_slices
    for data in (images, (images, images), slices((images, labels)).batch(30)):
        history = model.fit(images, verbose=0, validation_data=data).history
        wanted = model.evaluate(images, batch_size=30, verbose=0, return_dict=True)
        assert history["val_distortion"][0] == pytest.approx(wanted["distortion"], rel=1e-2)
    assert "val_elbo" in model.fit(images, verbose=0, validation_split=0.5).history


@pytest.mark.parametrize(
    "kind, change, words",
    [
        ("array", lambda x: 255 * x, "from 0 to 255: expected 0 to 1. Divide them by 255"),
        ("array", lambda x: 2 * x - 1, "from -1 to 1: expected 0 to 1. Give (images + 1) / 2"),
        ("dataset", lambda x: np.where(x > 0, np.nan, x), "from nan to nan"),
        ("dataset", lambda x: 255 * x, "from 0 to 255"),
        ("generator", lambda x: 255 * x, "from 0 to 255"),
        ("PyDataset", lambda x: 255 * x, "from 0 to 255"),
        ("array", lambda x: x[:, :20], "Expected images of shape [B, 28, 28, 1], got"),
        ("pairs", lambda x: x[:, :20], "Expected images of shape [B, 28, 28, 1], got"),
    ],
)
def test_a_mistake_is_told_in_one_line_and_the_next_fit_trains(
    kind, change, words, model, images, labels
):
    for call in (model.fit, model.evaluate):
        with pytest.raises(vae_zoo.UserError) as error:
            call(data_of(kind, change(images), labels)[0], verbose=0)
        assert words in str(error.value) and "\n" not in str(error.value)
    before = model.get_weights()
    model.fit(images, verbose=0)
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))


def test_images_of_a_folder_are_refused_until_they_are_scaled(images, labels, tmp_path, tiny):
    for index, image in enumerate(images[:20]):
        folder = tmp_path / str(labels[index] % 2)
        folder.mkdir(exist_ok=True)
        keras.utils.save_img(folder / f"{index}.png", image)
    data = keras.utils.image_dataset_from_directory(
        tmp_path, color_mode="grayscale", image_size=(28, 28), batch_size=10, verbose=False
    )
    model = tiny("vae")
    model.compile(jit_compile=False)
    with pytest.raises(vae_zoo.UserError, match="Divide them by 255"):
        model.fit(data, verbose=0)
    history = model.fit(data.map(lambda x, y: (x / 255, y)), verbose=0).history
    assert 0 < history["loss"][0] < 1000


def test_a_first_call_that_fails_leaves_a_model_that_trains(tiny, images):
    model = tiny("vae")
    model.compile(jit_compile=False)
    with pytest.raises(vae_zoo.UserError):
        model.fit(images[:, :20], verbose=0)

    def broken():
        yield (images[:20],)
        raise RuntimeError("the disk is gone")

    with pytest.raises(Exception, match="the disk is gone"):
        model.fit(broken(), verbose=0)
    losses = model.fit({"image": images}, epochs=3, verbose=0).history["loss"]
    assert losses[2] < losses[0] and losses[0] > 0


def test_an_epoch_without_a_step_is_an_error(model, images):
    empty = tf.data.Dataset.from_tensor_slices(images).batch(20).take(0)
    with pytest.raises(vae_zoo.UserError, match="epoch 1 took no step"):
        model.fit(empty, verbose=0)


def test_steps_are_counted_to_the_batch_where_the_data_ends_early(tiny, images):
    """Several steps a call, of data whose length nobody knows."""
    model = tiny("vae")
    model.compile(steps_per_execution=2, jit_compile=False)
    data = tf.data.Dataset.from_tensor_slices(images).batch(20).filter(lambda x: True)
    model.fit(data, epochs=2, verbose=0)
    assert int(model.optimizer.iterations) == 6 and model.steps_made == 6


def test_sample_weights_weigh_the_loss_and_the_figures(tiny, images):
    weight = np.r_[np.ones(30), np.zeros(30)]

    def trained(x, sample_weight=None):
        model = tiny("vae", seed=3)
        model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
        figures = model.evaluate(x, sample_weight=sample_weight, batch_size=60, verbose=0)
        model.train_on_batch(x, sample_weight=sample_weight)
        return figures, model.get_weights()

    figures, weights = trained(images, weight)
    plain, others = trained(images)
    assert figures != pytest.approx(plain, rel=1e-4)
    assert any((a != b).any() for a, b in zip(weights, others, strict=True))
    junk = np.concatenate([images[:30], 1 - images[30:]])  # what weighs nothing changes nothing
    found, same = trained(junk, weight)
    assert found == pytest.approx(figures, rel=1e-5)
    for ours, theirs in zip(weights, same, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_the_loss_is_the_weighted_mean_that_the_elbo_is(tiny, images):
    """Batches of different weight, of evaluate, fit and validation: the loss is -elbo at beta 1."""
    weight = np.r_[np.full(10, 5.0), np.full(30, 0.1), np.zeros(20)]
    model = tiny("vae")
    model.compile(keras.optimizers.SGD(1e-3), jit_compile=False)
    given = {"sample_weight": weight, "batch_size": 20, "verbose": 0}
    found = model.evaluate(images, **given, return_dict=True)
    validation = tf.data.Dataset.from_tensor_slices((images, images, weight)).batch(20)
    history = model.fit(images, **given, validation_data=validation).history
    found |= {name: values[0] for name, values in history.items() if name.startswith("val_")}
    found |= {f"fit_{name}": values[0] for name, values in history.items()}
    for part in ("", "val_", "fit_"):
        assert found[f"{part}loss"] == pytest.approx(-found[f"{part}elbo"], rel=1e-5)


def test_class_weights_are_the_sample_weights_of_the_labels(tiny, images, labels):
    def trained(**weights):
        model = tiny("vae")
        model.compile(jit_compile=False)
        model.fit(images, labels, verbose=0, shuffle=False, **weights)
        return model.get_weights()

    by_class = {c: float(c % 3) for c in range(10)}
    ours = trained(class_weight=by_class)
    theirs = trained(sample_weight=np.array([by_class[c] for c in labels]))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"loss": "mse"}, "loss='mse': expected it left out"),
        ({"metrics": ["mse"]}, "metrics=['mse']: expected it left out"),
    ],
)
def test_a_loss_or_metrics_are_refused(arguments, words, tiny):
    with pytest.raises(vae_zoo.UserError) as error:
        tiny("vae").compile("adam", **arguments)
    assert words in str(error.value)


def test_labels_that_are_missing_are_told_in_python_words(conditional, images):
    for call in (conditional.fit, conditional.evaluate, conditional.predict, conditional):
        with pytest.raises(vae_zoo.UserError) as error:
            call(images)
        line = str(error.value)
        assert "label=[...]" in line and "--label" not in line and "\n" not in line


def test_latents_and_scores_by_the_names_of_scikit_learn(model, images):
    latents = model.transform(images)
    assert latents.shape == (60, model.latent_size)
    np.testing.assert_allclose(latents, model.posterior(images).mean(), atol=1e-5)
    np.testing.assert_allclose(model.encode(images[:5]), latents[:5], atol=1e-5)
    scores = model.score_samples(images, num_samples=20)
    bounds = [np.mean(model.score_samples(images, num_samples=k)) for k in (1, 20)]
    assert scores.shape == (60,) and bounds[0] < bounds[1] < 0
    elbo = model.evaluate(images, verbose=0, return_dict=True)["elbo"]
    assert bounds[0] == pytest.approx(elbo, rel=0.02)


def test_scores_are_log_likelihoods(linear_gaussian):
    model, images = linear_gaussian
    model.pixel_range = None
    found = model.score_samples(images, num_samples=2000)
    np.testing.assert_allclose(found, model.log_evidence(images), atol=0.1)


def test_numbers_stand_for_seeds_and_labels(model, conditional):
    assert model.sample(16)[0].shape == (64, 28, 28, 1)
    assert model.sample_prior(16).shape == (64, 3)
    assert model.generate(7, num=5).shape == (5, 28, 28, 1)
    np.testing.assert_array_equal(
        conditional.generate(0, label=3), conditional.generate(0, label=[3] * 64)
    )
    with pytest.raises(vae_zoo.UserError, match="num=0"):
        model.generate(7, num=0)
    with pytest.raises(vae_zoo.UserError, match="label=.11.: expected one whole"):
        conditional.generate(0, label=11)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vq_vae", "vdm", "hvae"])
def test_models_of_other_shapes_are_used_alike(name, tiny, images):
    model = tiny(name)
    model.compile(jit_compile=False)
    model.fit(images[:8], verbose=0)
    assert model.generate(3, num=2).shape == (2, 28, 28, 1)
    assert model.predict((255 * images[:8, ..., 0]).astype(np.uint8), verbose=0).shape[0] == 8
    assert np.isfinite(model.score_samples(images[:8], num_samples=4)).all()


def test_a_saved_model_comes_back_compiled_and_goes_on(tiny, images, tmp_path):
    model = tiny("vae")
    model.compile(keras.optimizers.AdamW(3e-3, clipnorm=1.0), jit_compile=False)
    model.fit(images, verbose=0, shuffle=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.compiled and int(loaded.optimizer.iterations) == 2
    assert isinstance(loaded.optimizer, keras.optimizers.AdamW)
    for each in (model, loaded):
        each.fit(images, verbose=0, shuffle=False)
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_part_of_the_model_is_a_part_of_another(tiny, images):
    model = tiny("conv_vae")
    features = keras.Model(model.encoder.input, keras.layers.Dense(2)(model.encoder.output))
    assert features.predict(images, verbose=0).shape == (60, 2)


def test_export_says_what_writes_a_saved_model(model, tmp_path):
    with pytest.raises(vae_zoo.UserError, match="export.export_model"):
        model.export(tmp_path)


def test_a_model_says_what_it_is(model):
    assert repr(model) == (
        "<VAE 'vae': images 28 x 28 x 1, latents 3, network mlp, likelihood bernoulli, "
        "26,054 parameters>"
    )


def test_a_training_that_is_lost_says_so_and_stops(tiny, batch):
    model = tiny("vae")
    model.compile(keras.optimizers.SGD(1e30))
    with pytest.warns(UserWarning, match="is nan: training stops"):
        history = model.fit(batch["image"], epochs=5, verbose=0)
    losses = history.history["loss"]
    assert np.isnan(losses[-1]) and len(losses) < 5


@pytest.mark.parametrize("weight", [np.ones(3), np.full(8, np.nan), np.zeros(8)])
def test_weights_that_are_none_are_told_in_one_line(weight, tiny, batch):
    model = tiny("vae")
    model.compile("adam")
    with pytest.raises(vae_zoo.UserError, match="sample_weight"):
        model.fit(batch["image"], sample_weight=weight, verbose=0)
