import io

import numpy as np
import pytest
from PIL import Image

from imgsearch.encoders.augmentation import embed_variants, variants
from imgsearch.encoders.backbone import Preprocessing
from imgsearch.errors import ImageError
from imgsearch.images.decode import DecodeLimits
from imgsearch.vectors import unit


def picture(side=12):
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_each_way_adds_its_views_once():
    pixels = picture()
    assert variants(pixels, []).tolist() == [pixels.tolist()]
    flipped = variants(pixels, ["flip"])
    assert flipped.shape == (2, 12, 12, 3)
    assert (flipped[1] == pixels[:, ::-1]).all()
    turned = variants(pixels, ["rotate"])
    assert turned.shape == (4, 12, 12, 3)
    assert (np.rot90(turned[1]) == turned[2]).all()
    both = variants(pixels, ["flip", "rotate"])
    assert len({view.tobytes() for view in both}) == 8
    with pytest.raises(ValueError, match="no such augmentation"):
        variants(pixels, ["blur"])
    with pytest.raises(ValueError, match="cannot be turned"):
        variants(pixels[:6], ["rotate"])


def test_a_turned_picture_has_the_same_mean_embedding():
    weights = np.random.default_rng(1).standard_normal((12 * 12 * 3, 8)).astype(np.float32)

    def runtime(pixels):
        return unit(np.maximum(pixels.reshape(len(pixels), -1).astype(np.float32) @ weights, 0))

    def png(pixels):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()

    preprocessing = Preprocessing(
        height=12, width=12, mean=(0.5,) * 3, std=(0.5,) * 3, resize_to=None, resample="bilinear", fit="squash"
    )
    pixels = picture()
    views = [pixels, np.rot90(pixels), pixels[:, ::-1], np.rot90(pixels, 3)[::-1]]
    rows = [embed_variants(png(v), ["flip", "rotate"], runtime, preprocessing, DecodeLimits()) for v in views]
    for row in rows:
        np.testing.assert_allclose(row, rows[0], atol=1e-6)
        assert np.linalg.norm(row) == pytest.approx(1, abs=1e-6)
    plain = [embed_variants(png(v), [], runtime, preprocessing, DecodeLimits()) for v in views[:2]]
    assert plain[0] @ plain[1] < 0.999  # without augmentation a turned picture is another one
    with pytest.raises(ImageError):
        embed_variants(b"no picture", ["flip"], runtime, preprocessing, DecodeLimits())
