"""Pixels as users bring them, made 8-bit grey or colour: uint8 [..., H, W, C], C = 1 or 3."""

import numpy as np

from vae_zoo import errors

MOST_PIXELS = 89_478_485  # of one image, as Pillow's own warning
_SCALE = 257  # 65535 / 255
_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L")
# Others are not opened whatever a file's name says: Pillow runs Ghostscript on PostScript.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
_ORIENTATION = 0x0112  # EXIF's tag
SIXTEEN_BITS = "16-bit values were scaled to 8 bits (65535 became 255)"
TRANSPARENT = "transparent images were laid over white"


def look(file, name):
    """Returns what an image file's head says: (H, W, C), and a set of notes.

    Args:
        file: path or open binary file.
        name: what an error calls it.

    Raises:
        UserError: where it is no image, or one of too many pixels.
    """
    with _opened(file, name) as image:
        width, height = image.size
        if _orientation(image, name) >= 5:  # to be turned by 90 degrees
            width, height = height, width
        notes = {SIXTEEN_BITS} if image.mode.startswith("I") else set()
        if _transparent(image):
            notes.add(TRANSPARENT)
        return (height, width, 1 if image.mode in _GREY else 3), notes


def decode(file, name):
    """Returns an image file's pixels as one shows them, uint8 [H, W, C]; see look."""
    from PIL import Image, ImageOps

    with _opened(file, name) as image:
        try:
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I"):
                return _eight_bits(np.asarray(image), name)[..., np.newaxis]
            grey = image.mode in _GREY
            if _transparent(image):
                white = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(white, image.convert("RGBA"))
            array = np.asarray(image.convert("L" if grey else "RGB"))
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise _unreadable(name, error) from error
    return array[..., np.newaxis] if array.ndim == 2 else array


def over_white(images):
    """Returns RGBA images uint8 [N, H, W, 4] laid over white, uint8 [N, H, W, 3]."""
    alpha = images[..., 3:].astype(np.uint32)
    return ((images[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def from_sixteen_bits(images):
    """Returns whole numbers from 0 to 65535 as the nearest of 256 levels."""
    return ((images.astype(np.uint32) + _SCALE // 2) // _SCALE).astype(np.uint8)


def _eight_bits(array, name):
    if array.min() < 0 or array.max() > 65535:
        raise errors.UserError(
            f"{name} has values from {array.min()} to {array.max()}. Expected an image of 8 or "
            "16 bits."
        )
    return from_sixteen_bits(array)


def _orientation(image, name):
    """Returns EXIF's number for how an image was held; 1 is upright."""
    if image.format == "PNG" and "exif" not in image.info:  # Pillow would decode it all
        return 1
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise _unreadable(name, error) from error


def _transparent(image):
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def _opened(file, name):
    from PIL import Image

    try:
        image = Image.open(file, formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large(name) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise _unreadable(name, error) from error
    if image.size[0] * image.size[1] > MOST_PIXELS:
        image.close()
        raise _too_large(name)
    return image


def _too_large(name):
    return errors.UserError(
        f"{name} has more than {MOST_PIXELS:,} pixels. Expected smaller images: reduce it, or "
        "give --skip_broken to leave such files out."
    )


def _unreadable(name, error):
    return errors.UserError(
        f"{name} is not an image that can be read ({type(error).__name__}). "
        "Remove or replace it, or give --skip_broken to leave such files out."
    )
