"""The command that scores the user's own pictures: figures, order, resuming, mistakes."""

import csv
import types

import numpy as np
import pytest
from conftest import run_here
from PIL import Image

from vae_zoo import datasets, errors, evaluate, per_image, score
from vae_zoo.datasets import listed
from vae_zoo.metrics import likelihood, partial_results, scores
from vae_zoo.runs import plots


@pytest.fixture(scope="module")
def pictures(digits, tmp_path_factory):
    """A folder of 40 digits in class folders, and 4 of noise in the folder `strange`."""
    root = tmp_path_factory.mktemp("pictures")
    raw, labels = digits.raw("test")[:40], digits.labels("test")[:40]
    noise = np.random.default_rng(0).integers(0, 256, (4, 28, 28, 1), np.uint8)
    for i, image in enumerate([*raw, *noise]):
        folder = root / (str(labels[i]) if i < 40 else "strange")
        folder.mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(folder / f"{i:03}.png")
    return root


def run(*given):
    run_here(score.score, score.FLAGS, *given)


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# The figures.


def test_nll_of_each_image_is_its_evidence_in_a_linear_model(linear_gaussian):
    model, images = linear_gaussian
    keys = np.arange(len(images), dtype=np.int32)
    nll, elbo, rate, distortion = scores.Scorer(model, 2000, seed=0)(images, keys).T
    np.testing.assert_allclose(nll, -model.log_evidence(images), atol=0.2)  # 4 standard errors
    np.testing.assert_allclose(elbo, -rate - distortion)
    whole = likelihood.evaluate(model, images, num_samples=2000)
    assert nll.mean() == pytest.approx(whole.nll, abs=0.03)
    assert rate.mean() == pytest.approx(whole.rate, rel=1e-5)


@pytest.mark.parametrize("name", ["cvae", "hvae", "vq_vae", "vdm"])
def test_scores_do_not_depend_on_batches_or_on_the_order(name, tiny, batch):
    model, images = tiny(name), batch["image"]
    keys = listed.pixel_keys((images * 255).astype(np.uint8))
    labels = batch["label"] if model.needs_labels else None
    whole = scores.Scorer(model, 6, seed=3, batch_size=8)(images, keys, labels)
    assert np.isfinite(whole).all()
    order, few = np.random.default_rng(0).permutation(8), scores.Scorer(model, 6, 3, batch_size=3)
    for rows in (order[:3], order[3:6], order[6:]):
        part = few(images[rows], keys[rows], None if labels is None else labels[rows])
        np.testing.assert_allclose(part, whole[rows], rtol=1e-4)
    if name == "cvae":  # one more trace is enough
        assert np.abs(scores.Scorer(model, 6, 4, 8)(images, keys, labels) - whole).max() > 0.01


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    anomalous = [False, False, True, True]
    assert scores.auroc([1, 2, 3, 4], anomalous) == 1
    assert scores.auroc([4, 3, 2, 1], anomalous) == 0
    assert scores.auroc([1, 3, 2, 4], anomalous) == 0.75
    assert scores.auroc([1, 1, 1, 1], anomalous) == 0.5


# The command.


def test_the_command_writes_a_sorted_table_a_sheet_and_the_auroc(
    trained, pictures, command, tmp_path
):
    output = tmp_path / "scores.csv"
    flags = (f"--run={trained}", f"--images={pictures}", f"--output={output}", "--num_samples=20")
    normal = ",".join(sorted(folder.name for folder in pictures.iterdir() if folder.name.isdigit()))
    result = command("vae_zoo.score", *flags, f"--normal={normal}", check=True)
    rows = rows_of(output)
    assert list(rows[0]) == ["name", "label", "nll", "elbo", "rate", "distortion"]
    nll = np.array([float(row["nll"]) for row in rows])
    assert len(rows) == 44 and (np.diff(nll) <= 0).all()
    assert all(row["name"].split("/")[0] == row["label"] for row in rows)
    assert {row["label"] for row in rows[:4]} == {"strange"}
    assert "AUROC 1.000 by nll" in result.stdout and "4 anomalies, 40 normal" in result.stdout
    with Image.open(tmp_path / "scores-worst.png") as sheet:
        assert sheet.height > sheet.width
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores-worst.png", "scores.csv"]


