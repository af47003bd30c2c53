"""What every registered model must give in every format: what Keras gives, row by row."""

import functools
import json

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from conftest import distinct_models

import vae_zoo
from export import agreement, flatbuffer, saved_model, signatures, tflite
from vae_zoo import registry

ROWS = 16
ALL = slice(None)


class Formats:
    """A model's signatures in Keras, in a SavedModel and in a float32 TFLite file.

    The file is converted when it is asked for: with signatures of 16 rows alone, or as `export`
    writes it where `whole` is true.
    """

    def __init__(self, model, directory, whole=False):
        self.model, self.found = model, signatures.signatures(model)
        self.directory, self.whole = directory, whole
        self.inputs = signatures.examples(model, self.found, ROWS)
        self.place = saved_model.export_saved_model(model, directory / "saved_model" / model.name)
        self.expected = {
            name: signatures.run(signature, self.inputs[name])
            for name, signature in self.found.items()
        }

    @functools.cached_property
    def tflite_path(self):
        if self.whole:
            made = tflite.export_tflite(self.model, self.directory / "tflite", quantize=())
            return made[tflite.FLOAT32]
        names = set(self.found) - set(signatures.SAVED_MODEL_ONLY)
        held = [self.found[name] for name in signatures.NAMES if name in names]
        path = self.directory / "model.tflite"
        path.write_bytes(tflite.convert(held, batches=(ROWS,)))
        return path

    @functools.cached_property
    def file(self):
        return flatbuffer.read(self.tflite_path)

    @functools.cached_property
    def interpreter(self):
        return Interpreter(model_path=str(self.tflite_path))

    def rows(self, name, rows=ALL):
        return {key: value[rows] for key, value in self.inputs[name].items()}

    def served(self, *parts):
        """Returns {signature: outputs} of the SavedModel, through the loader of TensorFlow 1.

        Args:
            *parts: slices of the rows; one dict for each of them.
        """
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            loader = tf.compat.v1.saved_model.loader
            meta = loader.load(session, ["serve"], str(self.place))
            return [self._served(session, meta.signature_def, rows) for rows in parts]

    def _served(self, session, described, rows):
        outputs = {}
        for name in self.found:
            fetches = {key: info.name for key, info in described[name].outputs.items()}
            inputs = self.rows(name, rows).items()
            feeds = {described[name].inputs[key].name: value for key, value in inputs}
            outputs[name] = session.run(fetches, feeds)
        return outputs

    def lite(self, name, rows=ALL):
        inputs = self.rows(name, rows)
        size = len(next(iter(inputs.values())))
        return self.interpreter.get_signature_runner(f"{name}_{size}")(**inputs)

    def assert_agree(self, outputs, expected):
        differences = agreement.row_differences(outputs, expected)
        assert agreement.agrees(differences, agreement.tolerance(self.model)), differences


@pytest.fixture(scope="module", params=distinct_models())
def formats(request, tiny, tmp_path_factory):
    """Each model's; the very deep ones have a resolution less, which takes half the time."""
    smaller = {"image_shape": (14, 14, 1)} if "deep" in registry.spec(request.param).tags else {}
    return Formats(tiny(request.param, **smaller), tmp_path_factory.mktemp(request.param), True)


def test_every_format_gives_what_keras_gives_whatever_the_batch(formats):
    row = slice(5, 6)
    served, alone = formats.served(ALL, row)
    assert set(served) == set(signatures.NAMES) - set(signatures.unsupported(formats.model))
    for name, expected in formats.expected.items():
        assert set(served[name]) == set(expected)
        one = {key: value[row] for key, value in expected.items()}
        formats.assert_agree(served[name], expected)
        formats.assert_agree(alone[name], one)
        if name not in signatures.SAVED_MODEL_ONLY:
            formats.assert_agree(formats.lite(name), expected)
            formats.assert_agree(formats.lite(name, row), one)


@pytest.mark.parametrize(
    "name, shape",
    [
        ("conv_vae", (9, 31, 3)),
        ("resnet_vae", (25, 30, 1)),
        pytest.param("ladder_vae", (28, 30, 1), marks=pytest.mark.slow),
        pytest.param("vq_vae", (8, 9, 1), marks=pytest.mark.slow),
        pytest.param("vdm", (9, 8, 1), marks=pytest.mark.slow),
    ],
)
def test_sides_that_cannot_be_halved_give_the_same_in_every_format(name, shape, tiny, tmp_path):
    likelihood = "bernoulli" if shape[-1] == 1 else "discretized_logistic"
    formats = Formats(tiny(name, image_shape=shape, likelihood=likelihood), tmp_path)
    assert formats.file.custom == []
    [served] = formats.served(ALL)
    for key, expected in formats.expected.items():
        formats.assert_agree(served[key], expected)
        if key not in signatures.SAVED_MODEL_ONLY:
            formats.assert_agree(formats.lite(key), expected)


@pytest.mark.slow
@pytest.mark.parametrize("posterior", ["full", "householder", "planar", "radial"])
def test_every_posterior_gives_the_same_in_every_format(posterior, tiny, tmp_path):
    formats = Formats(tiny("vae", posterior=posterior, flow_steps=2), tmp_path)
    [served] = formats.served(ALL)
    for key, expected in formats.expected.items():
        formats.assert_agree(served[key], expected)
        if key not in signatures.SAVED_MODEL_ONLY:
            formats.assert_agree(formats.lite(key), expected)


