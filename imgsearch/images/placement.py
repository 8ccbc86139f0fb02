"""How a picture comes to a network's size: squashed into it, or scaled by its short side and cut from the centre."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from imgsearch.images.resampling import resized

MOST_SCALED = 1 << 22  # pixels of a scaled image up to which it is scaled whole and then cut
ACROSS = frozenset(
    (Image.Transpose.TRANSPOSE, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270)
)  # turns that swap width and height


@dataclass(frozen=True)
class Placement:
    """The whole picture is scaled to ``whole`` (width, height); of that, ``cut`` (left, top, right, bottom) is kept."""

    whole: tuple[int, int]
    cut: tuple[int, int, int, int]

    @property
    def frame(self) -> tuple[float, float, float, float]:
        """The part of the picture that is kept: x, y, width, height as shares of it."""
        (across, down), (left, top, right, bottom) = self.whole, self.cut
        return left / across, top / down, (right - left) / across, (bottom - top) / down


def squash(size: tuple[int, int]) -> Placement:
    """Both sides to ``size`` (height, width), whatever the picture's shape."""
    height, width = size
    return Placement((width, height), (0, 0, width, height))


def centre_crop(source: tuple[int, int], size: tuple[int, int], resize_to: int) -> Placement:
    """torchvision's ``Resize(resize_to)`` and ``CenterCrop(size)`` of a picture of ``source`` (width, height) pixels.

    ``size``: (height, width), neither more than ``resize_to``.
    """
    height, width = size
    short = min(source)
    across, down = (resize_to if side == short else int(resize_to * side / short) for side in source)
    left, top = round((across - width) / 2.0), round((down - height) / 2.0)
    return Placement((across, down), (left, top, left + width, top + height))


def placed(
    pixels: Image.Image,
    part: tuple[float, float],
    turn: Image.Transpose | None,
    placement: Placement,
    filter: Image.Resampling,
) -> Image.Image:
    """``pixels`` turned, scaled and cut.

    ``part``: (width, height) of the picture within ``pixels``: a little less than all when the image was reduced by a
    factor that does not divide its size. Pixels not reduced are turned first and scaled then, which makes the result
    that of the plain way, bit for bit; reduced ones are turned last, because that needs no copy and ``part`` lies where
    it was.
    """
    if turn is not None and part == pixels.size:
        pixels, turn = pixels.transpose(turn), None
        part = pixels.size
    if placement.whole[0] * placement.whole[1] > MOST_SCALED:
        return _cut_first(pixels if turn is None else pixels.transpose(turn), placement, filter)
    whole = placement.whole[::-1] if turn in ACROSS else placement.whole
    scaled = resized(pixels, whole, filter, (0, 0, *part))
    if turn is not None:
        scaled = scaled.transpose(turn)
    return scaled if placement.cut == (0, 0, *scaled.size) else scaled.crop(placement.cut)


def _cut_first(pixels: Image.Image, placement: Placement, filter: Image.Resampling) -> Image.Image:
    """The cut of a picture so long that scaling all of it would cost more than it is worth."""
    across, down = pixels.width / placement.whole[0], pixels.height / placement.whole[1]
    left, top, right, bottom = placement.cut
    box = (left * across, top * down, min(right * across, pixels.width), min(bottom * down, pixels.height))
    return resized(pixels, (right - left, bottom - top), filter, box)
