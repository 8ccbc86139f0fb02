"""Regions of a picture: windows of the feature map, by arithmetic, and the graph that gives the map. No Spark."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.tiny import write_tiny, write_tiny_maps

from imgsearch.encoders.embedding import embed_files
from imgsearch.encoders.encoder import resolve
from imgsearch.encoders.feature_maps import graph_with_maps
from imgsearch.encoders.graphs import graph_of
from imgsearch.encoders.region_network import MapNetwork, RegionNetwork, tile_size
from imgsearch.encoders.region_rows import packed_regions, rows_of_regions
from imgsearch.encoders.regions import (
    EVERYTHING,
    N_REGIONS,
    WINDOW,
    Regions,
    coverage,
    cut_tiles,
    interest,
    or_whole,
    placed,
    pool,
    select,
    windows,
)
from imgsearch.encoders.runtime import load_runtime
from imgsearch.errors import UserError
from imgsearch.images.boxes import WHOLE, Box
from imgsearch.images.decode import DecodeLimits
from imgsearch.projections.projection import Projection
from imgsearch.projections.storage import expand
from imgsearch.tables import BOX
from imgsearch.vectors import unit, unpack, unpack_bytes


def maps(n: int = 2, dim: int = 5, height: int = 4, width: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, dim, height, width), np.float32)


def noise(n: int, side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), np.uint8)


@pytest.mark.parametrize("pooling", ["avg", "gem", "max"])
def test_the_whole_picture_as_a_box_is_the_embedding(pooling: str) -> None:
    cells = maps().reshape(2, 5, -1)
    powered = cells**3 if pooling == "gem" else cells
    expected = {"avg": cells.mean(2), "gem": powered.mean(2) ** (1 / 3), "max": cells.max(2)}[pooling]
    pooled = pool(powered.reshape(maps().shape), EVERYTHING, pooling)
    np.testing.assert_allclose(pooled[:, 0], unit(expected), atol=1e-6)


def test_a_box_of_whole_cells_is_their_mean_and_cut_cells_count_by_their_share() -> None:
    two = np.array([[1 / 3, 0.25, 0.5, 0.5], [0, 0, 0.25, 0.25]], np.float32)  # cells 2..4 of 6, rows 1..2; 1.5 cells
    pooled = pool(maps(), two, "avg")
    np.testing.assert_allclose(pooled[:, 0], unit(maps()[:, :, 1:3, 2:5].mean((2, 3))), atol=1e-6)
    cut = maps()[:, :, 0, 0] * 2 + maps()[:, :, 0, 1]
    np.testing.assert_allclose(pooled[:, 1], unit(cut), atol=1e-6)
    tiny = pool(maps(), np.array([[0.4, 0.4, 0.01, 0.01]], np.float32), "max")
    np.testing.assert_allclose(tiny[:, 0], unit(maps()[:, :, 1, 2]), atol=1e-6)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 9999))
def test_coverage_sums_to_the_area_of_the_box(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 0.9, (4, 2))
    boxes = np.concatenate([corners, rng.uniform(0.01, 1 - corners)], axis=1).astype(np.float32)
    areas = boxes[:, 2] * boxes[:, 3] * height * width
    np.testing.assert_allclose(coverage(boxes, height, width).sum(1), areas, rtol=1e-3)


def test_windows_lie_in_the_picture_and_are_more_than_stay() -> None:
    boxes = windows()
    assert len(boxes) >= N_REGIONS
    assert all(Box(*map(float, box)).lies_inside for box in boxes)
    assert len(np.unique(boxes, axis=0)) == len(boxes)


def test_interest_is_activation_and_unlikeness_in_standard_deviations() -> None:
    boxes = windows(2)
    last = maps(3, 7, 4, 4)
    quarters = np.stack([last[:, :, y : y + 2, x : x + 2] for y in (0, 2) for x in (0, 2)], axis=1).mean((3, 4))
    whole = unit(last.mean((2, 3)))
    activation = quarters.mean(2)
    likeness = (unit(quarters.reshape(-1, 7)).reshape(quarters.shape) * whole[:, None]).sum(2)
    expected = sum(
        sign * (values - values.mean(1, keepdims=True)) / values.std(1, keepdims=True)
        for sign, values in ((1, activation), (-1, likeness))
    )
    found = interest(last, boxes, "avg")
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert select(found, 2).tolist() == np.argsort(-expected, axis=1)[:, :2].tolist()


def test_a_picture_of_one_colour_has_no_interest_and_the_first_windows() -> None:
    flat = interest(np.ones((2, 3, 7, 7), np.float32), windows(), "avg")
    np.testing.assert_array_equal(flat, np.zeros((2, len(windows()))))
    assert select(flat, 3).tolist() == [[0, 1, 2]] * 2


def test_a_region_without_direction_is_the_whole_again() -> None:
    whole, boxes = unit(np.ones((1, 2), np.float32)), windows(2)[None, :2]
    regions = or_whole(whole, Regions(boxes, np.array([[[1, 0], [0, 0]]], np.float32)))
    np.testing.assert_array_equal(regions.boxes[0], [boxes[0, 0], WHOLE])
    np.testing.assert_array_equal(regions.embeddings[0], [[1, 0], whole[0]])
    np.testing.assert_array_equal(boxes[0, 1], [0.5, 0, 0.5, 0.5])  # what was given is as it was


def test_tiles_are_the_pixels_in_their_boxes() -> None:
    details = np.random.default_rng(0).integers(0, 256, (2, 8, 12, 3), np.uint8)
    boxes = np.array([[[0, 0, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5]], [[0.25, 0.5, 0.5, 0.5], [0.5, 0.25, 0.5, 0.5]]], "f4")
    tiles = cut_tiles(details, boxes)
    expected = [details[0, :4, :6], details[0, 4:, 6:], details[1, 4:, 3:9], details[1, 2:6, 6:]]
    np.testing.assert_array_equal(tiles, np.stack(expected))


def test_boxes_of_a_cut_picture_are_shares_of_the_whole_picture() -> None:
    boxes = np.array([[[0, 0, 1, 1], [0.5, 0, 0.5, 1]]], np.float32)
    np.testing.assert_allclose(
        placed(boxes, [Box(0.25, 0.1, 0.5, 0.8)]), [[[0.25, 0.1, 0.5, 0.8], [0.5, 0.1, 0.25, 0.8]]], atol=1e-7
    )


@pytest.mark.parametrize("pooling", ["avg", "gem", "max"])
def test_the_network_with_maps_is_the_same_network(pooling: str, tmp_path: Path) -> None:
    encoder = resolve(write_tiny_maps(tmp_path / "maps.onnx", 0), pooling=pooling)
    pixels = noise(5, 16)
    network, plain = MapNetwork(graph_with_maps(encoder), encoder, 1), load_runtime(graph_of(encoder), encoder, 1)
    rows, last_maps = network.run(pixels)
    np.testing.assert_array_equal(rows, plain(pixels))
    np.testing.assert_allclose(pool(last_maps, EVERYTHING, pooling)[:, 0], rows, atol=1e-5)


def test_regions_are_what_the_network_says_of_the_tiles(tmp_path: Path) -> None:
    encoder = resolve(write_tiny_maps(tmp_path / "maps.onnx", 0))
    network, plain = RegionNetwork(graph_with_maps(encoder), encoder, 1), load_runtime(graph_of(encoder), encoder, 1)
    pixels, details = noise(5, 16), noise(5, 32, seed=1)
    assert network.detail == (32, 32)
    rows, regions = network.with_regions(pixels, details)
    np.testing.assert_array_equal(rows, plain(pixels))
    np.testing.assert_array_equal(network(pixels), rows)
    assert regions.boxes.shape == (5, N_REGIONS, 4)
    for image in range(5):
        assert len(np.unique(regions.boxes[image], axis=0)) == N_REGIONS
        for box, row in zip(regions.boxes[image], regions.embeddings[image], strict=True):
            x, y = (int(value * 32) for value in box[:2])
            np.testing.assert_allclose(row, plain(details[image, y : y + 16, x : x + 16][None])[0], atol=1e-6)


def test_two_networks_side_by_side_have_regions_too(tmp_path: Path) -> None:
    names = [write_tiny_maps(tmp_path / f"{seed}.onnx", seed) for seed in (0, 1)]
    both = resolve("+".join(names))
    network = RegionNetwork(graph_with_maps(both), both, 1)
    rows, regions = network.with_regions(noise(3, 16), noise(3, 32))
    np.testing.assert_allclose(rows, load_runtime(graph_of(both), both, 1)(noise(3, 16)), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(regions.embeddings, axis=2), 1, atol=1e-5)


def test_a_network_with_a_layer_after_its_pooling_has_regions(tmp_path: Path) -> None:
    encoder = resolve(write_tiny_maps(tmp_path / "head.onnx", 0, head=True))
    _, regions = RegionNetwork(graph_with_maps(encoder), encoder, 1).with_regions(noise(2, 16), noise(2, 32))
    assert regions.embeddings.shape == (2, N_REGIONS, encoder.dim)


def test_an_encoder_without_a_map_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--regions: encoder .*flat\.onnx has no regions: it pools no map"):
        graph_with_maps(resolve(write_tiny(tmp_path / "flat.onnx", 0)))


def test_the_embedded_encoder_sees_tiles_at_a_third_of_its_pixels() -> None:
    encoder = resolve()
    network = RegionNetwork(graph_with_maps(encoder), encoder, 1)
    assert tile_size(encoder.preprocessing) == (128, 128)
    assert network.detail == (256, 256)
    rows, regions = network.with_regions(noise(2, 224), noise(2, 256))
    np.testing.assert_allclose(rows, load_runtime(graph_of(encoder), encoder, 1)(noise(2, 224)), atol=1e-6)
    assert regions.embeddings.shape == (2, N_REGIONS, 1280)
    with pytest.raises(ValueError, match=r"takes uint8 \(n, \*\(128, 128\), 3\)"):
        network(noise(2, 200))


@pytest.mark.parametrize(("fit", "frame"), [("squash", WHOLE), ("crop", Box(0.25, 0.1, 0.5, 0.8))])
def test_files_with_regions(fit: str, frame: Box, tmp_path: Path) -> None:
    toml = '\nfit = "crop"\nresize_to = 20\n' if fit == "crop" else ""
    encoder = resolve(write_tiny_maps(tmp_path / "maps.onnx", 0, toml))
    network = RegionNetwork(graph_with_maps(encoder), encoder, 1)
    out = io.BytesIO()
    Image.effect_noise((64, 40), 80).save(out, "PNG")
    sources = [out.getvalue, lambda: b"no picture", out.getvalue]
    found = embed_files(sources, network, encoder.preprocessing, encoder.dim, DecodeLimits())
    assert found.regions is not None
    assert [e is None for e in found.errors] == [True, False, True]
    assert not found.regions.embeddings[1].any()
    np.testing.assert_array_equal(found.regions.embeddings[0], found.regions.embeddings[2])
    boxes = found.regions.boxes[0]
    assert (boxes[:, 0] >= frame.x - 1e-6).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= np.add(frame[:2], frame[2:]) + 1e-6).all()
    sizes = np.broadcast_to([WINDOW * frame.width, WINDOW * frame.height], (N_REGIONS, 2))
    np.testing.assert_allclose(boxes[:, 2:], sizes, atol=1e-5)


@pytest.mark.parametrize("storage", ["float32", "int8"])
def test_packed_regions_unfold_to_a_row_each(storage: str) -> None:
    rng = np.random.default_rng(0)
    regions = Regions(rng.random((3, 2, 4), np.float32), unit(rng.normal(size=(6, 8)).astype("f4")).reshape(3, 2, 8))
    mean = regions.embeddings[1, 1]  # of this one nothing is left
    ones = np.ones(4, np.float32)
    projection = Projection("e", mean, np.eye(4, 8, dtype=np.float32), ones, ones, 0, 9, "gram")
    packed = packed_regions(regions, replace(projection, storage=storage))
    ids = pa.array(["a", "b", "c"])

    def unfolded(column: str, name: str) -> pa.Table:
        batch = pa.RecordBatch.from_arrays([ids, pa.array(packed["boxes"]), pa.array(packed[name])], names=list("abc"))
        return pa.Table.from_batches(rows_of_regions(column)(iter([batch, batch.slice(0, 0)])))

    rows = unfolded("embedding", "regions")
    assert rows.column("image_id").to_pylist() == list("aabbcc")
    assert rows.column("region").to_pylist() == [1, 2] * 3
    np.testing.assert_array_equal(unpack(rows.column("embedding")), regions.embeddings.reshape(-1, 8))
    boxes = np.stack([rows.column(name).to_numpy() for name in BOX], axis=1)
    np.testing.assert_array_equal(boxes, regions.boxes.reshape(-1, 4))
    vectors = unfolded("vector", "region_vectors")
    assert vectors.column("region").to_pylist() == [1, 2, 1, 1, 2]
    expected = np.delete(projection.apply(regions.embeddings.reshape(-1, 8)), 3, axis=0)
    np.testing.assert_allclose(expand(unpack_bytes(vectors.column("vector")), storage), expected, atol=0.02)
    assert packed_regions(regions, None)["region_vectors"] == [None] * 3
