"""Views of a picture: what each shows, and that the embedding of a view is that of the picture so edited."""

import io

import numpy as np
import pytest
from PIL import Image

from imgsearch.encoders.backbone import Preprocessing
from imgsearch.encoders.views import CROP, VIEWS, cropped, embed_views, turned, view_names
from imgsearch.errors import ImageError
from imgsearch.images.decode import DecodeLimits
from imgsearch.vectors import unit

SIDE = 28
LIMITS = DecodeLimits()
WEIGHTS = np.random.default_rng(1).standard_normal((SIDE * SIDE * 3, 8)).astype(np.float32)


def runtime(pixels):
    return unit(pixels.reshape(len(pixels), -1).astype(np.float32) @ WEIGHTS)


def preprocessing(fit="squash", resize_to=None, height=SIDE):
    return Preprocessing(height, SIDE, "bicubic", fit, resize_to, (0.5,) * 3, (0.5,) * 3)


def picture(size=(200, 160)):
    rng = np.random.default_rng(2)
    small = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def png(im):
    out = io.BytesIO()
    im.save(out, "PNG")
    return out.getvalue()


def part(im, across, down):
    width, height = (round(CROP * side) for side in im.size)
    left, top = round(across * (im.width - width)), round(down * (im.height - height))
    return im.crop((left, top, left + width, top + height))


EDITED = {
    "mirror": lambda im: im.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turn90": lambda im: im.transpose(Image.Transpose.ROTATE_90),
    "turn180": lambda im: im.transpose(Image.Transpose.ROTATE_180),
    "turn270": lambda im: im.transpose(Image.Transpose.ROTATE_270),
    "centre": lambda im: part(im, 0.5, 0.5),
    "top-left": lambda im: part(im, 0, 0),
    "top-right": lambda im: part(im, 1, 0),
    "bottom-left": lambda im: part(im, 0, 1),
    "bottom-right": lambda im: part(im, 1, 1),
}


def test_the_ways_name_their_views():
    assert view_names(["flip"]) == ("mirror",)
    assert view_names(["crop", "rotate"]) == VIEWS["rotate"] + VIEWS["crop"]
    assert set(view_names(VIEWS)) == set(EDITED)


@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_a_view_is_the_picture_so_edited(fit):
    im = picture() if fit == "squash" else picture((180, 180))  # a crop of the middle sees all of a square only
    how = preprocessing(fit, SIDE if fit == "crop" else None)
    names = ("bottom-left", "turn90", "centre", "mirror", "turn180", "top-left", "turn270", "top-right", "bottom-right")
    rows = embed_views(png(im), names, runtime, how, LIMITS)
    assert rows.shape == (len(names), 8)
    whole = runtime(np.asarray(im.resize((SIDE, SIDE), Image.Resampling.BICUBIC))[None])[0]
    for name, row in zip(names, rows, strict=True):
        pixels = np.asarray(EDITED[name](im).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        expected = runtime(pixels[None])[0]
        assert row @ expected > 0.995, name
        assert row @ expected > row @ whole, name


def test_only_what_is_named_is_made():
    seen = []

    def counting(pixels):
        seen.append(len(pixels))
        return runtime(pixels)

    for names in (("mirror",), VIEWS["crop"], ("centre", "mirror")):
        embed_views(png(picture()), names, counting, preprocessing(), LIMITS)
    assert seen == [1, 5, 2]


def test_a_turned_picture_has_the_size_of_the_network():
    pixels = np.random.default_rng(0).integers(0, 256, (20, SIDE, 3), dtype=np.uint8)
    assert turned(pixels, "turn90").shape == (20, SIDE, 3)
    assert (turned(pixels, "turn180") == pixels[::-1, ::-1]).all()
    assert (cropped(pixels, "bottom-right", (8, 9)) == pixels[12:, SIDE - 9 :]).all()


def test_what_is_no_picture_is_refused():
    with pytest.raises(ImageError):
        embed_views(b"no picture", ("mirror",), runtime, preprocessing(), LIMITS)
