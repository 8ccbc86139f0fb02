"""The geometric check on drawn pictures: every edit of one is a copy, another view of the same thing is none."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from support.drawings import cropped, drawing

from imgsearch.errors import ImageError
from imgsearch.geometry.check import FEW, check_copy, fitted, ratio_matches
from imgsearch.geometry.features import MOST, Features, features, features_of, stretched
from imgsearch.geometry.overlay import best_whole, laid_over

pytest.importorskip("cv2", reason="the extra `verify` is not installed")


def of(im):
    return features(np.asarray(im.convert("RGB")))


def recompressed(im, quality):
    out = io.BytesIO()
    im.save(out, "JPEG", quality=quality)
    return Image.open(io.BytesIO(out.getvalue()))


def stamped(im):
    im = im.copy()
    ImageDraw.Draw(im).rectangle([im.width // 3, im.height // 3, im.width * 2 // 3, im.height // 2], fill="white")
    return im


EDITS = {
    "mirror": ImageOps.mirror,
    "turn 90": lambda im: im.transpose(Image.Transpose.ROTATE_90),
    "turn 180": lambda im: im.transpose(Image.Transpose.ROTATE_180),
    "mirror and turn": lambda im: im.transpose(Image.Transpose.TRANSPOSE),
    "tilt": lambda im: cropped(im.rotate(8, Image.Resampling.BICUBIC), 0.1, 0.1, 0.8),
    "crop": lambda im: cropped(im, 0.05, 0.2, 0.7),
    "mirror and crop": lambda im: cropped(ImageOps.mirror(im), 0.2, 0.1, 0.75),
    "dark": lambda im: ImageEnhance.Brightness(im).enhance(0.4),
    "grey": lambda im: im.convert("L"),
    "quality 15": lambda im: recompressed(im, 15),
    "half size": lambda im: im.resize((im.width // 2, im.height // 2)),
    "border": lambda im: ImageOps.expand(im, 40, "white"),
    "stamp": stamped,
}


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("is_first", [True, False])
def test_an_edited_copy_is_a_copy_from_both_sides(name, is_first):
    im = drawing(1)
    pair = of(im), of(EDITS[name](im))
    verdict = check_copy(*(pair if is_first else pair[::-1]))
    assert verdict.is_copy is True, verdict


def test_other_pictures_and_the_same_shapes_elsewhere_are_no_copies():
    one = drawing(2)
    assert check_copy(of(one), of(drawing(3))).is_copy is False
    other = drawing(4)
    other.paste(cropped(one, 0.2, 0.2, 0.55), (150, 110))
    verdict = check_copy(of(one), of(other))  # the same thing in another picture
    assert verdict.inliers >= FEW
    assert verdict.is_copy is False


def test_a_part_that_covers_less_than_half_of_both_is_no_copy():
    wide = drawing(5, (700, 270))
    left, right = wide.crop((0, 0, 360, 270)), wide.crop((240, 0, 600, 270))
    verdict = check_copy(of(left), of(right))
    assert verdict.inliers >= FEW
    assert verdict.overlay.agreement > 0.9
    assert 0.25 < verdict.overlay.share < 0.4
    assert verdict.is_copy is False


def test_pictures_without_anything_in_them_are_left_undecided():
    grey, darker = (Image.new("RGB", (300, 200), (level, level, level)) for level in (90, 70))
    assert check_copy(of(grey), of(darker)).is_copy is None
    assert check_copy(of(grey), of(drawing(1))).is_copy is None
    assert of(grey).descriptors.shape == (0, 128)


def test_the_similarity_that_is_found_is_the_one_that_was_drawn():
    im = drawing(6)
    fit = fitted(of(im), of(cropped(im, 0.2, 0.1, 0.75)))
    assert not fit.is_mirrored
    assert fit.transform == pytest.approx(np.array([[1, 0, -72], [0, 1, -27]]), abs=1.0)
    mirrored = fitted(of(im), of(ImageOps.mirror(im)))
    assert mirrored.is_mirrored
    assert mirrored.transform == pytest.approx(np.array([[1, 0, 0], [0, 1, 0]]), abs=1.0)
    assert fitted(of(im), of(drawing(7))).inliers < FEW


def test_a_mirror_image_needs_no_second_look():
    im = drawing(8)
    exchanged, seen = of(im).mirrored(), of(ImageOps.mirror(im))
    left, right = ratio_matches(exchanged.descriptors, seen.descriptors)
    apart = np.linalg.norm(exchanged.points[left] - seen.points[right], axis=1)
    assert len(left) > 60
    assert np.mean(apart < 2) > 0.85
    assert np.array_equal(exchanged.mirrored().descriptors, of(im).descriptors)


def test_ratio_matches_are_those_of_brute_force():
    rng = np.random.default_rng(0)
    one = rng.integers(0, 80, (40, 128)).astype(np.uint8)
    other = np.concatenate([one[10:30] + rng.integers(0, 9, (20, 128)).astype(np.uint8), one[10:12], one[:5]])
    expected = []
    for i, row in enumerate(one):
        distances = np.sqrt(((row.astype(float) - other.astype(float)) ** 2).sum(axis=1))
        first, second = np.argsort(distances, kind="stable")[:2]
        if distances[first] < 0.8 * distances[second]:
            expected.append((i, first))
    left, right = ratio_matches(one, other)
    assert list(zip(left.tolist(), right.tolist(), strict=True)) == expected
    assert 10 < len(expected) < 40
    assert [len(side) for side in ratio_matches(one[:0], other)] == [0, 0]
    assert [len(side) for side in ratio_matches(one, other[:1])] == [0, 0]


def test_features_travel_as_bytes():
    whole, plain = of(drawing(9)), of(Image.new("RGB", (30, 200)))
    for one in (whole, plain):
        for sent, received in zip(one, Features.unpacked(one.packed()), strict=True):
            assert np.array_equal(sent, received)
    assert 100 < len(whole.points) <= MOST
    assert len(whole.packed()) < 60_000
    assert whole.size == (270, 360)
    assert whole.small.shape == (96, 128)


def test_features_are_of_the_file_as_the_network_sees_it():
    im = drawing(10, (1200, 900))
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned
    im.save(out, "JPEG", quality=90, exif=exif)
    found = features_of(out.getvalue())
    assert found.size == (384, 288)
    assert check_copy(found, of(im.resize((384, 288)))).is_copy is True
    with pytest.raises(ImageError):
        features_of(b"no picture")


def test_a_picture_is_the_same_over_itself():
    one = of(drawing(11))
    assert best_whole(one, one).agreement == pytest.approx(1.0)
    same = laid_over(one, one, np.eye(2, 3))
    assert same.agreement == pytest.approx(1.0)
    assert same.share == 1.0
    away = laid_over(one, one, np.array([[1.0, 0, 500], [0, 1, 0]]))
    assert (away.blocks, away.share) == (0, 0.0)


def test_grey_levels_are_spread_and_noise_is_not_made_a_picture():
    dim = (np.arange(100, dtype=np.uint8) // 4 + 100).repeat(20).reshape(40, 50)
    assert np.ptp(stretched(dim)) == 255
    flat = np.full((40, 50), 7, np.uint8)
    flat[::2] += 1
    assert np.ptp(stretched(flat)) <= 16
