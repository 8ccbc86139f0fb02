"""What a thumbnail costs where it is made of the network's own decode, and where the file is decoded again for it.

    PYTHONPATH=. python benchmarks/thumbnails.py              # 400 photographs (grocery) and 40 of 12 megapixels
    PYTHONPATH=. python benchmarks/thumbnails.py --images 100 --repeats 3

One thread, file by file, the contestants in turns: the decode for the network, the same with a thumbnail, a second
decode as `export` and the review page did it (its reading and hashing not counted), and all that ``embed`` does with
an image (decode, network in ONNX Runtime, quality). Of each file the least CPU time of the repeats counts, because the
difference of the first two is smaller than what other work on the machine adds; figures are means over the files, in
milliseconds.
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
from imgsearch.images.decode import DecodeLimits, decode, decode_views  # noqa: E402
from imgsearch.report.thumbnails import thumbnail  # noqa: E402
from imgsearch.terminal import render_table  # noqa: E402

DECODE, BOTH, AGAIN, EMBED = "decode", "decode with thumbnail", "decoded again", "embed"


def contestants(encoder_name: str) -> dict[str, Callable[[bytes], Any]]:
    """Name → what it does with a file."""
    encoder = resolve(encoder_name)
    runtime, p = load_runtime(graph_of(encoder), encoder, 1), encoder.preprocessing
    how = ((p.height, p.width), DecodeLimits(), p.resample, p.fit, p.resize_to)
    return {
        DECODE: lambda content: decode(content, *how),
        BOTH: lambda content: decode_views(content, *how, thumbnail=True),
        AGAIN: thumbnail,
        EMBED: lambda content: embed_files([lambda: content], runtime, p, encoder.dim, how[1]),
    }


def least(contents: list[bytes], run: dict[str, Callable[[bytes], Any]], repeats: int) -> dict[str, float]:
    """Mean over the files of the least CPU milliseconds of ``repeats``, by contestant; one turn more is to warm up."""
    taken = {key: [float("inf")] * len(contents) for key in run}
    for turn in range(repeats + 1):
        for place, content in enumerate(contents):
            for key, work in run.items():
                start = time.process_time_ns()
                work(content)
                spent = (time.process_time_ns() - start) / 1e6
                if turn:
                    taken[key][place] = min(taken[key][place], spent)
    return {key: statistics.fmean(values) for key, values in taken.items()}


def measure(name: str, contents: list[bytes], run: dict[str, Callable[[bytes], Any]], repeats: int) -> Any:
    """CPU milliseconds a file of each contestant, and the claims."""
    spent = least(contents, run, repeats)
    sizes = [len(jpeg) for content in contents if (jpeg := run[BOTH](content).thumbnail) is not None]
    cost = spent[BOTH] - spent[DECODE]
    print(f"\n{name}: {len(contents)} files, {repeats} repeats, {statistics.fmean(sizes):,.0f} bytes a thumbnail")
    print(render_table([{"contestant": key, "cpu ms/image": round(value, 2)} for key, value in spent.items()]))
    print(f"a thumbnail of the own decode: {cost:.2f} ms", flush=True)
    word = name.replace(" ", "_")
    claims = [
        claim(f"thumbnail share of embed:{word}", cost / spent[EMBED], 0.10, at_least=False),
        claim(f"thumbnail over decoding again:{word}", cost / spent[AGAIN], 1, at_least=False),
        claim(f"largest thumbnail bytes:{word}", max(sizes), 24_500, at_least=False),
    ]
    return {"set": name, "files": len(contents), "cpu_ms": spent, "bytes": statistics.fmean(sizes), "claims": claims}


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