def test_a_data_set_is_scored_as_it_is_evaluated(trained, digits, data_dir, tmp_path):
    import vae_zoo

    flags = ("--dataset=digits", f"--data_dir={data_dir}", "--num_samples=10", "--worst=0")
    run(f"--run={trained}", f"--output={tmp_path / 'a.csv'}", *flags)
    rows = sorted(rows_of(tmp_path / "a.csv"), key=lambda row: int(row["name"]))
    ours = np.array([float(row["nll"]) for row in rows])
    images = vae_zoo.runs.load_splits(trained).images("test")
    whole = likelihood.evaluate(vae_zoo.load_run(trained), images, num_samples=10)
    assert len(ours) == whole.num_images
    assert ours.mean() == pytest.approx(whole.nll, abs=0.5)  # the same ink; other samples of z


def test_an_interrupted_run_goes_on_to_the_same_bytes(trained, pictures, tmp_path, monkeypatch):
    flags = (f"--run={trained}", f"--images={pictures}", "--num_samples=5", "--batch_size=8")
    run(*flags, f"--output={tmp_path / 'whole.csv'}")
    read, sizes = listed.ListedImages.read, []

    def counted(images, rows):
        sizes.append(len(rows))
        if len(sizes) == 4:
            raise KeyboardInterrupt
        return read(images, rows)

    monkeypatch.setattr(listed.ListedImages, "read", counted)
    with pytest.raises(SystemExit) as stop:
        run(*flags, f"--output={tmp_path / 'parts.csv'}", "--worst=0")
    assert stop.value.code == 130 and not (tmp_path / "parts.csv").exists()
    with open(tmp_path / "parts.csv.partial", "ab") as file:
        file.write(b"half a row")  # a kill in the middle of a block
    run(*flags, f"--output={tmp_path / 'parts.csv'}", "--worst=0")
    assert (tmp_path / "parts.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert sizes == [8, 8, 8, 8, 8, 8, 4]  # never the whole folder; what was done is not read again
    assert not (tmp_path / "parts.csv.partial").exists()


def test_rows_from_a_damaged_one_on_are_done_again(tmp_path):
    path = tmp_path / "rows"
    store = partial_results.PartialRows(path, "one", 2, 4, "<f4")
    for start in (0, 4, 8):
        store.add(np.arange(start, start + 4), np.full((4, 2), start, np.float32))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1  # a bit of the second block
    path.write_bytes(raw)
    with pytest.warns(UserWarning, match="is damaged: the work goes on from before that"):
        again = partial_results.PartialRows(path, "one", 2, 4, "<f4")
    assert again.done == 4 and again.rows()["index"].tolist() == [0, 1, 2, 3]


def test_rows_of_other_settings_are_not_gone_on_with(tmp_path):
    store = partial_results.PartialRows(tmp_path / "rows", "one", 2, 4, "<f4")
    store.add([0, 1, 3], np.ones((3, 2)))  # the third image is broken
    again = partial_results.PartialRows(tmp_path / "rows", "one", 2, 4, "<f4")
    assert again.done == 4 and again.rows()["index"].tolist() == [0, 1, 3]
    with pytest.warns(UserWarning, match="starts anew"):
        other = partial_results.PartialRows(tmp_path / "rows", "two", 2, 4, "<f4")
    assert other.done == 0 and not len(other.rows())


def test_broken_files_are_named_or_left_out_and_counted(
    trained, digits, tmp_path, capsys, one_line
):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, image in enumerate(digits.raw("test")[:5]):
        Image.fromarray(image[..., 0]).save(folder / f"{i}.png")
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:60])
    flags = (f"--run={trained}", f"--images={folder}", f"--output={tmp_path / 'a.csv'}")
    assert "2.png" in one_line(score.score, score.FLAGS, [*flags, "--num_samples=2"])
    run(*flags, "--num_samples=2", "--skip_broken")
    assert "4 images" in (said := capsys.readouterr().out) and "1 broken ones left out" in said
    run(*flags, "--num_samples=2", "--skip_broken", "--batch_size=1")  # a batch of none
    assert sorted(row["name"] for row in rows_of(tmp_path / "a.csv")) == [
        f"{i}.png" for i in (0, 1, 3, 4)
    ]


