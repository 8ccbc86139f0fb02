"""What `search --spread` costs: the join alone, and the join with diffusion on the table of neighbours, in turns.

    make bench-spread-time                                                  # 100,000 x 256, 1,000 queries
    make bench-spread-time ARGS="--images 1000000"
    make bench-spread-time ARGS="--images 100000 --lists"                   # and the join that makes the lists

Vectors lie in things of 400 pictures each, so the 20 nearest of a vector are of its thing, and lists are made thing by
thing (``--lists`` makes them as the job `neighbours` does, and compares). A neighbourhood then reaches its full 300
images. Queries are gallery rows seen again from elsewhere. Top 10; one warm-up turn, medians of three.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from measure import claim, save, side_by_side  # noqa: E402
from pyspark.sql import DataFrame, SparkSession  # noqa: E402

from imgsearch.keys import order_keys  # noqa: E402
from imgsearch.lake.session import build_session  # noqa: E402
from imgsearch.retrieval.ahead import put_ahead  # noqa: E402
from imgsearch.retrieval.expansion import nearest_others  # noqa: E402
from imgsearch.retrieval.join import NO_SCORE, search  # noqa: E402
from imgsearch.retrieval.neighbour_lists import LISTED, Block, asked  # noqa: E402
from imgsearch.retrieval.spreading import spread_ahead  # noqa: E402
from imgsearch.vectors import Matrix, pack, pack_bytes, unit  # noqa: E402

DIM, TOP_K, THING = 256, 10, 400
FILE_THINGS = 50
GOAL = 3.0


def written(n: int, folder: Path) -> Matrix:
    """Files of vectors and of lists; returns every 97th vector."""
    fall = (np.arange(1, DIM + 1) ** -0.5).astype(np.float32)
    some = []
    for number in range(-(-n // (THING * FILE_THINGS))):
        rng = np.random.default_rng(number)
        things = rng.standard_normal((FILE_THINGS, DIM), np.float32) * fall
        noise = 0.6 * rng.standard_normal((FILE_THINGS * THING, DIM), np.float32) * fall
        rows = unit(np.repeat(things, THING, axis=0) + noise)
        first = number * len(rows)
        ids = [hashlib.sha256(str(first + i).encode()).hexdigest() for i in range(len(rows))]
        keys = order_keys(pa.array(ids))
        lists = [nearest_others(rows[s : s + THING], LISTED, np.arange(THING)) for s in range(0, len(rows), THING)]
        neighbours = np.concatenate([keys[part.ids + s * THING] for s, part in enumerate(lists)])
        scores = np.concatenate([part.scores for part in lists])
        write(folder / "vectors", number, {"image_id": ids, "vector": pack(rows)})
        packed = [pack_bytes(np.ascontiguousarray(v).view(np.uint8)) for v in (neighbours, scores)]
        columns = {"image_id": ids, "image_key": keys, "neighbours": packed[0], "scores": packed[1]}
        write(folder / "neighbours", number, columns)
        some.append(rows[::97])
    return np.concatenate(some)


def write(folder: Path, number: int, columns: dict[str, object]) -> None:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), folder / f"part-{number:05d}.parquet")


def seen_again(rows: Matrix, n: int) -> Matrix:
    rng = np.random.default_rng(1)
    chosen = rows[rng.integers(0, len(rows), n)]
    return unit(chosen + 0.4 * rng.standard_normal(chosen.shape, np.float32) / np.sqrt(DIM))


def drained(frame: DataFrame) -> None:
    frame.write.format("noop").mode("overwrite").save()


def plain(vectors: DataFrame, queries: Matrix) -> None:
    drained(search(queries, vectors, TOP_K))


def spread(vectors: DataFrame, lists: DataFrame, queries: Matrix) -> None:
    """As ``search.run`` does it."""
    matches = search(queries, vectors, TOP_K).persist()
    ahead = spread_ahead(matches, len(queries), None, lists)[:, :TOP_K]
    drained(put_ahead(matches, ahead, queries, vectors, TOP_K, NO_SCORE))
    matches.unpersist()


def made(vectors: DataFrame, lists: DataFrame) -> dict[str, float]:
    """The job's own join over all vectors: seconds, and the share of neighbours that the lists by things have too."""
    started = time.perf_counter()
    table = asked(Block.of(vectors, DIM), vectors).toArrow()
    seconds = time.perf_counter() - started
    there = lists.select("image_id", "neighbours").toArrow()
    expected = dict(zip(*(column.to_pylist() for column in there.columns), strict=True))
    pairs = zip(*(table.column(name).to_pylist() for name in ("image_id", "neighbours")), strict=True)
    same = [np.isin(*(np.frombuffer(v, "<i8") for v in (mine, expected[image]))).mean() for image, mine in pairs]
    return {"seconds": seconds, "same": float(np.mean(same))}


def session() -> SparkSession:
    return build_session("bench spread", spark__driver__memory="4g", spark__ui__showConsoleProgress="false")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--lists", action="store_true", help="time the join that makes the lists too")
    args = parser.parse_args()
    spark = session()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        queries = seen_again(written(args.images, folder), args.queries)
        vectors, lists = (spark.read.parquet(f"{folder}/{name}") for name in ("vectors", "neighbours"))
        bytes_a_row = sum(f.stat().st_size for f in (folder / "neighbours").iterdir()) / lists.count()
        ways = {"plain": lambda: plain(vectors, queries), "spread": lambda: spread(vectors, lists, queries)}
        for run in ways.values():
            run()
        runs = side_by_side({name: (args.repeats, run) for name, run in ways.items()})
        figures = {name: {"seconds": each.seconds, "cpu": each.cpu} for name, each in runs.items()}
        if args.lists:
            figures["lists"] = made(vectors, lists)
            print(f"lists: {figures['lists']}")
    print(f"neighbours: {bytes_a_row:.0f} bytes an image on disk")
    for name, each in runs.items():
        print(f"{name:8} {each}")
    size = f"{args.images}_{args.queries}"
    claims = [
        claim(f"spread over plain seconds {size}", runs["spread"].wall / runs["plain"].wall, GOAL, at_least=False)
    ]
    save(f"spread_time_{size}", {"bytes_an_image": bytes_a_row, **figures, "claims": claims})


if __name__ == "__main__":
    main()
