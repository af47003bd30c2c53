"""Folders and archives of images as people have them."""

import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

import vae_zoo
from vae_zoo import datasets
from vae_zoo.datasets import archives, folders, pixels
from vae_zoo.datasets.stored import SPLITS

RNG = np.random.default_rng(0)


def save(folder, images, name="{:03}.png"):
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        image = image if isinstance(image, Image.Image) else Image.fromarray(image)
        image.save(folder / name.format(i))


def noise(count, *shape):
    return RNG.integers(0, 256, (count, *shape), dtype=np.uint8)


def all_images(splits):
    return np.concatenate([splits.raw(split) for split in SPLITS])


def has_note(splits, words):
    return any(words in note for note in splits.notes)


def test_sixteen_bit_files_keep_their_levels(tmp_path):
    levels = np.linspace(0, 65535, 144).astype(np.uint16).reshape(12, 12)
    save(tmp_path / "deep", [levels] * 12)
    splits = datasets.load(str(tmp_path / "deep"))
    expected = np.round(levels / 257).astype(np.uint8)
    np.testing.assert_array_equal(splits.raw("test")[0, ..., 0], expected)
    assert has_note(splits, "16-bit values were scaled") and has_note(splits, "12 files")


@pytest.mark.parametrize("names", [("train", "test"), ("train", "val", "test")])
def test_folders_named_as_splits_are_splits_without_classes(names, tmp_path):
    for value, name in enumerate(names, 1):
        save(tmp_path / "set" / name, np.full((12 * value, 8, 8), 40 * value, np.uint8))
    splits = datasets.load(str(tmp_path / "set"))
    assert splits.num_classes is None and splits.num_test == 12 * len(names)
    assert (splits.raw("test") == 40 * len(names)).all() and (splits.raw("train") == 40).all()


def test_a_split_may_lack_a_class(tmp_path):
    for where, value in (("train/ant", 10), ("train/bee", 20), ("test/bee", 30)):
        save(tmp_path / "set" / where, np.full((12, 8, 8), value, np.uint8))
    splits = datasets.load(str(tmp_path / "set"))
    assert splits.label_names == ["ant", "bee"] and (splits.labels("test") == 1).all()


def test_images_at_mixed_depths_and_tests_without_training_are_refused(tmp_path):
    save(tmp_path / "one" / "test", noise(12, 8, 8))
    with pytest.raises(vae_zoo.UserError, match="no folder train"):
        datasets.load(str(tmp_path / "one"))
    save(tmp_path / "two", noise(12, 8, 8))
    save(tmp_path / "two" / "cat", noise(12, 8, 8))
    with pytest.raises(vae_zoo.UserError, match="different depths"):
        datasets.load(str(tmp_path / "two"))


def test_no_image_is_left_out_for_its_depth(tmp_path):
    root = tmp_path / "deep"
    for place in ("cats", "dogs", "dogs/puppies/2024/may"):
        save(root / place, noise(6, 8, 8))
    with pytest.raises(vae_zoo.UserError, match=r"too deep, such as dogs/puppies/2024/may/0"):
        datasets.load(str(root))
    (root / "loop").symlink_to(root)
    (root / "cats" / "outside").symlink_to(tmp_path.parent)
    assert len(folders.image_files(root)) == 18


def test_a_split_may_be_a_link_to_another(tmp_path):
    for split in ("train", "test"):
        save(tmp_path / "set" / split / "cat", noise(12, 8, 8))
    (tmp_path / "set" / "validation").symlink_to(tmp_path / "set" / "test")
    splits = datasets.load(str(tmp_path / "set"))
    np.testing.assert_array_equal(splits.raw("validation"), splits.raw("test"))
    assert splits.num_train == 12


def test_links_lead_out_of_a_folder_two_levels_deep(tmp_path):
    save(tmp_path / "elsewhere" / "cat", noise(3, 8, 8))
    save(tmp_path / "elsewhere" / "cat" / "deep" / "er", noise(3, 8, 8))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "elsewhere")
    assert sorted(parts[:-1] for parts in folders.image_files(tmp_path / "set")) == [
        ("linked", "cat")
    ] * 3


def test_transparency_palettes_and_print_colours(tmp_path):
    clear = np.dstack([np.zeros((8, 8, 3)), 255 * np.eye(8)]).astype(np.uint8)
    palette = Image.new("RGB", (8, 8), (10, 200, 30)).convert("P")
    save(tmp_path / "set", [clear] * 6 + [palette] * 6)
    save(tmp_path / "set", [Image.new("CMYK", (8, 8), (0, 0, 0, 0))] * 2, "z{}.jpg")
    splits = datasets.load(str(tmp_path / "set"))
    assert splits.image_shape == (8, 8, 3) and has_note(splits, "laid over white: 6 files")
    means = sorted({round(float(image.mean())) for image in all_images(splits)})
    assert means == [80, round(255 * 7 / 8), 255]


def test_photographs_are_turned_as_their_camera_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    image = np.zeros((10, 20), np.uint8)
    image[:, :4] = 250
    (tmp_path / "set").mkdir()
    for i in range(12):
        Image.fromarray(image).save(tmp_path / "set" / f"{i}.jpg", exif=exif, quality=95)
    splits = datasets.load(str(tmp_path / "set"))
    assert splits.image_shape == (20, 10, 1)
    assert splits.raw("train")[0, :3].min() > 200 and splits.raw("train")[0, 6:].max() < 50


