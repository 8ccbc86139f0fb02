"""Demo: draw a gallery, run the whole chain on it, and say how good the answers are."""

from __future__ import annotations

import csv
import time
from pathlib import Path

from pyspark.sql import SparkSession

from imgsearch import pipeline
from imgsearch.config import (
    EvaluateConfig,
    ExportConfig,
    LabelConfig,
    PipelineConfig,
    SearchConfig,
)
from imgsearch.errors import UserError
from imgsearch.labels import evaluate, label
from imgsearch.lake.owned import claim
from imgsearch.lake.progress import Steps
from imgsearch.lake.runs import RunSummary, Stopwatch, finish, print_summary
from imgsearch.lake.shared_files import LocalFolder
from imgsearch.lake.store import TableStore
from imgsearch.places import SCHEME, absolute
from imgsearch.report import export
from imgsearch.retrieval import search
from plantdemo.config import DemoConfig
from plantdemo.drawing.gallery import DrawnGallery, draw_gallery

MARKER, PARTS = ".imgsearch-demo", ("warehouse", "export", "gallery")
NAMED_PER_KIND = 5


def run(spark: SparkSession, config: DemoConfig) -> RunSummary:
    """Draw, run the pipeline, label, search held-out queries, evaluate, export; print quality and the report's path."""
    watch = Stopwatch()
    out = _own_folder(config.output)
    steps = Steps(("draw", *pipeline.STAGES, "label", "search", "evaluate", "export"))
    steps("draw")
    start = time.monotonic()
    gallery = draw_gallery(out / "gallery", config.images, config.queries, config.seed)
    print(
        f"draw: {gallery.n_images:,} pictures of plant equipment ({gallery.n_damaged} of them damaged files), "
        f"{gallery.n_queries} queries, {time.monotonic() - start:.1f} s  folder={gallery.images.parent}",
        flush=True,
    )
    w = str(out / "warehouse")
    rows_in, quarantined = pipeline.prepare(spark, PipelineConfig(input=str(gallery.images), warehouse=w), steps)
    steps("label")
    print_summary(label.run(spark, LabelConfig(warehouse=w, labels=str(name_some(gallery)))))
    top_k = min(10, config.images // 4)
    matches = str(out / "matches.csv")
    queries = SearchConfig(warehouse=w, queries=str(gallery.queries), top_k=top_k, output=matches)
    steps("search")
    print_summary(search.run(spark, queries))
    steps("evaluate")
    for column in ("kind", "item"):
        print(f"\nquality, where right means the same {column}:", flush=True)
        truth = EvaluateConfig(
            warehouse=w, truth=str(gallery.truth), label_column=column, output=str(out / f"metrics_{column}.csv")
        )
        print_summary(evaluate.run(spark, truth))
    print(flush=True)
    steps("export")
    report = print_summary(export.run(spark, ExportConfig(warehouse=w, output=str(out / "export"))))
    print(f"\nthe report: file://{report.details['report']}\nthe matches: {matches}", flush=True)
    return finish(
        TableStore.open(spark, w), "demo", watch, rows_in=rows_in, rows_out=rows_in - quarantined,
        quarantined=quarantined, details={"report": report.details["report"]},
    )  # fmt: skip


def name_some(gallery: DrawnGallery) -> Path:
    """Play the inspector: ``labels.csv`` names five pictures of each kind. Only ``evaluate`` reads the other rows."""
    named: dict[str, list[str]] = {}
    with gallery.truth.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if not row["path"].startswith("queries/") and len(named.setdefault(row["kind"], [])) < NAMED_PER_KIND:
                named[row["kind"]].append(row["path"])
    path = gallery.truth.with_name("labels.csv")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "label"])
        writer.writerows((image, kind) for kind, images in named.items() for image in images)
    return path


def _own_folder(output: str) -> Path:
    """The demo's folder, without what an earlier demo left in it. Another's folder is never touched."""
    if SCHEME.match(output):
        raise UserError.option("output", output, "the demo draws into a local folder; give a path")
    out = Path(absolute(output))
    folder = LocalFolder(out)
    claim(folder, MARKER, "output", output, PARTS)
    for part in ("warehouse", "export"):
        folder.remove(part)
    return out
