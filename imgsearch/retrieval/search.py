"""Search: query images → ``matches``, by a broadcast cosine top-k against ``vectors`` (the join: ``join``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.clusters.codebook import Codebook
from imgsearch.clusters.layout import codebook
from imgsearch.config import SearchConfig
from imgsearch.encoders.extras import require
from imgsearch.errors import LAUNCHER, UserError
from imgsearch.lake.batches import streamed
from imgsearch.lake.csv_files import write_batches
from imgsearch.lake.owned import check_file
from imgsearch.lake.rows import frame_of, typed
from imgsearch.lake.runs import RunSummary, Stopwatch, finish
from imgsearch.lake.store import TableStore
from imgsearch.projections.projection import Projection
from imgsearch.projections.spaces import current_projection, gallery_of
from imgsearch.retrieval.ahead import put_ahead
from imgsearch.retrieval.conditions import images_where, known_column, silent
from imgsearch.retrieval.diffusion import ranking
from imgsearch.retrieval.expanding import expanded
from imgsearch.retrieval.group_search import Grouping, n_without_group, search_groups
from imgsearch.retrieval.join import NO_SCORE, probed_rows
from imgsearch.retrieval.matches import named_groups, named_matches
from imgsearch.retrieval.probes import RECALL_METRIC
from imgsearch.retrieval.queries import QueryBatch, read_queries
from imgsearch.retrieval.recall import Check, Search
from imgsearch.retrieval.region_join import regions_for_search, with_boxes, without_regions
from imgsearch.retrieval.searches import Answered, new_search_id, record_search, write_answers
from imgsearch.retrieval.spreading import best_of, lists_for_search, spread_ahead
from imgsearch.retrieval.verifying import FIRST, VERIFIED, verified
from imgsearch.tables import CALIBRATIONS, EMBEDDINGS, GROUP_MATCHES, IMAGES, MATCHES, METRICS, VECTORS
from imgsearch.vectors import Ids

#: How long a search waits for another one that is writing its tables.
WAIT_SECONDS = 300.0


class Scope(NamedTuple):
    """What is searched: ``images`` (those for which ``--where`` holds), their vectors as ``gallery``, ``size`` of them;
    the ``codebook`` where clusters are probed, the column to ``group_by``, the ``lists`` of neighbours to spread on,
    and the ``regions`` of the images where they rank by these too."""

    images: DataFrame
    gallery: DataFrame
    size: int
    codebook: Codebook | None
    group_by: str | None
    lists: DataFrame | None
    regions: DataFrame | None


class SearchReport(NamedTuple):
    """What is said of a search."""

    details: dict[str, object]
    notes: list[str]


def run(spark: SparkSession, config: SearchConfig) -> RunSummary:
    """Search for ``config.queries`` and add what was found to ``matches`` (and ``group_matches``)."""
    watch = Stopwatch()
    warehouse = TableStore.open(spark, config.warehouse)
    encoder, projection = current_projection(warehouse, config.encoder)
    if config.output is not None:
        check_file(config.output, "query_id")
    scope = _scope(warehouse, projection, config)
    queries = read_queries(spark, warehouse, encoder, projection, config)
    search_id = new_search_id(config, watch.started_at)
    report = SearchReport({"search_id": search_id, "gallery": scope.size, "top_k": config.top_k}, [])
    search, check, first = plan(scope, queries, warehouse, projection, config)
    nearest = search.find().persist()
    recall = _say_recall(warehouse, projection, search, check, nearest, config, report)
    matches = _ranked(search, nearest, first, scope, config)
    matches = _verified(warehouse, queries, matches, scope, report) if config.verify else matches
    placed = matches if scope.regions is None else with_boxes(matches, warehouse, projection.projection_id)
    named = named_matches(placed, queries, scope.images, _threshold(warehouse, projection)).persist()
    result = named
    if scope.group_by is not None:
        result = _grouped(warehouse, search, scope, queries, config, report)
    n_matches = named.count()
    answered = Answered(
        len(queries.ids), n_matches, scope.size, encoder.encoder_id, projection.projection_id, search.nprobe, recall
    )
    with warehouse.lease("search", wait_seconds=WAIT_SECONDS):
        if scope.group_by is not None:
            write_answers(warehouse, GROUP_MATCHES, result, search_id)
        write_answers(warehouse, MATCHES, named, search_id)
        _write_recall(warehouse, config.top_k, recall)
        record_search(warehouse, search_id, watch, config, answered)
    _write_output(result, config, report)
    _say_what_is_missing(warehouse, projection, scope, config, report)
    for frame in (named, matches, nearest):
        frame.unpersist()
    return finish(
        warehouse, "search", watch, rows_in=queries.rows_in, rows_out=len(queries.ids),
        quarantined=queries.rows_in - len(queries.ids), details=report.details | {"matches": n_matches},
        notes=tuple(report.notes),
    )  # fmt: skip


def _scope(warehouse: TableStore, projection: Projection, config: SearchConfig) -> Scope:
    """Everything that the settings say of the gallery, checked before queries are read. Raises ``UserError``."""
    if config.verify:
        require("verify", "search --verify")
    images = warehouse.read(IMAGES)
    group_by = known_column(images, "group_by", config.group_by) if config.group_by is not None else None
    images = images if config.where is None else images_where(images, config.where)
    gallery, size = _gallery(warehouse, projection, images, config)
    clusters = None
    if config.nprobe is not None or config.recall is not None:
        clusters = codebook(
            warehouse, projection.projection_id, "--nprobe" if config.nprobe is not None else "--recall"
        )
        if config.nprobe is not None and config.nprobe > len(clusters.cluster_ids):
            raise UserError.option(
                "nprobe", config.nprobe, f"there are {len(clusters.cluster_ids)} clusters; ask for fewer"
            )
    lists = lists_for_search(warehouse, projection.projection_id) if config.spread else None
    narrow = _narrow(images, config)
    regions = regions_for_search(warehouse, projection.projection_id, narrow) if config.regions else None
    return Scope(images, gallery, size, clusters, group_by, lists, regions)


def plan(
    scope: Scope, queries: QueryBatch, warehouse: TableStore, projection: Projection, config: SearchConfig
) -> tuple[Search, Check | None, Ids]:
    """The search as it is run: queries expanded, clusters to probe chosen; the check of its recall; and the (n, c) keys
    of images that come first whatever follows: an expanded query keeps the nearest of the query as it was."""
    search = Search(
        queries.vectors, queries.own if config.exclude_self else None, scope.gallery, scope.size, config.top_k,
        NO_SCORE if config.min_score is None else config.min_score, scope.codebook, regions=scope.regions,
    )  # fmt: skip
    first = np.empty((len(search.queries), 0), np.int64)
    if config.expand:
        near = search.probing(config.nprobe).find(top_k=config.expand).persist()
        first = best_of(near, len(search.queries), 1).keys
        moved = expanded(search.queries, near, scope.gallery, config.expand)
        search = search._replace(queries=moved)
    check = Check.of(search, config) if scope.codebook is not None else None
    nprobe = config.nprobe
    if check is not None and config.recall is not None:
        nprobe = check.nprobe_for(warehouse, projection, config.recall)
    return search.probing(nprobe), check, first


def _ranked(search: Search, matches: DataFrame, first: Ids, scope: Scope, config: SearchConfig) -> DataFrame:
    """``matches`` after what comes ``first`` and, with ``--spread``, after what diffusion reaches from them."""
    if scope.lists is not None:
        first = ranking(first, spread_ahead(matches, len(search.queries), search.own, scope.lists))
    if not first.shape[1]:
        return matches
    if config.where is None and config.min_score is None:  # all of it is in the gallery, so no more is needed
        first = first[:, : search.top_k]
    return put_ahead(matches, first, search.queries, scope.gallery, search.top_k, search.min_score).persist()


def _verified(
    warehouse: TableStore, queries: QueryBatch, matches: DataFrame, scope: Scope, report: SearchReport
) -> DataFrame:
    """``matches`` with ``inliers``, verified ones first."""
    checked = warehouse.stage(verified(warehouse, queries, matches, scope.images), "verified")
    inliers = F.col("inliers")
    n_checked, n_verified, n_open = checked.agg(
        F.count(inliers), F.count_if(inliers >= VERIFIED), F.count_if((F.col("rank") <= FIRST) & inliers.isNull())
    ).collect()[0]
    report.details.update(checked_pairs=n_checked, verified=n_verified)
    if n_open:
        report.notes.append(f"{n_open:,} of the first matches were not checked: a picture is not at its place any more")
    return checked


def _say_recall(
    warehouse: TableStore, projection: Projection, search: Search, check: Check | None, matches: DataFrame,
    config: SearchConfig, report: SearchReport,
) -> float | None:  # fmt: skip
    """Measure what probing few clusters lost, and how much it left unread; the measured recall."""
    recall: float | None = None
    if search.nearest is not None and search.codebook is not None:
        vectors = warehouse.read(VECTORS).where(F.col("projection_id") == projection.projection_id)
        read, every = (len(rows.inputFiles()) for rows in (probed_rows(vectors, search.nearest), vectors))
        report.details.update(nprobe=search.nprobe, clusters=len(search.codebook.cluster_ids))
        report.details["files_read"] = f"{read} of {every}"
        if check is not None:
            recall = check.recall(matches)
            report.details.update({"checked_queries": len(check.measured), RECALL_METRIC: f"{recall:.4f}"})
            report.details["check_seconds"] = f"{check.seconds:.1f}"
            if config.recall is not None and recall < config.recall:
                report.notes.append(
                    f"measured {RECALL_METRIC} {recall:.4f} is below --recall {config.recall}; ask for more"
                )
    return recall


def _grouped(
    warehouse: TableStore, search: Search, scope: Scope, queries: QueryBatch, config: SearchConfig, report: SearchReport
) -> DataFrame:
    """The columns of ``group_matches``."""
    grouping = Grouping(str(scope.group_by), config.top_k, config.group_best)
    support, n_cut = search_groups(
        search.find, len(queries.ids), scope.images, grouping, scope.size, warehouse.stage
    )  # fmt: skip
    rows = typed(GROUP_MATCHES, named_groups(support, queries, scope.images, grouping.column)).drop("search_id")
    named = warehouse.stage(rows, "group-matches")
    report.details.update(group_by=grouping.column, groups=named.select("group_value").distinct().count())
    if n_none := n_without_group(scope.images, grouping.column):
        report.notes.append(f"{n_none:,} images have no {grouping.column} and are in no group")
    if n_cut:
        report.notes.append(f"{n_cut:,} queries were ranked by their 10,000 best images only")
    return named


def _write_output(result: DataFrame, config: SearchConfig, report: SearchReport) -> None:
    if config.output is not None:
        order = [c for c in ("query_path", "query_id", "rank", "image_rank") if c in result.columns]
        write_batches(*streamed(result.orderBy(*order)), config.output, guard=config.csv_guard)
        report.details["output"] = config.output


def _gallery(
    warehouse: TableStore, projection: Projection, images: DataFrame, config: SearchConfig
) -> tuple[DataFrame, int]:
    """What is searched, and its size. Raises ``UserError`` where it is empty, outdated or smaller than ``top_k``."""
    gallery = gallery_of(warehouse, projection.projection_id, _narrow(images, config))
    try:
        with silent():
            size = gallery.select("image_id").count()
    except PySparkException as e:
        if config.where is None:
            raise
        why = str(e).strip().splitlines()[0].split(" SQLSTATE")[0]
        raise UserError(f"--where {config.where}: {why[:300]}; compare columns with values of their own type") from e
    where = warehouse.location
    if not size and config.where is not None:
        raise UserError(f"--where {config.where}: matches no image that has a vector; loosen it")
    if not size:
        raise UserError(
            f"the projection in {where} ({projection.projection_id}) is newer than its vectors; "
            f"run `{LAUNCHER} compress --warehouse {where}` first"
        )
    if config.top_k > size and config.group_by is None:
        what = "images for which --where holds" if config.where is not None else "images"
        raise UserError.option("top_k", config.top_k, f"the gallery has {size:,} {what}; ask for {size:,} or fewer")
    return gallery, size


def _narrow(images: DataFrame, config: SearchConfig) -> Callable[[DataFrame], DataFrame] | None:
    """What keeps the rows of the images for which ``--where`` holds; ``None``: all are searched."""
    if config.where is None:
        return None
    ids = images.select("image_id").distinct()
    return lambda vectors: vectors.join(ids, on="image_id", how="left_semi")


def _threshold(warehouse: TableStore, projection: Projection) -> float | None:
    """The calibrated threshold of this projection, if there is one."""
    if not warehouse.exists(CALIBRATIONS):
        return None
    row = warehouse.read(CALIBRATIONS).where(F.col("projection_id") == projection.projection_id).first()
    return None if row is None else float(row["threshold"])


def _write_recall(warehouse: TableStore, top_k: int, recall: float | None) -> None:
    """Put this search's measured recall in the place of the last one's; an exact search has none."""
    is_recall = f"metric = '{RECALL_METRIC}'"
    metrics = [] if recall is None else [(RECALL_METRIC, top_k, recall)]
    if metrics or (warehouse.exists(METRICS) and warehouse.read(METRICS).where(is_recall).first() is not None):
        warehouse.replace(METRICS, frame_of(warehouse.spark, METRICS, metrics), where=is_recall)


def _say_what_is_missing(
    warehouse: TableStore, projection: Projection, scope: Scope, config: SearchConfig, report: SearchReport
) -> None:
    """Count the embedded images that ``compress`` has not seen, and the vectors that ``neighbours`` has not."""
    if config.where is None and scope.regions is not None:
        report.notes.extend(without_regions(warehouse, projection.projection_id, scope.size))
    if config.where is None:
        n_lists = scope.size if scope.lists is None else scope.lists.count()
        if scope.size > n_lists:
            report.notes.append(
                f"{scope.size - n_lists:,} images have no list of neighbours yet and are found by their cosine only; "
                f"run `{LAUNCHER} neighbours`"
            )
        embeddings = warehouse.read(EMBEDDINGS).where(F.col("encoder_id") == projection.encoder_id).count()
        vectors = warehouse.read(VECTORS).where(F.col("projection_id") == projection.projection_id).count()
        if embeddings > vectors:
            report.notes.append(
                f"{embeddings - vectors:,} embedded images have no vector yet; "
                f"run `{LAUNCHER} compress` to make them findable"
            )
