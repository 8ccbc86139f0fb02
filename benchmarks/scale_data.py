"""Warehouses of any size, grown from real embeddings by Spark tasks: what ``benchmarks/scale.py`` measures.

The embeddings of every photograph in ``../shared/data`` (default encoder) are projected to 256 components once. Each
row of a grown warehouse is one of them, disturbed along the components as these vary: a row is a function of its number
alone, so a warehouse can be made longer, and no row passes through the driver. One row in fifty is a near-copy of the
row before it, and the first ``crowd`` rows are one frame seen again and again.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import Broadcast
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from imgsearch.lake.store import TableStore  # noqa: E402
from imgsearch.tables import EMBEDDINGS, ENCODERS, IMAGES  # noqa: E402
from imgsearch.vectors import Matrix, pack, unit  # noqa: E402

DIM = 256
BLOCK = 4_096  # rows drawn from one seed
NOISE = 0.5  # norm of the disturbance: cosine 0.89 to the photograph, 0.8 to its other rows
COPY_NOISE = 0.1
CROWD_NOISE = 0.02
ENCODER_ID = "grown"
EMBEDDED = "image_id string, encoder_id string, embedding binary"
DESCRIBED = "image_id string, path string, kind string, number bigint"


class Bases(NamedTuple):
    """Real photographs: ``vectors`` (n, DIM) unit rows, ``kinds`` (n,) their labels, ``spread`` (DIM,) of unit norm."""

    vectors: Matrix
    kinds: list[str]
    spread: NDArray[np.float32]


def bases(folder: Path) -> Bases:
    """The embeddings of ``../shared/data``, kept in ``folder`` after the first time."""
    place = folder / "bases.npz"
    if not place.exists():
        vectors, kinds = _embedded()
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(place, vectors=vectors, kinds=json.dumps(kinds))
    with np.load(place) as held:
        vectors, kinds = held["vectors"], json.loads(str(held["kinds"]))
    spread = vectors.std(axis=0).astype(np.float32)
    return Bases(vectors, kinds, spread / np.linalg.norm(spread))


def _embedded() -> tuple[Matrix, list[str]]:
    from answers import DATA
    from real_sets import embedded

    from imgsearch.encoders.encoder import resolve

    paths, kinds = [], []
    for folder in ("grocery", "neu_det"):
        with open(DATA / folder / "truth.csv", newline="") as file:
            for row in csv.DictReader(file):
                paths.append(DATA / folder / "images" / row["path"])
                kinds.append(row["label"])
    rows, _ = embedded(resolve("efficientnet-lite0"), paths)
    centred = rows - rows.mean(axis=0)
    components = np.linalg.svd(centred, full_matrices=False)[2][:DIM]
    return unit(centred @ components.T), kinds


def an_id(row: int) -> str:
    """The image_id of a row."""
    return hashlib.sha256(f"scale {row}".encode()).hexdigest()


def drawn(block: int, bases: Bases, crowd: int) -> tuple[Matrix, NDArray[np.int64]]:
    """The rows of one block: (BLOCK, DIM) unit rows, and the (BLOCK,) photographs that they come from."""
    rng = np.random.default_rng([11, block])
    of = rng.integers(0, len(bases.vectors), BLOCK)
    rows = bases.vectors[of] + NOISE * bases.spread * rng.standard_normal((BLOCK, DIM), np.float32)
    copies = np.arange(49, BLOCK, 50)
    noise = rng.standard_normal((len(copies), DIM), np.float32) / np.sqrt(DIM, dtype=np.float32)
    rows[copies], of[copies] = unit(rows[copies - 1]) + COPY_NOISE * noise, of[copies - 1]
    numbers = block * BLOCK + np.arange(BLOCK)
    alike = numbers < crowd
    same = CROWD_NOISE * rng.standard_normal((int(alike.sum()), DIM), np.float32) / np.sqrt(DIM, dtype=np.float32)
    rows[alike], of[alike] = bases.vectors[0] + same, 0
    return unit(rows), of


Batches = Iterator[pa.RecordBatch]


def drawing(bases: Broadcast[Bases], start: int, stop: int, crowd: int, what: str) -> Callable[[Batches], Batches]:
    """(block) batches → the ``EMBEDDED`` or ``DESCRIBED`` columns of the rows ``start`` to ``stop``."""

    def draw(batches: Batches) -> Batches:
        for batch in batches:
            for block in batch.column(0).to_pylist():
                rows, of = drawn(block, bases.value, crowd)
                numbers = block * BLOCK + np.arange(BLOCK)
                inside = (numbers >= start) & (numbers < stop)
                numbers, ids = numbers[inside], [an_id(i) for i in numbers[inside].tolist()]
                if what == EMBEDDED:
                    yield pa.RecordBatch.from_arrays(
                        [pa.array(ids), pa.array([ENCODER_ID] * len(ids)), pack(rows[inside])],
                        names=["image_id", "encoder_id", "embedding"],
                    )
                    continue
                kinds = [bases.value.kinds[i] for i in of[inside]]
                paths = [f"/pictures/{n % 1000:03d}/{n:09d}.jpg" for n in numbers.tolist()]
                yield pa.RecordBatch.from_arrays(
                    [pa.array(ids), pa.array(paths), pa.array(kinds), pa.array(numbers)],
                    names=["image_id", "path", "kind", "number"],
                )

    return draw


def grow(spark: SparkSession, where: str, bases: Bases, start: int, stop: int, crowd: int) -> None:
    """Append the rows ``start`` to ``stop`` to ``images`` and ``embeddings``."""
    warehouse = TableStore.open(spark, where, create=True)
    shared = spark.sparkContext.broadcast(bases)
    first, last = start // BLOCK, -(-stop // BLOCK)

    def rows(what: str) -> DataFrame:
        blocks = spark.range(first, last, numPartitions=max(2, min(200, (last - first) // 8)))
        return blocks.mapInArrow(drawing(shared, start, stop, crowd, what), what)

    if not warehouse.exists(ENCODERS):
        encoder = spark.createDataFrame(
            [(ENCODER_ID, "grown", DIM, "{}")], "encoder_id string, name string, dim int, settings string"
        )
        warehouse.append(ENCODERS, encoder.withColumn("created_at", F.current_timestamp()).coalesce(1))
    warehouse.append(EMBEDDINGS, rows(EMBEDDED))
    site = F.concat(F.lit("site "), F.col("number") % 7)
    images = rows(DESCRIBED).select(
        "image_id", "path", F.lit("/pictures").alias("source"), F.lit("JPEG").alias("format"),
        F.lit(640).alias("width"), F.lit(480).alias("height"), F.lit(80_000).cast("long").alias("n_bytes"),
        "kind", site.alias("site"), (F.col("number") / 40).cast("int").cast("string").alias("equipment"),
    )  # fmt: skip
    warehouse.append(IMAGES, images)


def write_truth(spark: SparkSession, where: str, folder: Path, n_labels: int, n_queries: int, total: int) -> None:
    """``truth.csv`` (every path and its kind), ``labels.csv`` (of a few), ``queries.csv`` (ids) in ``folder``."""
    images = TableStore.open(spark, where).read(IMAGES).select("path", F.col("kind").alias("label"))
    part = folder / "truth.part"
    images.coalesce(1).write.mode("overwrite").option("header", "true").csv(str(part))
    next(part.glob("part-*.csv")).replace(folder / "truth.csv")
    with open(folder / "truth.csv") as truth, open(folder / "labels.csv", "w") as labels:
        labels.write(truth.readline())
        step = max(1, total // n_labels)
        labels.writelines(line for i, line in enumerate(truth) if i % step == 0)
    ids = [an_id(i) for i in range(7, total, max(1, total // n_queries))][:n_queries]
    (folder / "queries.csv").write_text("image_id\n" + "\n".join(ids) + "\n")


def draw_pictures(folder: Path, start: int, stop: int) -> None:
    """JPEG files ``start`` to ``stop``, 320 x 240: coloured patches on a gradient, no two alike."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, stop):
        rng = np.random.default_rng([3, number])
        small = rng.integers(0, 256, (6, 8, 3), np.uint8)
        picture = Image.fromarray(small).resize((320, 240), Image.Resampling.BICUBIC)
        (folder / f"{number % 100:02d}").mkdir(exist_ok=True)
        picture.save(folder / f"{number % 100:02d}" / f"{number:07d}.jpg", quality=85)
