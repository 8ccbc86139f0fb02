"""The layout of a picture: what changes it, and that its views are those of the edited picture."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps
from support.drawings import drawing

from imgsearch.encoders.layout import SIDE, layouts, trimmed

WAYS = ("crop", "flip", "rotate")


def of(im, ways=()):
    return layouts(np.asarray(im.resize((224, 224), Image.Resampling.BICUBIC)), ways)


def as_it_is(im):
    return of(im)["as it is"]


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("mirror", ImageOps.mirror),
        ("turn90", lambda im: im.transpose(Image.Transpose.ROTATE_90)),
        ("turn180", lambda im: im.transpose(Image.Transpose.ROTATE_180)),
        ("turn270", lambda im: im.transpose(Image.Transpose.ROTATE_270)),
        ("mirrored turn90", lambda im: ImageOps.mirror(im).transpose(Image.Transpose.ROTATE_90)),
    ],
)
def test_a_view_is_the_layout_of_the_edited_picture(name, edit):
    im = drawing(1)
    view, copy = of(im, WAYS)[name], as_it_is(edit(im))
    assert view.shape == (SIDE * SIDE,)
    assert view @ copy > 0.99
    assert view @ as_it_is(im) < 0.9


def test_compressed_dark_and_small_copies_keep_their_layout():
    im, out = drawing(2), io.BytesIO()
    im.save(out, "JPEG", quality=5)
    for copy in (Image.open(out), im.point(lambda v: v // 3), im.resize((90, 70))):
        assert as_it_is(im) @ as_it_is(copy) > 0.97
    assert as_it_is(im) @ as_it_is(drawing(3)) < 0.7


def test_a_plain_border_is_cut_and_nothing_else():
    im = drawing(4)
    bordered = ImageOps.expand(im, (40, 30), "white")
    view = of(bordered, ["crop"])["trimmed"]
    assert view @ as_it_is(im) > 0.97
    assert view @ as_it_is(bordered) < 0.9
    assert "trimmed" not in of(im, ["crop"])
    assert "trimmed" not in of(bordered, ["flip"])
    assert trimmed(np.full((50, 60), 9, np.uint8)) is None
    narrow = np.full((60, 60), 9, np.uint8)
    narrow[30] = np.arange(60) * 4
    assert trimmed(narrow) is None


def test_the_ways_name_their_views():
    im = drawing(5)
    assert set(of(im)) == {"as it is"}
    assert set(of(im, ["flip"])) == {"as it is", "mirror"}
    assert len(of(im, ["rotate"])) == 4
    assert len(of(im, ["flip", "rotate"])) == 8
    assert not any(view.any() for view in of(Image.new("RGB", (50, 40), (9, 9, 9)), WAYS).values())
