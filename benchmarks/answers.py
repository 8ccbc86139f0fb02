"""Does the fast path change the answer? Every real photograph, against plain Pillow and plain torch in float32.

    PYTHONPATH=. python benchmarks/answers.py               # all of ../shared/data: ten minutes on two cores
    PYTHONPATH=. python benchmarks/answers.py --every 20    # a sample

The fast path is what ``embed`` runs: reduced decoding, the exported graph, ONNX Runtime. The plain one is
``Image.open``, ``exif_transpose``, ``convert("RGB")``, ``resize``, and the network in torch. Prints the least cosine of
each set and a claim line; ends with exit code 1 where it is short.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from measure import claim, save
from PIL import Image, ImageOps

from imgsearch.encoders.encoder import DEFAULT, Encoder, resolve
from imgsearch.encoders.graphs import graph_of
from imgsearch.encoders.runtime import load_runtime, reference_runtime
from imgsearch.images.decode import decode

GOAL = 0.9999
DATA = Path(os.environ.get("IMGSEARCH_REAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


class Answers(NamedTuple):
    """Cosines between the two paths, one an image, in the order of ``paths``."""

    paths: list[Path]
    cosines: np.ndarray


def compare(encoder: Encoder, paths: list[Path]) -> Answers:
    """Both paths over the same files. The encoder must squash (as the default does)."""
    prep = encoder.preprocessing
    if prep.fit != "squash":
        raise SystemExit(f"{encoder.name} crops; this compares encoders that squash")
    size, filter = (prep.height, prep.width), Image.Resampling[prep.resample.upper()]
    fast, plain = load_runtime(graph_of(encoder), encoder, 1), reference_runtime(encoder)
    cosines = np.empty(len(paths))
    for i, path in enumerate(paths):
        content = path.read_bytes()
        ours = fast(decode(content, size, resample=prep.resample)[None])[0]
        with Image.open(path) as image:
            pixels = ImageOps.exif_transpose(image).convert("RGB").resize(size[::-1], filter)
        theirs = plain(np.array(pixels)[None])[0]
        cosines[i] = ours.astype(np.float64) @ theirs
    return Answers(paths, cosines)


def photographs(folder: Path, every: int) -> list[Path]:
    """Every ``every``-th photograph of a set."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))[::every]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default=DEFAULT)
    parser.add_argument("--every", type=int, default=1, help="every n-th photograph")
    parser.add_argument("--data", type=Path, default=DATA)
    args = parser.parse_args()
    least: dict[str, float] = {}
    sets = sorted(p for p in args.data.iterdir() if (p / "images").is_dir())
    for folder in sets:
        found = compare(resolve(args.encoder), photographs(folder / "images", args.every))
        worst = int(found.cosines.argmin())
        name, cosine = found.paths[worst].name, found.cosines[worst]
        print(f"{folder.name}: {len(found.paths)} images, least cosine {cosine:.7f} ({name})", flush=True)
        least[folder.name] = float(cosine)
    if not sets:
        raise SystemExit(f"no photographs in {args.data}; name another folder with --data")
    claims = [claim(f"least cosine to torch {name}", cosine, GOAL) for name, cosine in least.items()]
    save("answers", {"encoder": args.encoder, "every": args.every, "least_cosine": least, "claims": claims})
    return 0 if all(c["met"] for c in claims) else 1


if __name__ == "__main__":
    sys.exit(main())