def test_grey_among_colour_is_colour_unless_asked_otherwise(tmp_path):
    save(tmp_path / "set", [*noise(6, 8, 8), *noise(6, 8, 8, 3)])
    splits = datasets.load(str(tmp_path / "set"))
    assert splits.image_shape == (8, 8, 3) and has_note(splits, "--channels=1")
    assert len(all_images(splits)) == 12
    assert datasets.load(str(tmp_path / "set"), channels=1).image_shape == (8, 8, 1)
    with pytest.raises(vae_zoo.UserError, match="--channels=2"):
        datasets.load(str(tmp_path / "set"), channels=2)


def test_broken_files_are_named_or_left_out_and_counted(tmp_path):
    save(tmp_path / "set", noise(20, 16, 16))
    for i in (3, 8):
        path = tmp_path / "set" / f"{i:03}.png"
        path.write_bytes(path.read_bytes()[: 20 * i])
    with pytest.raises(vae_zoo.UserError, match="003.png is not an image.*--skip_broken"):
        datasets.load(str(tmp_path / "set"))
    splits = datasets.load(str(tmp_path / "set"), skip_broken=True)
    assert splits.num_skipped == 2 and len(all_images(splits)) == 18
    assert has_note(splits, "2 broken files left out, 003.png among them")


def test_an_image_of_too_many_pixels_is_refused(tmp_path, monkeypatch):
    save(tmp_path / "set", noise(12, 16, 16))
    monkeypatch.setattr(pixels, "MOST_PIXELS", 200)
    with pytest.raises(vae_zoo.UserError, match="000.png has more than 200 pixels"):
        datasets.load(str(tmp_path / "set"))


@pytest.mark.parametrize("size, shape", [("12x9", (12, 9)), (8, (8, 8)), ((7, 5), (7, 5))])
def test_any_height_and_width(size, shape, tmp_path):
    save(tmp_path / "set", noise(12, 28, 30))
    assert datasets.load(str(tmp_path / "set")).image_shape == (28, 30, 1)
    sized = datasets.load(str(tmp_path / "set"), image_size=size)
    assert sized.image_shape == (*shape, 1) and has_note(sized, "cut to their central")


@pytest.mark.parametrize("size", ["", "x", "12x", "0x3", "1x2x3", "9999", "12.5", 2.5, (0, 4)])
def test_sizes_that_are_none_are_refused(size, tmp_path):
    with pytest.raises(vae_zoo.UserError, match="--image_size=.*218x178"):
        datasets.load(str(tmp_path), image_size=size)


# Archives.


def pack(folder, path):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(folder.rglob("*.png")):
                archive.write(file, file.relative_to(folder.parent))
    else:
        with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
            archive.add(folder, folder.name)
    return str(path)


@pytest.mark.parametrize("name", ["pets.zip", "pets.tar", "pets.tar.gz"])
def test_an_archive_gives_what_its_folder_gives(name, tmp_path):
    for kind in ("cat", "dog"):
        save(tmp_path / "pets" / kind, noise(10, 8, 8))
    folder = datasets.load(str(tmp_path / "pets"))
    before = sorted(tmp_path.rglob("*"))
    path = pack(tmp_path / "pets", tmp_path / name)
    packed = datasets.load(path)
    assert packed.label_names == ["cat", "dog"] and packed.checksum == folder.checksum
    for split in SPLITS:
        np.testing.assert_array_equal(packed.labels(split), folder.labels(split))
    assert sorted(set(tmp_path.rglob("*")) - set(before)) == [tmp_path / name]


def tar_of(path, **attributes):
    info = tarfile.TarInfo("a.png")
    for name, value in attributes.items():
        setattr(info, name, value)
    with tarfile.open(path, "w") as archive:
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    return str(path)


@pytest.mark.parametrize(
    "attributes, words",
    [
        ({"name": "../a.png"}, "leads out"),
        ({"name": "/etc/a.png"}, "leads out"),
        ({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "a link or a device"),
        ({"type": tarfile.LNKTYPE, "linkname": "b.png"}, "a link or a device"),
        ({"type": tarfile.FIFOTYPE}, "a link or a device"),
        ({"size": 5000}, "unpacks to"),
    ],
)
def test_tricks_of_archives_are_refused(attributes, words, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_LARGEST", 4000)
    with pytest.raises(vae_zoo.UserError, match=words):
        datasets.load(tar_of(tmp_path / "bad.tar", **attributes))


def test_zip_bombs_links_and_broken_archives_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(2**24))
    with pytest.raises(vae_zoo.UserError, match="unpacks to 16 MB"):
        datasets.load(str(tmp_path / "bomb.zip"))
    link = zipfile.ZipInfo("a.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(vae_zoo.UserError, match="a link or a device"):
        datasets.load(str(tmp_path / "link.zip"))
    for name in ("cut.zip", "cut.tar", "cut.tgz"):
        (tmp_path / name).write_bytes(b"hello")
        with pytest.raises(vae_zoo.UserError, match=f"{name} cannot be read"):
            datasets.load(str(tmp_path / name))


def test_a_compressed_tar_beyond_the_memory_is_refused(tmp_path, monkeypatch):
    save(tmp_path / "set", noise(12, 8, 8))
    monkeypatch.setattr(archives, "_MOST", 500)
    with pytest.raises(vae_zoo.UserError, match="Expected a plain .tar"):
        datasets.load(pack(tmp_path / "set", tmp_path / "set.tar.gz"))
