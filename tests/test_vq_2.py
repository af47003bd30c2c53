"""Two levels of codes: what each is the nearest of, what sees both, the bits that they take."""

import numpy as np
import pytest
import tensorflow as tf

import vae_zoo
from vae_zoo.probability import codebook, elbo, noise

SEED = (0, 7)
TOP, BOTTOM = 16, 49  # places of 4 x 4 and 7 x 7


@pytest.fixture(scope="module")
def model(tiny):
    """A model whose weights are all other than zero, and whose codebooks differ."""
    model = tiny("vq_vae_2")
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(0, 0.1, variable.shape).astype(np.float32))
    for book in model.codebook.books:
        book.vectors.assign(rng.normal(size=(8, 3)))
    return model


def test_a_uniform_code_takes_three_bits_at_each_place(tiny, batch):
    model = tiny("vq_vae_2")
    assert model.places == TOP + BOTTOM
    terms = model.terms({"image": tf.constant(batch["image"])}, seed=SEED)
    bits = terms.rate[..., 0] / np.log(2)
    np.testing.assert_allclose(bits, np.full((8, 1), 3 * (TOP + BOTTOM)), rtol=1e-5)
    again = model.terms({"image": tf.constant(batch["image"])}, seed=(1, 1))
    np.testing.assert_array_equal(elbo.elbo(terms), elbo.elbo(again))


def test_each_level_takes_the_nearest_of_its_own_codebook():
    books = codebook.LevelCodebooks(5, 2, 0.9, (2, 3))
    rng = np.random.default_rng(0)
    tables = rng.normal(size=(2, 5, 2)).astype(np.float32)
    for book, table in zip(books.books, tables, strict=True):
        book.vectors.assign(table)
    encoded = rng.normal(size=(4, 5, 2)).astype(np.float32)
    codes = books.nearest(tf.constant(encoded)).numpy()
    for place in range(5):
        table = tables[0] if place < 2 else tables[1]
        distance = ((encoded[:, place, None] - table) ** 2).sum(-1)
        np.testing.assert_array_equal(codes[:, place], distance.argmin(-1))
        np.testing.assert_allclose(books.vectors_of(codes)[:, place], table[codes[:, place]])


def test_each_codebook_follows_the_vectors_of_its_level():
    """All vectors of a level are one point: the code that is near moves there, by the decay."""
    books = codebook.LevelCodebooks(2, 1, 0.75, (2, 3))
    for book in books.books:
        book.vectors.assign([[0.0], [10.0]])
        book.counts.assign([4.0, 4.0])
    encoded = np.ones((4, 5, 1), np.float32)
    encoded[:, 2:] = 9.0
    books.follow(books.use_of(tf.constant(encoded), tf.constant(SEED)))
    top, bottom = (book.vectors.numpy()[:, 0] for book in books.books)
    np.testing.assert_allclose(top, [2 / 5, 10], rtol=1e-5)  # (3 * 0 + 2 * 1) / (3 + 2)
    np.testing.assert_allclose(bottom, [0, (30 + 27) / 6], rtol=1e-5)


def test_the_bottom_codes_are_of_what_the_top_leaves_open(model, batch):
    """Other top vectors, for the same image, move what the bottom codes are taken of."""
    image = tf.constant(batch["image"])
    before = model.features(image).numpy()
    table = model.codebook.books[0].vectors.numpy()
    model.codebook.books[0].vectors.assign(table + 1.0)
    after = model.features(image).numpy()
    model.codebook.books[0].vectors.assign(table)
    np.testing.assert_allclose(after[:, :TOP], before[:, :TOP], atol=1e-6)
    assert np.abs(after[:, TOP:] - before[:, TOP:]).max() > 1e-3


def test_the_decoder_sees_both_levels_and_their_gradient_reaches_both_encoders(model, batch):
    vectors = tf.constant(np.random.default_rng(1).normal(size=(2, TOP + BOTTOM, 3)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        total = tf.reduce_sum(model.decode(vectors))
    seen = np.abs(tape.gradient(total, vectors)).max(axis=(0, 2))
    assert (seen > 0).all()
    parts = (model.encoder, model.top_encoder, model.top_decoder, model.bottom_head)
    with tf.GradientTape() as tape:
        terms = model.terms({"image": tf.constant(batch["image"])}, seed=SEED)
        distortion = -tf.reduce_mean(terms.log_likelihood)
    weights = [part.trainable_weights[0].value for part in parts]
    assert all(np.abs(each).max() > 0 for each in tape.gradient(distortion, weights))


def test_codes_are_decoded_as_they_were_encoded_and_drawn(model, batch):
    codes = model.encode(batch["image"])
    assert codes.shape == (8, TOP + BOTTOM)
    vectors = model.codebook.vectors_of(codes)
    np.testing.assert_allclose(model.decode(vectors), model.reconstruct(batch["image"]), atol=1e-6)
    images, drawn = model.sample(noise.rows(0, 3))
    vectors = model.codebook.vectors_of(tf.cast(drawn, tf.int32))
    np.testing.assert_allclose(images, model.decode(vectors), atol=1e-6)


def test_the_prior_of_the_bottom_codes_sees_the_top_ones(model):
    codes = np.random.default_rng(0).integers(0, 8, (1, TOP + BOTTOM)).astype(np.int32)
    before = np.asarray(model.code_prior(codes))
    codes[0, 3] = (codes[0, 3] + 1) % 8  # of the top
    change = np.abs(model.code_prior(codes) - before).max(axis=-1)[0]
    assert (change[:4] == 0).all() and (change[TOP:] > 0).all()


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"quantizer": "fsq"}, "quantizer='fsq': expected codebook"),
        ({"num_quantizers": 2}, "num_quantizers=2: expected 1"),
        ({"codebook_size": 1}, "codebook_size=1"),
        ({"network": "mlp"}, "network='mlp' does not combine with VQVAE2"),
    ],
)
def test_what_makes_no_two_levels_is_refused(arguments, words, tiny):
    with pytest.raises(vae_zoo.UserError, match=words):
        tiny("vq_vae_2", **arguments)
