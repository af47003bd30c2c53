"""What every registered model must do, whatever it is."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import distinct_models

import vae_zoo
from vae_zoo import datasets, recipes, registry, training
from vae_zoo.probability import elbo, noise

NAMES, DISTINCT = vae_zoo.model_names(), distinct_models()
SEED = (0, 7)


@pytest.fixture(scope="module", params=DISTINCT)
def model(request, tiny):
    """Each model at its small size, for tests that leave it as it is."""
    return tiny(request.param)


def as_tensors(batch):
    return {name: tf.constant(value) for name, value in batch.items()}


def images_of(model):
    rows = noise.rows(3, 4)
    labels = np.arange(4, dtype=np.int32) if model.needs_labels else None
    return model.sample(rows, labels)


def test_terms_are_batch_major_finite_and_pure(model, batch):
    terms = model.terms(as_tensors(batch), num_samples=3, analytic=False, seed=SEED)
    assert terms.log_likelihood.shape == (8, 3)
    assert terms.rate.shape[:2] == (8, 3) and terms.rate.shape.rank == 3
    assert terms.penalty.shape == (8, 3)
    assert terms.loss.shape == (8,)
    assert all(np.isfinite(part).all() for part in terms)
    again = model.terms(as_tensors(batch), num_samples=3, analytic=False, seed=SEED)
    for part, other in zip(terms, again, strict=True):
        np.testing.assert_array_equal(part, other)
    other = model.terms(as_tensors(batch), num_samples=3, analytic=False, seed=(0, 8))
    drawn = model.bound_samples != 1  # codes of an image are no draws
    assert drawn == (np.abs(terms.log_likelihood - other.log_likelihood).max() > 0)


def test_a_key_for_each_image_makes_it_independent_of_its_batch(model, batch):
    inputs, rows = as_tensors(batch), noise.rows(5, 8)
    together = elbo.elbo(model.terms(inputs, seed=rows))
    alone = elbo.elbo(model.terms({k: v[2:3] for k, v in inputs.items()}, seed=rows[2:3]))
    np.testing.assert_allclose(together[2:3], alone, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_reaches_every_weight(name, tiny, batch):
    model = tiny(name)
    model.compile(optimizer="adam")
    with tf.GradientTape() as tape:
        terms = model(as_tensors(batch), training=True)
        loss = model.compute_loss(y_pred=terms)
    silent = [
        variable.path
        for variable, gradient in zip(
            model.trainable_variables, tape.gradient(loss, variables_of(model)), strict=True
        )
        if gradient is None
    ]
    assert not [path for path in silent if "discriminator" not in path]


def variables_of(model):
    return [variable.value for variable in model.trainable_variables]


def test_samples_are_images_and_a_function_of_their_seed(model):
    images, z = images_of(model)
    assert images.shape == (4, 28, 28, 1) and z.shape[0] == 4
    assert np.min(images) >= 0 and np.max(images) <= 1
    np.testing.assert_array_equal(images, images_of(model)[0])
    label = np.array([2], np.int32) if model.needs_labels else None
    np.testing.assert_allclose(images[2:3], model.sample(noise.rows(3, 1, start=2), label)[0],
                               atol=1e-5)  # fmt: skip


def test_reconstructions_are_images(model, batch):
    label = batch["label"] if model.needs_labels else None
    again = np.asarray(model.reconstruct(batch["image"], label))
    assert again.shape == batch["image"].shape and again.min() >= 0 and again.max() <= 1


def test_keras_file_holds_the_whole_model(model, batch, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert len(loaded.weights) == len(model.weights) > 0
    for ours, theirs in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    before = model.terms(as_tensors(batch), seed=SEED)
    after = loaded.terms(as_tensors(batch), seed=SEED)
    np.testing.assert_array_equal(before.loss, after.loss)


def test_keras_file_loads_in_a_fresh_process(tiny, tmp_path):
    model = tiny("conv_vae")
    model.save(tmp_path / "model.keras")
    code = (
        "import vae_zoo.vae, keras, numpy\n"
        f"model = keras.saving.load_model(r'{tmp_path / 'model.keras'}')\n"
        f"numpy.save(r'{tmp_path / 'images.npy'}', model.generate(vae_zoo.noise.rows(3, 4)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), images_of(model)[0])


def test_xla_gives_the_same_terms(model, batch):
    inputs = as_tensors(batch)

    def loss(inputs):
        return model.terms(inputs, seed=SEED).loss

    plain = tf.function(loss)(inputs)
    compiled = tf.function(loss, jit_compile=True)(inputs)
    np.testing.assert_allclose(plain, compiled, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", DISTINCT)
def test_training_lowers_the_loss_after_extreme_images_too(name, tiny, digits):
    """Also that the default loop runs: guarded Adam, several steps a call."""
    model = tiny(name)
    settings = training.Settings(epochs=3, learning_rate=3e-3, schedule="constant")
    training.compile_model(model, settings, 10)
    for fill in (0.0, 1.0):  # none of them makes it diverge
        # Made of the digits' own batches: the same graph takes them.
        stream = digits.train_from(0).map(
            lambda data, fill=fill: {**data, "image": fill + tf.zeros_like(data["image"])}
        )
        history = model.fit(stream, epochs=1, steps_per_epoch=20, verbose=0)
        assert np.isfinite(history.history["loss"]).all()
        assert int(model.optimizer.skipped) == 0
    assert_learns(model, digits)


@pytest.mark.parametrize("name", DISTINCT)
def test_training_lowers_the_loss_in_mixed_precision(name, tiny, digits):
    model = tiny(name, dtype="mixed_bfloat16")
    settings = training.Settings(epochs=3, learning_rate=3e-3, schedule="constant")
    training.compile_model(model, settings, 10)
    assert_learns(model, digits)


def assert_learns(model, splits):
    history = model.fit(splits.train_from(0), epochs=5, steps_per_epoch=10, verbose=0)
    losses = history.history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_those_of_the_table(name, full_size):
    model = full_size(name)
    trainable = sum(np.prod(variable.shape) for variable in model.trainable_variables)
    assert trainable == registry.spec(name).parameters


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_no_step_of_hundreds_is_lost(name, full_size, data_dir):
    """At the default size, with the recipe's optimizer, on digits; each model from a seed of its
    own."""
    steps, seed = 200, NAMES.index(name)
    recipe = recipes.recipe(name, "digits")
    splits = datasets.load("digits", batch_size=16, data_dir=data_dir, seed=seed)
    model = full_size(name, seed=seed, **recipe.arguments)
    settings = training.Settings(
        epochs=1, learning_rate=recipe.learning_rate, seed=seed, optimizer=recipe.optimizer
    )
    training.compile_model(model, settings, steps)
    history = model.fit(splits.train_from(0), epochs=1, steps_per_epoch=steps, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert int(model.optimizer.skipped) == 0 and model.steps_made == steps
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize(
    "shape, network",
    [((32, 32, 3), "conv"), ((64, 64, 1), "resnet"), ((64, 64, 3), "conv"), ((20, 12, 1), "mlp")],
)
def test_other_image_sizes_and_colour(shape, network):
    hidden = (8, 8)
    model = vae_zoo.VAE(shape, 4, network=network, hidden=hidden, likelihood="discretized_logistic")
    image = np.random.default_rng(0).integers(0, 256, (3, *shape)) / 255
    terms = model.terms({"image": image.astype(np.float32)}, seed=SEED)
    assert np.isfinite(terms.loss).all()
    assert model.generate(noise.rows(0, 2)).shape == (2, *shape)


@pytest.mark.parametrize(
    "name, arguments, words",
    [
        ("conv_vea", {}, "Did you mean 'conv_vae'"),
        ("vae", {"latent_sise": 3}, "Did you mean 'latent_size'"),
        ("vae", {"latent_size": 0}, "latent_size=0"),
        ("vae", {"latent_size": -2}, "latent_size=-2"),
        ("vae", {"latent_size": 2.5}, "latent_size=2.5: expected a whole number"),
        ("vae", {"latent_size": "two"}, "latent_size='two'"),
        ("vae", {"num_classes": 0}, "num_classes=0"),
        ("vae", {"beta": float("inf")}, "beta=inf"),
        ("vae", {"beta": float("nan")}, "beta=nan"),
        ("vae", {"hidden": 500}, "hidden=500"),
        ("resnet_vae", {"blocks": 1.5}, "blocks=1.5"),
        ("vae", {"network": "cnov"}, "Did you mean 'conv'"),
        ("vae", {"activation": "leaky"}, "Did you mean 'leaky_relu'"),
        ("vae", {"likelihood": "gauss"}, "Unknown likelihood 'gauss'"),
        ("vae", {"seed": 1.5}, "seed=1.5"),
        ("vae", {"seed": 2**31}, "seed=2147483648"),
        ("vdm", {"likelihood": "gauss"}, "Unknown likelihood 'gauss'"),
        ("vq_vae", {"beta": 2.0}, "beta=2.0: expected 1"),
        ("vq_vae", {"free_bits": 0.1}, "free_bits=0.1: expected 0"),
        ("vae", {"free_bits": -1}, "free_bits=-1"),
        ("vae", {"beta": -1}, "beta=-1"),
        ("vae", {"capacity": -1}, "capacity=-1"),
        ("vae", {"capacity": 5, "free_bits": 0.5}, "free_bits=0.5: expected 0 with capacity=5"),
        ("vq_vae", {"capacity": 5}, "capacity=5: expected None"),
        ("vae", {"image_shape": (28, 28)}, "image_shape=(28, 28)"),
        ("vae", {"image_shape": (28, 28, 2)}, "1 or 3 channels"),
        ("conv_vae", {"hidden": (0,)}, "hidden=(0,)"),
        ("iwae", {"num_samples": 0}, "num_samples=0"),
        ("iwae", {"num_samples": 2.5}, "num_samples=2.5: expected a whole number"),
        ("iwae", {"estimator": "dregs"}, "Unknown estimator 'dregs'. Did you mean 'dreg'"),
        ("iwae", {"estimator": "dreg", "free_bits": 0.5}, "free_bits=0.5"),
        ("beta_tc_vae", {"sampling": "stratify"}, "Did you mean 'stratified'"),
        ("beta_tc_vae", {"tc_weight": -1}, "tc_weight=-1"),
        ("beta_tc_vae", {"dataset_size": 0}, "dataset_size=0"),
        ("factor_vae", {"tc_weight": -1}, "tc_weight=-1"),
        ("factor_vae", {"discriminator_hidden": ()}, "discriminator_hidden=()"),
        ("factor_vae", {"discriminator_learning_rate": -1}, "discriminator_learning_rate=-1"),
        ("info_vae", {"kernel": "rfb"}, "Did you mean 'rbf'"),
        ("info_vae", {"mmd_weight": -1}, "mmd_weight=-1"),
    ],
)
def test_arguments_that_make_no_model_are_refused(name, arguments, words):
    with pytest.raises(vae_zoo.UserError) as error:
        vae_zoo.create_model(name, **{"image_shape": (28, 28, 1), **arguments})
    assert words in str(error.value)


@pytest.mark.parametrize("name", ["vdm", "vq_vae"])
def test_what_has_no_single_z_says_so(name, tiny, batch):
    model = tiny(name)
    with pytest.raises(vae_zoo.UserError, match="has no sample_prior"):
        model.sample_prior(noise.rows(0, 2))
    call = model.decode if name == "vdm" else lambda z: model.posterior(batch["image"])
    with pytest.raises(vae_zoo.UserError, match="need more than one vector z"):
        call(np.zeros((2, 784), np.float32))


def test_wrong_inputs_are_refused(tiny, batch):
    model = tiny("vae")
    with pytest.raises(vae_zoo.UserError, match="Expected images of shape"):
        model.terms({"image": batch["image"][:, :20]}, seed=SEED)
    with pytest.raises(vae_zoo.UserError, match="got the names"):
        model.terms({"images": batch["image"]}, seed=SEED)
