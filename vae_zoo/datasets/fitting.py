"""How an image is made to fit: cut, in grey or colour, inverted and resized as was asked."""

from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from vae_zoo import errors

_LARGEST = 4096  # pixels a side


class Fit(NamedTuple):
    """What is done to every image of a data set.

    Attributes:
        name: of the data set, for errors.
        size: (height, width) to resize to, or None. Without `crop` an image is cut to its central
            part of that shape first.
        crop: pixels a side to cut out of the centre, or None.
        channels: 1 makes images grey, 3 colour; None leaves them.
        invert: ink becomes bright.
    """

    name: str
    size: Any = None
    crop: int | None = None
    channels: int | None = None
    invert: bool = False

    def __call__(self, image):
        """Returns an image, uint8 [H, W, C], cut, grey or inverted as asked, and resized."""
        image = self._cut(image)
        if self.invert:
            image = 255 - image
        if self.size and image.shape[:2] != self.size:
            plain = image[..., 0] if image.shape[-1] == 1 else image
            height, width = self.size
            plain = Image.fromarray(plain).resize((width, height), Image.Resampling.BICUBIC)
            image = np.asarray(plain).reshape(height, width, -1)
        return image

    def part(self, height, width):
        """Returns how many rows and columns of an image have the shape that was asked for."""
        scale = min(height / self.size[0], width / self.size[1])
        return tuple(max(1, round(scale * side)) for side in self.size)

    def _cut(self, image):
        """Returns the part of an image that was asked for, in grey or colour as asked."""
        if self.crop:
            image = _central(image, (self.crop, self.crop), self.name)
        elif self.size:
            image = _central(image, self.part(*image.shape[:2]), self.name)
        channels = self.channels or image.shape[-1]
        if channels == 1 and image.shape[-1] == 3:
            return np.asarray(Image.fromarray(image).convert("L"))[..., np.newaxis]
        return np.repeat(image, 3, axis=-1) if channels > image.shape[-1] else image


def parse_size(size):
    """Returns (height, width), or None.

    Args:
        size: a side, (H, W), "side", "HxW" or None.

    Raises:
        UserError: for anything else, and sides beyond 4,096 pixels.
    """
    if size is None:
        return None
    words = size.lower().split("x") if isinstance(size, str) else np.atleast_1d(size).tolist()
    sides = [int(word) for word in words if str(word).isdecimal()]
    if len(sides) != len(words):
        sides = []
    if len(sides) not in (1, 2) or not all(1 <= side <= _LARGEST for side in sides):
        raise errors.UserError(
            f"--image_size={size}: expected pixels a side, such as 64, or height x width, such as "
            f"218x178: from 1 to {_LARGEST}."
        )
    return sides[0], sides[-1]


def _central(image, cut, name):
    """Returns the central rows and columns of an image; cut: how many of each."""
    height, width = image.shape[:2]
    if cut[0] > height or cut[1] > width:
        raise errors.UserError(
            f"crop={cut[0]}: images of {name} are {height} x {width}. Expected at most "
            f"{min(height, width)}."
        )
    top, left = (height - cut[0]) // 2, (width - cut[1]) // 2
    return image[top : top + cut[0], left : left + cut[1]]
