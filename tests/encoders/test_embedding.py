"""From files to embeddings, with a network that is arithmetic: what one bad file costs the others (nothing)."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from imgsearch.encoders.backbone import Preprocessing
from imgsearch.encoders.embedding import Embedded, embed_files
from imgsearch.encoders.runtime import BATCH
from imgsearch.errors import ImageError
from imgsearch.images.decode import DecodeLimits
from imgsearch.images.quality import quality_batch
from imgsearch.vectors import unit

PREP = Preprocessing(
    height=8, width=8, resample="bilinear", fit="squash", resize_to=None, mean=(0, 0, 0), std=(1, 1, 1)
)


def network(pixels: np.ndarray) -> np.ndarray:
    """Mean colour, unit length; a black image has no direction."""
    assert pixels.dtype == np.uint8
    assert pixels.shape[1:] == (8, 8, 3)
    assert 1 <= len(pixels) <= BATCH
    return unit(pixels.mean(axis=(1, 2)).astype(np.float32))


def png(colour: tuple[int, int, int], size: tuple[int, int] = (8, 8)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


COLOURS = [(10 * i + 5, 255 - 9 * i, (37 * i) % 200) for i in range(11)]


def embedded(sources: list[Callable[[], bytes]], n_threads: int = 1) -> Embedded:
    return embed_files(iter(sources), network, PREP, 3, DecodeLimits(), n_threads)


def unreadable() -> bytes:
    raise ImageError("unreadable", "No such file or directory")


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_bad_files_cost_the_others_nothing(n_threads: int) -> None:
    contents: list[Callable[[], bytes]] = [lambda c=c: png(c) for c in COLOURS]  # type: ignore[misc]
    contents[0] = lambda: b""
    contents[4] = lambda: b"text, not a picture"
    contents[5] = lambda: png((1, 2, 3))[:40]
    contents[7] = unreadable
    contents[10] = lambda: png((0, 0, 0))
    found = embedded(contents, n_threads)
    bad = {0, 4, 5, 7, 10}
    assert {i for i, e in enumerate(found.errors) if e is not None} == bad
    assert found.errors[7].reason == "unreadable"  # type: ignore[union-attr]
    assert found.errors[10].reason == "no_direction"  # type: ignore[union-attr]
    assert found.embeddings.shape == (11, 3)
    assert found.embeddings.dtype == np.float32
    good = [i for i in range(11) if i not in bad]
    wanted = unit(np.array(COLOURS, np.float32))
    np.testing.assert_allclose(found.embeddings[good], wanted[good], atol=1e-6)
    flat = np.broadcast_to(np.array(COLOURS, np.uint8)[good][:, None, None], (len(good), 8, 8, 3))
    np.testing.assert_allclose(found.quality[good], quality_batch(np.ascontiguousarray(flat)), atol=1e-6)


def test_order_does_not_depend_on_which_thread_is_done_first() -> None:
    def slow(i: int) -> Callable[[], bytes]:
        def read() -> bytes:
            time.sleep(0.02 if i % 3 == 0 else 0)
            return png(COLOURS[i])

        return read

    sources = [slow(i) for i in range(len(COLOURS))]
    one, many = embedded(sources, 1), embedded(sources, 4)
    assert np.array_equal(one.embeddings, many.embeddings)
    assert np.array_equal(one.quality, many.quality)


def test_few_files_are_held_at_once() -> None:
    """A batch of a million files is not read before the first is embedded."""
    read, ran = [0], [0]
    lock = threading.Lock()

    def source() -> bytes:
        with lock:
            read[0] += 1
        assert read[0] - ran[0] <= 2 * (4 + BATCH)
        return png((9, 9, 9))

    def counting(pixels: np.ndarray) -> np.ndarray:
        ran[0] += len(pixels)
        return network(pixels)

    found = embed_files((source for _ in range(60)), counting, PREP, 3, DecodeLimits(), 4)
    assert found.errors == [None] * 60


def test_no_files_at_all() -> None:
    found = embedded([])
    assert (found.embeddings.shape, found.quality.shape, found.errors) == ((0, 3), (0, 4), [])


def test_a_network_that_answers_nan() -> None:
    found = embed_files(
        iter([lambda: png((5, 5, 5))]), lambda p: np.full((len(p), 3), np.nan, np.float32), PREP, 3, DecodeLimits()
    )
    assert found.errors[0] is not None
    assert found.errors[0].reason == "no_direction"


def test_a_fault_of_the_network_is_no_bad_image() -> None:
    def broken(pixels: np.ndarray) -> np.ndarray:
        raise RuntimeError("out of order")

    with pytest.raises(RuntimeError, match="out of order"):
        embed_files(iter([lambda: png((5, 5, 5))]), broken, PREP, 3, DecodeLimits(), 2)
