"""Noise: published answers, the right distribution, and independence of everything else."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from vae_zoo import replicas
from vae_zoo.probability import noise

# (key, counter, answer) of threefry2x32-20 in Random123's kat_vectors.
KNOWN_ANSWERS = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
]
# (counter, key, answer) of philox4x32-10 there.
PHILOX_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def as_int32(words):
    return [tf.bitcast(tf.constant([word], tf.uint32), tf.int32) for word in words]


@pytest.mark.parametrize("key, counter, answer", KNOWN_ANSWERS)
def test_threefry_gives_the_published_answers(key, counter, answer):
    key, counter = as_int32(key), as_int32(counter)
    for compiled in (False, True):
        bits = tf.function(noise.threefry2x32, jit_compile=compiled)(key, counter)
        assert tuple(int(tf.bitcast(word, tf.uint32)[0]) for word in bits) == answer


@pytest.fixture(scope="module")
def many():
    """A hundred thousand portable normals: 1,000 rows of 100."""
    return noise.normal(noise.rows(3, 1000), [100]).numpy().astype(np.float64)


def test_portable_normals_are_standard_normal(many):
    count = many.size
    assert abs(many.mean()) < 4 / np.sqrt(count)
    assert abs(many.var() - 1) < 4 * np.sqrt(2 / count)
    assert abs((many**3).mean()) < 4 * np.sqrt(15 / count)
    assert abs((many**4).mean() - 3) < 4 * np.sqrt(96 / count)
    assert stats.kstest(many.ravel(), "norm").pvalue > 0.001
    assert np.isfinite(many).all() and np.abs(many).max() < 5.77


def test_portable_uniforms_are_uniform():
    draws = noise.uniform(noise.rows(3, 1000), [99]).numpy()
    assert draws.min() >= 0 and draws.max() < 1
    assert stats.kstest(draws.ravel(), "uniform").pvalue > 0.001


def test_row_i_of_a_seed_is_seed_and_i():
    np.testing.assert_array_equal(noise.rows(7, 3), [[7, 0], [7, 1], [7, 2]])
    np.testing.assert_array_equal(noise.rows(7, 2, start=5), [[7, 5], [7, 6]])


def test_a_row_is_a_function_of_its_seed_alone(many):
    alone = noise.normal(noise.rows(3, 1, start=17), [100])
    np.testing.assert_array_equal(alone[0], many[17].astype(np.float32))


@pytest.mark.parametrize("step", [(1, 0), (0, 1), (1, -1)])
def test_neighbouring_rows_and_columns_are_uncorrelated(many, step):
    """Rows of one seed; the two halves of a row come of one Box-Muller pair."""
    shifted = np.roll(many, step, axis=(0, 1))
    assert abs((many * shifted).mean()) < 4 / np.sqrt(many.size)
    halves = (many[:, :50] * many[:, 50:]).mean()
    assert abs(halves) < 4 / np.sqrt(many.size / 2)


def test_seeds_and_streams_are_independent(many):
    for other in (
        noise.normal(noise.rows(4, 1000), [100]),
        noise.normal(noise.rows(3, 1000), [100], stream=1),
        noise.normal(noise.rows(3, 1000), [100], stream=-1),
    ):
        assert abs((many * other.numpy()).mean()) < 4 / np.sqrt(many.size)


def test_an_image_of_its_own_key_does_not_depend_on_its_batch():
    rows = noise.rows(5, 8)
    together = noise.standard_normal(rows, 3, 8, [2, 4])  # [K, B, 2, 4]
    assert together.shape == (3, 8, 2, 4)
    alone = noise.standard_normal(rows[6:], 3, 2, [2, 4])
    np.testing.assert_array_equal(together[:, 6:], alone)


def test_one_key_for_a_batch_is_normal_and_of_its_step_and_stream():
    draws = noise.standard_normal((0, 1), 50, 64, [32]).numpy()
    assert stats.kstest(draws.ravel(), "norm").pvalue > 0.001
    np.testing.assert_array_equal(draws, noise.standard_normal((0, 1), 50, 64, [32]))
    for seed, stream in (((0, 2), 0), ((1, 1), 0), ((0, 1), 1)):
        other = noise.standard_normal(seed, 50, 64, [32], stream).numpy()
        assert abs((draws * other).mean()) < 4 / np.sqrt(draws.size)


def test_xla_draws_the_same_noise():
    def draw(seed):
        return noise.standard_normal(seed, 2, 8, [5], stream=3)

    seed = tf.constant([3, 4])
    np.testing.assert_allclose(
        tf.function(draw)(seed), tf.function(draw, jit_compile=True)(seed), atol=1e-6
    )


@pytest.mark.parametrize("counter, key, answer", PHILOX_ANSWERS)
def test_philox_gives_the_published_answers(counter, key, answer):
    low, high, key = (np.array(words, np.uint32).view(np.int64)[0]
                      for words in (counter[:2], counter[2:], key))  # fmt: skip
    words = tf.bitcast(noise.words(key, high, 1, 4, first=low), tf.uint32)
    assert tuple(words.numpy()[0]) == answer


@pytest.mark.parametrize("dtype, size", [(tf.int32, 6), (tf.uint64, 3)])
def test_the_words_of_an_image_are_functions_of_its_number(dtype, size):
    def draw(rows, first):
        return noise.words(5, 11, rows, size, first, dtype)

    whole = draw(10, 0)
    np.testing.assert_array_equal(draw(3, 4), whole[4:7])
    compiled = tf.function(draw, jit_compile=True)(7, tf.constant(3, tf.int64))
    np.testing.assert_array_equal(compiled, whole[3:])
    far = draw(2, 2**31)  # beyond int32
    assert len(np.unique(np.concatenate([far, whole]))) == 12 * whole.shape[1]


def test_replicas_see_their_rows_of_the_global_batch(monkeypatch):
    whole = noise.standard_normal((0, 9), 2, 12, [5], stream=1)
    uniforms = noise.philox_uniform((0, 9), 12, (5,))
    spread = noise.spread_uniform((0, 9), 2, 12)
    for replica in range(3):
        monkeypatch.setattr(replicas, "replica", lambda replica=replica: (3, replica))
        mine = slice(4 * replica, 4 * replica + 4)
        part = noise.standard_normal((0, 9), 2, 4, [5], stream=1)
        np.testing.assert_array_equal(part, whole[:, mine])
        np.testing.assert_array_equal(noise.philox_uniform((0, 9), 4, (5,)), uniforms[mine])
        whole_uniforms = noise.philox_uniform((0, 9), 4, (5,), whole=True)
        np.testing.assert_array_equal(whole_uniforms, uniforms)
        np.testing.assert_allclose(noise.spread_uniform((0, 9), 2, 4), spread[:, mine], atol=1e-6)


@pytest.mark.parametrize("per_image", [False, True])
def test_spread_uniforms_are_an_even_grid_and_uniform_each(per_image):
    seeds = [noise.rows(s, 6) if per_image else (0, s) for s in range(200)]
    found = np.stack([noise.spread_uniform(seed, 4, 6).numpy() for seed in seeds])
    assert found.min() >= 0 and found.max() < 1
    assert stats.kstest(found[:, 1, 2], "uniform").pvalue > 0.001
    # One key: an even grid of all numbers; a key an image: of each image's.
    grids = np.swapaxes(found, 1, 2).reshape((-1, 4) if per_image else (-1, 24))
    gaps = np.diff(np.sort(grids, axis=1), axis=1)
    np.testing.assert_allclose(gaps, 1 / grids.shape[1], atol=1e-5)
