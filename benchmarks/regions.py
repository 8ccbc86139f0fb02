"""A part of a picture (``embed --regions``): objects pasted into other photographs, and how many of them are found.

    make bench-regions                                  # both sets: some four minutes
    make bench-regions ARGS="--sets grocery --limit 100"

Half of a set's classes are objects, the other half backgrounds. Of each object photograph the middle is cut out (an
ellipse) and pasted into a background photograph, at 5 to 30 % of its area, anywhere in it. The gallery is these scenes
and as many background photographs without an object. Queries: the photograph that the object was cut from ("same"), and
another photograph of its class, of which nothing was pasted ("other"; a hit is any scene with its class). ``hit``: the
share of queries with a hit in the first ten. All goes through the product's own decoding, network, pooling and 256-d
projection, which is fitted on whole images. ``vectors``: an image. ``time``: CPU time of decoding and network, beside
that of whole images.

Beside the regions stand windows of the feature map as they are, and tiles: the picture at twice the network's size,
a quarter at a time.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # as Spark sets it in a task of one core
    os.environ[_variable] = "1"

import numpy as np  # noqa: E402
from PIL import Image, ImageDraw  # noqa: E402

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from answers import DATA  # noqa: E402
from measure import claim, save  # noqa: E402

from imgsearch.encoders.embedding import embed_files  # noqa: E402
from imgsearch.encoders.encoder import DEFAULT, Encoder, resolve  # noqa: E402
from imgsearch.encoders.feature_maps import graph_with_maps  # noqa: E402
from imgsearch.encoders.graphs import graph_of  # noqa: E402
from imgsearch.encoders.region_network import MapNetwork, RegionNetwork  # noqa: E402
from imgsearch.encoders.regions import N_REGIONS, interest, pool, select, windows  # noqa: E402
from imgsearch.encoders.runtime import load_runtime  # noqa: E402
from imgsearch.images.decode import DecodeLimits, decode  # noqa: E402
from imgsearch.projections.moments import Moments  # noqa: E402
from imgsearch.projections.projection import fit  # noqa: E402
from imgsearch.terminal import render_table  # noqa: E402
from imgsearch.vectors import Matrix  # noqa: E402

SIDE = 640  # pixels, the longer side of a scene
LEAST, MOST = 0.05, 0.30  # share of the scene's area
MIDDLE = 0.8  # of each side of an object photograph: what is cut out
TOP_K = 10
QUADRANTS = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5))  # x, y of tiles of half a side
CENTRE = (0.25, 0.25)


class Scenes(NamedTuple):
    """``gallery``: JPEGs; ``things``: the class pasted into each, or ``None``; ``same`` and ``other``: queries as
    JPEGs, each with the rows of the gallery that are right."""

    gallery: list[bytes]
    things: list[str | None]
    same: list[tuple[bytes, set[int]]]
    other: list[tuple[bytes, set[int]]]


def jpeg(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    return out.getvalue()


def scene(background: Image.Image, thing: Image.Image, rng: np.random.Generator) -> Image.Image:
    """``background`` with the middle of ``thing`` pasted in."""
    made = scaled(background)
    inset = [(1 - MIDDLE) / 2 * side for side in thing.size]
    middle = thing.crop((int(inset[0]), int(inset[1]), int(thing.width - inset[0]), int(thing.height - inset[1])))
    area = rng.uniform(LEAST, MOST) * made.width * made.height / (np.pi / 4)  # an ellipse fills that much of its box
    factor = min((area / (middle.width * middle.height)) ** 0.5, made.width / middle.width, made.height / middle.height)
    middle = middle.resize(
        (max(1, int(middle.width * factor)), max(1, int(middle.height * factor))), Image.Resampling.BICUBIC
    )
    mask = Image.new("L", middle.size, 0)
    ImageDraw.Draw(mask).ellipse((0, 0, *middle.size), fill=255)
    x, y = (int(rng.integers(0, room + 1)) for room in (made.width - middle.width, made.height - middle.height))
    made.paste(middle, (x, y), mask)
    return made


def scaled(picture: Image.Image) -> Image.Image:
    factor = SIDE / max(picture.size)
    return picture.resize((round(picture.width * factor), round(picture.height * factor)), Image.Resampling.BICUBIC)


def make_scenes(name: str, limit: int, seed: int) -> Scenes:
    """Up to ``limit`` scenes, the same for the same seed."""
    rng = np.random.default_rng(seed)
    by_class: dict[str, list[Path]] = defaultdict(list)
    with (DATA / name / "truth.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            by_class[row["label"]].append(DATA / name / "images" / row["path"])
    classes = [str(c) for c in rng.permutation(sorted(by_class))]
    objects, backgrounds = classes[: len(classes) // 2], classes[len(classes) // 2 :]
    behind = [path for label in backgrounds for path in by_class[label]]
    behind = [behind[i] for i in rng.permutation(len(behind))]
    per_class = max(1, min(limit, len(behind) // 2) // len(objects))
    scenes = Scenes([], [], [], [])
    others: list[tuple[str, Path]] = []
    for label in objects:
        paths = [by_class[label][i] for i in rng.permutation(len(by_class[label]))]
        n = min(per_class, len(paths) // 2)
        for path in paths[:n]:
            thing = Image.open(path).convert("RGB")
            scenes.same.append((path.read_bytes(), {len(scenes.gallery)}))
            scenes.gallery.append(jpeg(scene(Image.open(behind.pop()).convert("RGB"), thing, rng)))
            scenes.things.append(label)
        others += [(label, path) for path in paths[n : 2 * n]]
    rows = defaultdict(set)
    for row, label in enumerate(scenes.things):
        rows[label].add(row)
    scenes.other.extend((path.read_bytes(), rows[label]) for label, path in others)
    for path in behind[: len(scenes.gallery)]:
        scenes.gallery.append(jpeg(scaled(Image.open(path).convert("RGB"))))
        scenes.things.append(None)
    return scenes


class Method(NamedTuple):
    """A way to give an image more than one vector: JPEGs → whole (n, dim) and (n, r, dim), r may be 0."""

    name: str
    embed: Callable[[list[bytes]], tuple[Matrix, np.ndarray]]


def whole_images(encoder: Encoder) -> Method:
    runtime = load_runtime(graph_of(encoder), encoder, 1)

    def embed(files: list[bytes]) -> tuple[Matrix, np.ndarray]:
        rows = embed_files([lambda c=c: c for c in files], runtime, encoder.preprocessing, encoder.dim, DecodeLimits())
        return rows.embeddings, np.empty((len(files), 0, encoder.dim), np.float32)

    return Method("whole", embed)


def regions(encoder: Encoder, graph: bytes, n: int) -> Method:
    """As ``embed --regions``, with ``n`` regions."""
    network = RegionNetwork(graph, encoder, 1, n)

    def embed(files: list[bytes]) -> tuple[Matrix, np.ndarray]:
        rows = embed_files([lambda c=c: c for c in files], network, encoder.preprocessing, encoder.dim, DecodeLimits())
        assert rows.regions is not None
        return rows.embeddings, rows.regions.embeddings

    return Method(f"regions, {n} of {len(windows())}", embed)


def map_windows(encoder: Encoder, graph: bytes, n: int) -> Method:
    """Windows of the feature map, pooled, from the pass over the whole; ``n`` of them selected."""
    network, boxes, shown = MapNetwork(graph, encoder, 1), windows(), encoder.preprocessing

    def embed(files: list[bytes]) -> tuple[Matrix, np.ndarray]:
        wholes, parts = [], []
        for content in files:
            whole, maps = network.run(decode(content, (shown.height, shown.width))[None])
            every = pool(maps, boxes, encoder.pooling)
            wholes.append(whole[0])
            parts.append(every[0, select(interest(maps, boxes, encoder.pooling), n)[0]])
        return np.stack(wholes), np.stack(parts)

    return Method(f"map windows, {n} of {len(boxes)}", embed)


def tiles(name: str, encoder: Encoder, corners: tuple[tuple[float, float], ...]) -> Method:
    """Each tile through the network, at twice the whole's scale; the picture is decoded once, at that size."""
    runtime, side = load_runtime(graph_of(encoder), encoder, 1), encoder.preprocessing.height

    def embed(files: list[bytes]) -> tuple[Matrix, np.ndarray]:
        wholes, parts = [], []
        for content in files:
            large = decode(content, (2 * side, 2 * side))
            small = np.asarray(Image.fromarray(large).resize((side, side), Image.Resampling.BICUBIC))
            cuts = [large[int(y * 2 * side) :, int(x * 2 * side) :][:side, :side] for x, y in corners]
            rows = runtime(np.stack([small, *cuts]))
            wholes.append(rows[0])
            parts.append(rows[1:])
        return np.stack(wholes), np.stack(parts)

    return Method(name, embed)