def test_images_of_another_size_are_fitted_when_asked(trained, tmp_path, one_line):
    Image.new("RGB", (40, 60), "white").save(tmp_path / "wide.png")
    flags = [f"--run={trained}", f"--images={tmp_path / 'wide.png'}", "--num_samples=2"]
    flags.append(f"--output={tmp_path / 'a.csv'}")
    line = one_line(score.score, score.FLAGS, flags)
    assert "60 x 40 in colour" in line and "28 x 28 grey" in line and "--resize" in line
    run(*flags, "--resize")
    assert [row["name"] for row in rows_of(tmp_path / "a.csv")] == ["wide.png"]


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--images=/no/such"], "no such folder"),
        (["--images=IMAGES", "--num_samples=-1"], "--num_samples=-1"),
        (["--images=IMAGES", "--seed=4294967296"], "int32"),
        (["--images=IMAGES", "--worst=1000"], "from 0 to 100"),
        (["--images=IMAGES", "--batch_size=0"], "at least 1"),
        (["--images=IMAGES", "--output=scores.xlsx"], "ends in .csv"),
        (["--images=IMAGES", "--output=/no/such/scores.csv"], "cannot be written"),
        (["--images=IMAGES", "--output=IMAGES/scores.csv"], "lies among them"),
        (["--images=IMAGES", "--normal=straneg"], "Did you mean 'strange'"),
        (["--images=IMAGES", "--label=3"], "not conditional"),
        (["--images=IMAGES", "--dataset=digits"], "got both"),
        ([], "got neither"),
    ],
)
def test_mistakes_end_with_one_line(flags, words, trained, pictures, tmp_path, one_line):
    given = [flag.replace("IMAGES", str(pictures)) for flag in flags]
    given = [f"--run={trained}", f"--output={tmp_path / 'a.csv'}", *given]
    assert words in one_line(score.score, score.FLAGS, given)


def test_a_mistake_of_a_real_process_ends_with_code_2(trained, command, tmp_path):
    (tmp_path / "empty").mkdir()
    flags = (f"--run={trained}", f"--images={tmp_path / 'empty'}", f"--output={tmp_path / 'a.csv'}")
    result = command("vae_zoo.score", *flags)
    assert result.returncode == 2 and "holds no images" in result.stderr
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1


def test_classes_of_a_conditional_model_are_those_of_its_run():
    def images_of(labels):
        treatment = listed.Treatment((8, 8, 1), None, "static")
        return listed.ListedImages("pictures", list("abc"), labels, None, "", treatment, False)

    images = images_of(["cat", "dog", "cat"])
    model = types.SimpleNamespace(name="cvae", needs_labels=True, num_classes=2)
    config = {"label_names": ["dog", "cat"]}
    assert per_image.class_numbers(images, model, config).tolist() == [1, 0, 1]
    with pytest.raises(errors.UserError, match="'cat'.*not trained on"):
        per_image.class_numbers(images, model, {"label_names": ["dog", "cow"]})
    images = images_of(None)
    with pytest.raises(errors.UserError, match="has no classes"):
        per_image.class_numbers(images, model, config)
    assert per_image.class_numbers(images, model, config, label=1).tolist() == [1, 1, 1]


def test_an_evaluation_of_other_data_counts_classes_as_the_run_does(npz, grey):
    names = np.array(["dog", "fox"])[grey["label"] % 2]
    splits = datasets.load(npz(image=grey["image"], label=names))
    model = types.SimpleNamespace(name="cvae", needs_labels=True, num_classes=3)
    evaluate.FLAGS(["evaluate"])
    found = evaluate._labels(splits, model, {"label_names": ["cat", "dog", "fox"]}, 10)
    assert found.tolist() == [1 + label for label in splits.labels("test", 10)]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_sheet_shows_where_an_image_and_its_reconstruction_differ(channels, tmp_path):
    image = np.zeros((2, 8, 8, channels), np.float32)
    again = image.copy()
    again[:, 2, 3] = 1.0
    plots.errors_of(tmp_path / "a.png", image, again, ["one", "a name far too long " * 5])
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int)
    right = pixels[:, -70:]  # of the last column, the error map: one bright pixel, dark around
    assert right.max() > 240 and (right.sum(-1) < 60).mean() > 0.5


def test_columns_follow_the_likelihood(tiny):
    rows = {"index": np.arange(2), "values": np.array([[10.0, -11, 4, 7], [20.0, -21, 5, 16]])}
    grey = score._table(tiny("vae", likelihood="discretized_logistic"), rows, is_bce=False)
    assert list(grey)[:5] == ["nll", "elbo", "rate", "distortion", "bits_per_dim"]
    np.testing.assert_allclose(grey["bits_per_dim"], [20 / 784 / np.log(2), 10 / 784 / np.log(2)])
    crossed = score._table(tiny("vae"), rows, is_bce=True)  # no likelihood: no NLL
    assert list(crossed) == ["negative_bce_less_rate", "rate", "bce", "index"]
    assert crossed["index"].tolist() == [1, 0] and crossed["bce"].tolist() == [16, 7]