def test_weights_are_stored_once(formats):
    parameters = sum(weight.numpy().nbytes for weight in formats.model.weights)
    stored = tf.train.load_checkpoint(str(formats.place / "variables/variables"))
    names = set(stored.get_variable_to_shape_map()) - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
    assert sum(stored.get_tensor(name).nbytes for name in names) <= 1.2 * parameters
    places = getattr(formats.model, "places", 49)
    mask = 4 * places**2  # of attention over the places of codes: a constant, and no weight
    assert formats.file.weight_bytes <= 1.2 * parameters + mask


def test_tflite_has_only_built_in_operations_and_says_what_it_is(formats):
    assert formats.file.custom == []
    assert "CUSTOM" not in formats.file.operators
    metadata = json.loads(flatbuffer.read_metadata(formats.tflite_path, tflite.METADATA))
    assert metadata["image_shape"] == list(formats.model.image_shape)
    assert metadata["value_range"] == [0.0, 1.0]
    assert metadata["unsupported"] == signatures.unsupported(formats.model)


def test_what_a_model_cannot_support_is_declared(formats):
    missing = signatures.unsupported(formats.model)
    assert set(missing) <= set(signatures.NAMES) - {"sample"}
    assert all(missing.values())  # each with its reason
    assert formats.model.decodes_z or "decode" in missing


def test_random_bits_in_tflite_are_random123s():
    """The known answers of Random123's kat_vectors, threefry2x32 of 20 rounds."""
    known = {
        (0, 0, 0, 0): (0x6B200159, 0x99BA4EFE),
        (-1, -1, -1, -1): (0x1CB996FC, 0xBB002BE7),
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344): (0xC4923A9C, 0x483DF7A0),
    }

    @tf.function(input_signature=[tf.TensorSpec([4], tf.int32)], autograph=False)
    def bits(words):
        counter, key = (words[0], words[1]), (words[2], words[3])
        return tf.stack(vae_zoo.noise.threefry2x32(key, counter))

    converter = tf.lite.TFLiteConverter.from_concrete_functions([bits.get_concrete_function()])
    interpreter = Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    for words, expected in known.items():
        words = np.array([word & 0xFFFFFFFF for word in words], np.uint32).view(np.int32)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], words)
        interpreter.invoke()
        found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        assert tuple(found.view(np.uint32)) == expected
        np.testing.assert_array_equal(bits(words), found)


@pytest.mark.parametrize("likelihood", ["bernoulli", "discretized_logistic"])
def test_elbo_is_that_of_the_model(likelihood, tiny, tmp_path):
    model = tiny("vae", likelihood=likelihood)
    formats = Formats(model, tmp_path)
    image, seed = (formats.inputs["elbo"][key] for key in ("image", "seed"))
    assert set(np.unique(image * 255 % 1).round(3)) <= {0.0, 1.0}
    terms = model.terms({"image": image}, seed=seed)
    [served] = formats.served(ALL)
    expected = vae_zoo.probability.elbo.elbo(terms)
    np.testing.assert_allclose(served["elbo"]["elbo"], expected, rtol=1e-5, atol=1e-3)


def test_images_of_another_shape_fail_at_the_server(tiny, tmp_path):
    """Convolutions alone would take them, and TF Serving checks no shape."""
    place = saved_model.export_saved_model(tiny("conv_vae"), tmp_path / "conv_vae")
    encode = tf.saved_model.load(str(place)).signatures["encode"]
    assert encode(image=tf.zeros([2, 28, 28, 1]))["mean"].shape[0] == 2
    with pytest.raises(tf.errors.InvalidArgumentError, match="not compatible with expected shape"):
        encode(image=tf.zeros([2, 27, 28, 1]))


def test_inputs_that_do_not_belong_together_fail_at_the_server(tiny, tmp_path):
    """In every signature of two inputs, of which one row would be broadcast over all images."""
    model = tiny("cvae")
    place = saved_model.export_saved_model(model, tmp_path / "cvae")
    served = tf.saved_model.load(str(place)).signatures
    found = signatures.signatures(model)
    for name, inputs in signatures.examples(model, found, 3).items():
        assert len(inputs) > 1
        for key in inputs:
            one_row = {k: tf.constant(v[:1] if k == key else v) for k, v in inputs.items()}
            with pytest.raises(tf.errors.InvalidArgumentError, match=f"{name}: expected as many"):
                served[name](**one_row)
        for label in ([0, 10, 1], [-1, 0, 0]):
            wrong = {k: tf.constant(v) for k, v in {**inputs, "label": np.int32(label)}.items()}
            with pytest.raises(tf.errors.InvalidArgumentError, match="numbers from 0 to 9"):
                served[name](**wrong)


def test_one_seed_is_not_spread_over_two_images(tiny, tmp_path):
    place = saved_model.export_saved_model(tiny("vae"), tmp_path / "vae")
    elbo = tf.saved_model.load(str(place)).signatures["elbo"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="as many rows of seed as of image"):
        elbo(image=tf.zeros([2, 28, 28, 1]), seed=tf.constant([[7, 0]]))


def test_a_model_that_is_none_of_ours_is_refused():
    import keras

    plain = keras.Sequential([keras.layers.Input([3]), keras.layers.Dense(1)])
    with pytest.raises(vae_zoo.UserError, match="no decoder signature"):
        signatures.signatures(plain)
    with pytest.raises(vae_zoo.UserError, match="Did you mean 'decode'"):
        signatures.signatures(plain, ("decoder",))
