"""Checkpoints: the newest that can be read, and what a full disk leaves."""

import errno

import pytest
import tensorflow as tf

from vae_zoo import errors
from vae_zoo.runs import files
from vae_zoo.training.checkpoints import Checkpoints


@pytest.fixture
def state():
    return {"weights": tf.Variable(tf.zeros([1000])), "step": tf.Variable(0)}


@pytest.fixture
def saved(state, tmp_path):
    """Checkpoints after steps 1, 2 and 3; the state then moved on."""
    checkpoints = Checkpoints(tmp_path, state)
    for step in (1, 2, 3):
        set_to(state, step)
        checkpoints.save(step)
    set_to(state, 99)
    return checkpoints


def set_to(state, step):
    state["weights"].assign(tf.fill([1000], float(step)))
    state["step"].assign(step)


def files_of(checkpoints, step):
    return sorted(checkpoints.directory.glob(f"step-{step:010d}.*"))


def test_the_newest_checkpoint_is_restored_and_two_are_kept(saved, state):
    assert saved.restore()
    assert int(state["step"]) == 3 and float(state["weights"][7]) == 3
    assert [len(files_of(saved, step)) for step in (1, 2, 3)] == [0, 2, 2]


def test_as_many_as_asked_for_are_kept(saved, state):
    more = Checkpoints(saved.directory, state, keep=3)
    more.save(4)
    assert [len(files_of(saved, step)) for step in (2, 3, 4)] == [2, 2, 2]
    Checkpoints(saved.directory, state, keep=1).save(5)
    assert [path.name[-2:] for path in saved.paths()] == ["05"]


def test_without_checkpoints_there_is_nothing_to_restore(state, tmp_path):
    assert Checkpoints(tmp_path, state).restore() is False


@pytest.mark.parametrize("part", ["data", "index"])
@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "other"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    part, damage, saved, state, caplog
):
    (path,) = [path for path in files_of(saved, 3) if part in path.name]
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        spoilt = {"cut": content[: len(content) // 2], "empty": b""}
        path.write_bytes(spoilt.get(damage, bytes(len(content))))
    assert saved.restore()
    assert int(state["step"]) == 2 and float(state["weights"][7]) == 2
    if (part, damage) != ("index", "gone"):  # without an index it is no checkpoint
        assert "step-0000000003" in caplog.text and "trying the one before" in caplog.text


def test_checkpoints_that_are_all_damaged_are_an_error(saved):
    for step in (2, 3):
        for path in files_of(saved, step):
            path.write_bytes(b"")
    with pytest.raises(errors.UserError, match="can be read.*--overwrite"):
        saved.restore()


def test_a_checkpoint_of_another_configuration_is_an_error(saved, tmp_path):
    other = {"weights": tf.Variable(tf.zeros([7])), "step": tf.Variable(0)}
    with pytest.raises(errors.UserError, match="of another configuration"):
        Checkpoints(tmp_path, other).restore()


def test_a_full_disk_leaves_the_checkpoint_before(saved, state, monkeypatch):
    """The disk fills up while the data is written: there is data and no index."""
    unfinished = saved.directory / "step-0000000004_temp"

    def half_written(path):
        unfinished.mkdir()
        (unfinished / "part-00000-of-00001.data-00000-of-00001").write_bytes(b"half")
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(saved._checkpoint, "write", half_written)
    with pytest.raises(errors.UserError, match="no space left.*same command again"):
        saved.save(4)
    assert not unfinished.exists()  # or the disk would stay full
    assert Checkpoints(saved.directory, state).restore() and int(state["step"]) == 3


def test_other_errors_while_writing_are_not_called_a_full_disk(saved, monkeypatch):
    def denied(path):
        raise OSError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(saved._checkpoint, "write", denied)
    with pytest.raises(OSError, match="Permission denied"):
        saved.save(4)


@pytest.mark.parametrize("part", ["data", "index"])
def test_a_flipped_bit_is_never_taken_for_the_state(part, saved, state):
    (path,) = [path for path in files_of(saved, 3) if part in path.name]
    content = path.read_bytes()
    for place in range(0, len(content), max(1, len(content) // 40)):
        spoilt = bytearray(content)
        spoilt[place] ^= 4
        path.write_bytes(spoilt)
        set_to(state, 99)
        assert saved.restore()
        step = int(state["step"])
        assert step in (2, 3) and state["weights"].numpy().tolist() == [step] * 1000, place


@pytest.mark.parametrize("name", ["glob[1]", "a*b", "q?", "{a,b}", "back\\slash", "[", "ä ö"])
def test_a_directory_may_have_any_name(name, state, tmp_path):
    """TensorFlow's reader takes such names for patterns."""
    set_to(state, 5)
    Checkpoints(tmp_path / name / "checkpoints", state).save(5)
    set_to(state, 0)
    assert Checkpoints(tmp_path / name / "checkpoints", state).restore()
    assert int(state["step"]) == 5


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.OutOfRangeError(None, None, "step-4.data; File too large"),
        tf.errors.UnknownError(None, None, "step-4.data; Disk quota exceeded"),
        OSError(errno.EFBIG, "File too large"),
    ],
)
def test_a_limit_on_files_is_one_line(error, saved, monkeypatch):
    """Keras takes an OutOfRangeError within `fit` for the end of the data."""

    def limited(path):
        raise error

    monkeypatch.setattr(saved._checkpoint, "write", limited)
    with pytest.raises(errors.UserError, match="no space left"):
        saved.save(4)


def test_a_checkpoint_is_on_the_disk_before_an_older_one_goes(saved, state, monkeypatch):
    synced = []

    def sync(path):
        synced.append(path.name)
        assert files_of(saved, 2)  # not deleted yet

    monkeypatch.setattr(files, "sync", sync)
    saved.save(4)
    names = [path.name for path in files_of(saved, 4)]
    assert sorted(synced[:-1]) == names and synced[-1] == saved.directory.name
    assert not files_of(saved, 2)
