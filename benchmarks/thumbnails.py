"""What a thumbnail costs where it is made of the network's own decode, and where the file is decoded again for it.

    PYTHONPATH=. python benchmarks/thumbnails.py              # 400 photographs (grocery) and 40 of 12 megapixels
    PYTHONPATH=. python benchmarks/thumbnails.py --images 100 --repeats 3

One thread, the contestants in turns over the same files: the decode for the network, the same with a thumbnail, a
second decode for each as `export` and the review page did it (its reading and hashing not counted), and all that
``embed`` does with an image (decode, network in ONNX Runtime, quality). CPU milliseconds an image, medians; ``bytes``
is the mean size of a thumbnail.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from answers import DATA  # noqa: E402
from embed_images import MIXES, make  # noqa: E402
from measure import claim, save  # noqa: E402

from imgsearch.encoders.embedding import embed_files  # noqa: E402
from imgsearch.encoders.encoder import DEFAULT, resolve  # noqa: E402
from imgsearch.encoders.graphs import graph_of  # noqa: E402
from imgsearch.encoders.runtime import load_runtime  # noqa: E402
from imgsearch.images.decode import DecodeLimits, decode, decode_with_thumbnail  # noqa: E402
from imgsearch.report.thumbnails import thumbnail  # noqa: E402
from imgsearch.terminal import render_table  # noqa: E402


def contestants(encoder_name: str) -> dict[str, Callable[[list[bytes]], Any]]:
    """Name → what it does with a set of files."""
    encoder = resolve(encoder_name)
    runtime, p = load_runtime(graph_of(encoder), encoder, 1), encoder.preprocessing
    how = ((p.height, p.width), DecodeLimits(), p.resample, p.fit, p.resize_to)

    def embed(contents: list[bytes]) -> Any:
        return embed_files([lambda content=content: content for content in contents], runtime, p, encoder.dim, how[1])

    return {
        "decode": lambda contents: [decode(content, *how) for content in contents],
        "decode with thumbnail": lambda contents: [decode_with_thumbnail(content, *how) for content in contents],
        "decoded again": lambda contents: [thumbnail(content) for content in contents],
        "embed": embed,
    }


def measure(name: str, contents: list[bytes], run: dict[str, Callable[[list[bytes]], Any]], repeats: int) -> Any:
    """CPU milliseconds an image of each contestant, and the claims."""
    taken: dict[str, list[float]] = {key: [] for key in run}
    made: list[bytes] = []
    for turn in range(repeats + 1):  # the first is to warm up
        for key, work in run.items():
            start = time.process_time()
            answer = work(contents)
            if turn:
                taken[key].append(1000 * (time.process_time() - start) / len(contents))
            if key == "decode with thumbnail":
                made = [decoded.thumbnail for decoded in answer]
    middle = {key: statistics.median(values) for key, values in taken.items()}
    cost = middle["decode with thumbnail"] - middle["decode"]
    print(
        f"\n{name}: {len(contents)} files, {repeats} repeats, {sum(map(len, made)) / len(made):,.0f} bytes a thumbnail"
    )
    print(render_table([{"contestant": key, "cpu ms/image": round(value, 2)} for key, value in middle.items()]))
    print(f"a thumbnail of the own decode: {cost:.2f} ms", flush=True)
    word = name.replace(" ", "_")
    claims = [
        claim(f"thumbnail share of embed:{word}", cost / middle["embed"], 0.10, at_least=False),
        claim(f"thumbnail over decoding again:{word}", cost / middle["decoded again"], 1, at_least=False),
        claim(f"largest thumbnail bytes:{word}", max(map(len, made)), 24_500, at_least=False),
    ]
    return {
        "set": name,
        "files": len(contents),
        "cpu_ms": taken,
        "bytes": sum(map(len, made)) / len(made),
        "claims": claims,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=400, help="photographs; a tenth as many of 12 megapixels")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--encoder", default=DEFAULT)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "imgsearch-benchmark")
    args = parser.parse_args()
    files = sorted((DATA / "grocery" / "images").rglob("*.jpg"))
    if not files:
        raise SystemExit(f"no photographs in {DATA}; IMGSEARCH_REAL_DATA names another folder")
    photographs = [path.read_bytes() for path in files[:: max(1, len(files) // args.images)][: args.images]]
    large = next(mix for mix in MIXES if mix.startswith("12 MP"))
    args.folder.mkdir(parents=True, exist_ok=True)
    folder = make(args.folder, large, max(8, args.images // 10))
    megapixels = [path.read_bytes() for path in sorted(folder.glob("0*"))[: max(8, args.images // 10)]]
    run = contestants(args.encoder)
    save("thumbnails", {"sets": [
        measure("grocery", photographs, run, args.repeats), measure("12 MP", megapixels, run, args.repeats),
    ]})  # fmt: skip


if __name__ == "__main__":
    main()