def methods(encoder: Encoder) -> list[Method]:
    graph = graph_with_maps(encoder)
    return [
        whole_images(encoder),
        regions(encoder, graph, N_REGIONS),
        map_windows(encoder, graph, N_REGIONS),
        map_windows(encoder, graph, len(windows())),
        tiles("tiles, 2 x 2", encoder, QUADRANTS),
        tiles("tiles, 2 x 2 and centre", encoder, (*QUADRANTS, CENTRE)),
    ]


def hit_rate(queries: Matrix, right: list[set[int]], vectors: np.ndarray) -> float:
    """Share of queries with a right row among the first ten. ``vectors``: (n, 1 + r, dim); the best counts."""
    scores = np.einsum("qd,nrd->qnr", queries, vectors).max(axis=2)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :TOP_K]
    return float(np.mean([bool(rows & set(found.tolist())) for rows, found in zip(right, best, strict=True)]))


def measure(encoder: Encoder, scenes: Scenes) -> list[dict[str, float | str]]:
    plain = whole_images(encoder)
    asked = {kind: plain.embed([content for content, _ in getattr(scenes, kind)])[0] for kind in ("same", "other")}
    projection, rows, seconds = None, [], None
    for method in methods(encoder):
        method.embed(scenes.gallery[:4])
        started = time.process_time()
        whole, parts = method.embed(scenes.gallery)
        taken = time.process_time() - started
        seconds = seconds or taken
        projection = projection or fit(Moments.of(whole), min(256, len(whole) - 1), encoder.encoder_id)
        every = np.concatenate([whole[:, None], parts], axis=1)
        vectors = projection.apply(every.reshape(-1, encoder.dim)).reshape(*every.shape[:2], -1)
        row: dict[str, float | str] = {"method": method.name, "vectors": every.shape[1]}
        for kind, embedded in asked.items():
            right = [rows for _, rows in getattr(scenes, kind)]
            row[f"hit {kind}"] = hit_rate(projection.apply(embedded), right, vectors)
        rows.append(row | {"ms": 1000 * taken / len(whole), "time": taken / seconds})
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=["grocery", "neu_det"])
    parser.add_argument("--encoder", default=DEFAULT)
    parser.add_argument("--limit", type=int, default=500, help="scenes of a set")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    encoder, table, claims = resolve(given.encoder), [], []
    for name in given.sets:
        scenes = make_scenes(name, given.limit, given.seed)
        print(f"{name}: {len(scenes.same)} scenes, {len(scenes.gallery)} images, {len(scenes.other)} other queries")
        rows = measure(encoder, scenes)
        print(render_table([{k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()} for row in rows]))
        table += [{"set": name, **row} for row in rows]
        plain, chosen = rows[0], rows[1]
        for kind in ("same", "other"):
            gain = float(chosen[f"hit {kind}"]) / max(float(plain[f"hit {kind}"]), 1e-9)
            claims.append(claim(f"{name} {kind} hit@10 over whole", gain, 1.5))
        claims.append(claim(f"{name} vectors an image", float(chosen["vectors"]), 4, at_least=False))
        claims.append(claim(f"{name} embedding time over whole", float(chosen["time"]), 2, at_least=False))
    save("regions", {"encoder": given.encoder, "rows": table, "claims": claims})
    return 0


if __name__ == "__main__":
    sys.exit(main())
