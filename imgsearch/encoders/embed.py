"""Embed: ``images`` → ``embeddings``, by a Pandas UDF that goes from a file's bytes to its vector.

The CNN (last layer removed) is broadcast as an ONNX graph; a Python worker builds it once and keeps it. Only images
that this encoder has neither embedded nor refused are read, and every slice is committed, so a stopped run goes on
where it was, and takes over what the stopped one had computed of its last slice. Runs that work on one warehouse at the
same time take slices in turn: each image is embedded once. Where the encoder's embeddings have a projection already,
the same UDF writes the vector too.

With ``--regions`` an image is embedded once it has its regions as well; those that only lack these are run again.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import deque

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.config import EmbedConfig
from imgsearch.encoders.encoder import Encoder, resolve
from imgsearch.encoders.regions import N_REGIONS
from imgsearch.encoders.slices import Counts, Work, commit_left_over, embed_slice, to_retry, unseen
from imgsearch.encoders.udf import broadcast_graph
from imgsearch.images.decode import DecodeLimits
from imgsearch.lake.progress import Progress
from imgsearch.lake.rows import frame_of
from imgsearch.lake.runs import RunSummary, Stopwatch, finish
from imgsearch.lake.store import TableStore
from imgsearch.projections.spaces import find_projection
from imgsearch.tables import ENCODERS

MOST_PATHS = 20  # copies of one image that are tried in one run
POLL_SECONDS = 1.0  # between looks at a slice that another run has


def run(spark: SparkSession, config: EmbedConfig) -> RunSummary:
    """Embed what ``config.encoder`` has not seen. Idempotent: a second run embeds nothing.

    Where the work takes several commits, ``runs`` gets a row of the job 'embed slice' for each, and then the whole
    run's own.
    """
    watch = Stopwatch()
    warehouse = TableStore.open(spark, config.warehouse)
    encoder = resolve(config.encoder, pooling=config.pooling, precision=config.precision)
    limits = DecodeLimits(max_pixels=config.max_pixels, seconds=config.decode_seconds)
    details = {"encoder": encoder.name, "encoder_id": encoder.encoder_id}
    details |= {"regions": str(N_REGIONS)} if config.regions else {}
    counts = Counts()
    n_new = unseen(warehouse, encoder.encoder_id, regions=config.regions).count()
    n_retry = to_retry(warehouse, encoder.encoder_id, regions=config.regions).count()
    if n_new + n_retry:
        graph = broadcast_graph(spark, encoder, regions=config.regions)
        _register(warehouse, encoder)
        projection = find_projection(warehouse, encoder.encoder_id)
        shared = None if projection is None else spark.sparkContext.broadcast(projection)
        with Progress(spark.sparkContext, "embed", n_new + n_retry) as progress:
            work = Work(warehouse, encoder, graph, shared, limits, progress, config.thumbnails, config.regions)
            counts = commit_left_over(work)
            if counts.good:
                details |= {"taken_over": f"{counts.good:,}"}
            counts = counts.plus(_embed_again(work, n_retry, config.slice_images))
            counts = counts.plus(_embed_new(work, n_new, config.slice_images))
            counts = _embed_elsewhere(work, counts)
        graph.unpersist()
    n_again = to_retry(warehouse, encoder.encoder_id, regions=config.regions).count() if counts.bad else 0
    notes = (f"{n_again:,} refused images will be tried again by the next run (see 'quarantine')",) if n_again else ()
    return finish(
        warehouse, "embed", watch, rows_in=sum(counts), rows_out=counts.good, quarantined=counts.bad, details=details,
        notes=notes,
    )  # fmt: skip


def _embed_new(work: Work, n_images: int, slice_images: int) -> Counts:
    """All images that are unseen, slice by slice. Whether one is unseen is asked again at each slice.

    A slice that another run works on comes last, and is done when that run has done it or has ended. Runs begin at
    different slices, and mean the same by a number of slices that is a power of two.
    """
    n_slices = 1 << (-(-n_images // slice_images) - 1).bit_length() if n_images else 0
    numbers = deque(range(n_slices))
    numbers.rotate(random.randrange(n_slices) if n_slices else 0)
    counts, busy = Counts(), 0
    while numbers:
        number = numbers.popleft()
        with work.warehouse.turn(f"{work.staging_name}-{number}-of-{n_slices}") as is_ours:
            if is_ours:
                counts, busy = counts.plus(_embed_number(work, number, n_slices)), 0
            else:
                numbers.append(number)
                busy += 1
        if busy == len(numbers) > 0:
            print("waiting for another run that embeds the same images", file=sys.stderr, flush=True)
        if busy >= len(numbers) > 0:
            time.sleep(POLL_SECONDS)
    return counts


def _embed_number(work: Work, number: int, n_slices: int) -> Counts:
    """One slice, with its row of ``runs`` if there are several: the figures that a stopped run leaves behind."""
    watch = Stopwatch()
    images = _slice(work.unseen(), number, n_slices)
    n_images = images.count()
    counts = embed_slice(work, images, n_images) if n_images else Counts()
    if n_slices > 1 and n_images:
        details = {"encoder": work.encoder.name, "encoder_id": work.encoder.encoder_id}
        finish(
            work.warehouse, "embed slice", watch, rows_in=sum(counts), rows_out=counts.good, quarantined=counts.bad,
            details=details | {"slice": f"{number + 1}/{n_slices}"},
        )  # fmt: skip
    return counts


def _embed_again(work: Work, n_images: int, slice_images: int) -> Counts:
    """Images that were refused before this run, for a reason that may have passed."""
    n_slices = -(-n_images // slice_images)
    counts = Counts()
    for number in range(n_slices):
        images = _slice(work.to_retry(), number, n_slices)
        counts = counts.plus(embed_slice(work, images, -(-n_images // n_slices), retried=True))
    return counts


def _embed_elsewhere(work: Work, counts: Counts) -> Counts:
    """Images whose file could not be used now, from other paths that they have. Returns the counts of the whole run."""
    for _ in range(MOST_PATHS):
        images = work.to_retry(elsewhere=True) if counts.bad else None
        n_images = 0 if images is None else images.count()
        if images is None or not n_images:
            break
        good = embed_slice(work, images, n_images, retried=True).good
        counts = Counts(counts.good + good, counts.bad - good)
    return counts


def _slice(images: DataFrame, number: int, n_slices: int) -> DataFrame:
    return images.where(F.pmod(F.xxhash64("image_id"), F.lit(n_slices)) == number)


def _register(warehouse: TableStore, encoder: Encoder) -> None:
    """Note the encoder in ``encoders``, so that a search can use the same one."""
    row = (encoder.encoder_id, encoder.name, encoder.dim, json.dumps(encoder.settings, sort_keys=True))
    frame = frame_of(warehouse.spark, ENCODERS, [row])
    warehouse.merge(ENCODERS, frame.withColumn("created_at", F.current_timestamp()), update=False)
