"""Nothing grows on the driver with the number of images: every place that brings rows to it has its bound said here.

``collect``, ``toArrow``, ``toPandas`` and ``toLocalIterator`` bring rows to the driver; ``createDataFrame`` sends them
from it. A new use fails this test until its function stands in ``BOUNDS`` with what bounds its rows.
"""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "imgsearch"
CALLS = {"collect", "toArrow", "toPandas", "toLocalIterator", "createDataFrame", "first", "take", "head", "tail"}
BOUNDED = {"first", "take", "head", "tail"}  # one row, or as many as the call says

#: file:function → what bounds the rows.
BOUNDS: dict[str, str] = {
    "clusters/blocks.py:read_sample": "the sample that places centroids: max(30,000, 64 a cluster) vectors",
    "clusters/cluster.py:_describe_again": "one row",
    "clusters/drift_table.py:level_of": "one row",
    "clusters/layout.py:is_scattered": "one row",
    "clusters/layout.py:_rewrite": "one row a cluster",
    "clusters/metadata.py:top_metadata": "no rows",
    "clusters/metadata.py:_described_columns": "one row",
    "clusters/numbers.py:stable_ids": "one row for each pair of an old and a new cluster that share images",
    "clusters/numbers.py:_old_members": "one row a projection",
    "clusters/numbers.py:_next_id": "one row",
    "clusters/store.py:numbered": "one row a cluster",
    "clusters/store.py:member_rows": "one row a cluster",
    "clusters/store.py:write_clusters": "one row a cluster",
    "clusters/store.py:sizes_of": "one row a cluster",
    "clusters/thresholds.py:cluster_spreads": "4 rows a cluster",
    "clusters/thresholds.py:_histogram": "65,536 rows",
    "clusters/thresholds.py:_deviations": "fewer than MIN_SIZE rows a cluster",
    "projections/spaces.py:encoder_record": "one row an encoder",
    "projections/spaces.py:projections_of": "one row a projection",
    "clusters/drift_table.py:_since_fit": "runs of `cluster` since the last fit",
    "clusters/store.py:read_codebook": "one row a cluster",
    "duplicates/dedup.py:run": "one row a kind of duplicate; no rows",
    "duplicates/dedup.py:some_centroids": "512 vectors",
    "duplicates/dedup.py:other_gallery": "one row an encoder",
    "duplicates/candidates.py:_met": "no rows",
    "duplicates/candidates.py:_asked": "50,000 views at a time",
    "duplicates/edited.py:edited_groups": "no rows",
    "retrieval/verifying.py:_own": "one row a query",
    "duplicates/parting.py:apart": "one row each time that somebody said 'not the same'",
    "duplicates/grouping.py:_finish": "500,000 pairs; more are decided in rounds on the executors",
    "duplicates/near.py:_routing": "one row a cluster",
    "encoders/slices.py:_commit": "one row of counts",
    "images/carried.py:as_in_warehouse": "one row for a message",
    "images/changes.py:gone": "folders that could not be listed, MAX_UNLISTED at most",
    "images/ingest.py:_count": "one row",
    "images/sources.py:_levels": "one row for each key=value and each level of folders",
    "lake/compaction.py:n_small_files": "one row",
    "lake/files.py:_to_frame": "a page of a listing at a time",
    "labels/agreement.py:cluster_metrics": "one row of sums",
    "labels/agreement.py:label_metrics": "one row of sums",
    "labels/agreement.py:search_metrics": "one row of sums",
    "labels/calibrate.py:pair_scores": "12.5 million scores of 5 bytes; of more a sample",
    "labels/calibrate.py:label_scores": "20,000 vectors; one row for a message",
    "labels/evaluate.py:run": "one row a metric; one row of counts",
    "labels/evaluate.py:read_truth": "one row for a message",
    "labels/decided.py:decided_names": "one row an undo",
    "labels/decided.py:_of_clusters": "one row each time that somebody, or a CSV, named a cluster",
    "labels/decided.py:_clusters_of": "one row a decision about a cluster",
    "labels/decided.py:_last_word": "one row an undo",
    "labels/imports.py:_of_clusters": "one row a named cluster",
    "labels/label.py:run": "one row an origin",
    "labels/label.py:_n_names": "one row a named cluster",
    "labels/names.py:read_names": "one row a named cluster",
    "labels/spreading.py:read_ballot": "50,000 named images",
    "labels/spreading.py:_medoids": "one row a cluster",
    "labels/doubts.py:write_next": "some 4,000 images",
    "labels/doubts.py:least_confidence": "1,001 steps of the confidence",
    "images/image_names.py:csv_frame": "200,000 rows of a CSV at a time, staged",
    "labels/retrieval_quality.py:_sums": "one row of sums",
    "labels/retrieval_quality.py:_whole": "30,000 vectors; larger galleries are counted where they are",
    "labels/retrieval_quality.py:_passes": "4,096 queries at a time; one row for the dimension",
    "lake/batches.py:gather": "8 merged parts",
    "lake/batches.py:streamed": "one partition of what is written to --output",
    "lake/rows.py:empty": "no rows",
    "lake/rows.py:frame_of": "rows that the driver made: a few of a small table",
    "lake/staging.py:StagedRows.read": "no rows",
    "lake/store.py:TableStore.folder": "a description of one schema",
    "projections/compress.py:_remove_outdated": "one row a fit",
    "projections/learning.py:_named_vectors": "some 5,000 vectors: 100 of a name, and of many names a sample",
    "projections/pending.py:without_vector": "one row of counts",
    "projections/compress.py:_write_vectors": "one row of counts",
    "projections/compress.py:_loss": "4,000 embeddings",
    "report/match_grid.py:grid_of_frame": "n_queries x top_k rows",
    "report/match_grid.py:_thumbnails": "n_queries x (top_k + 1) thumbnails",
    "report/star_carried.py:_dates_in_text": "one row",
    "report/star_schema.py:write_star": "--map-points rows",
    "report/export.py:_map": "--map-points vectors, at most some 20,000",
    "report/frames.py:report_data": "images that the page shows",
    "report/findings.py:count_copies": "two rows",
    "report/export.py:_write_report": "thumbnails that the page shows, one at a time",
    "report/export.py:_shown_files": "images that the page shows",
    "report/findings.py:as_pandas": "what the page shows: clusters, 200 with members, 1,000 medoids, 40 queries, "
    "500 runs, 60 drifts, 72 odd images, 60 copies, 20,000 pairs of names, 96 values of 200 clusters; counts",
    "retrieval/ahead.py:with_key": "--top-k keys a query, with --where or --min-score 303",
    "retrieval/neighbour_lists.py:Block.of": "50,000 vectors at a time",
    "retrieval/neighbour_lists.py:read_lists": "1,000,000 lists of 120 bytes, or those that 2,000 queries see",
    "retrieval/neighbours.py:_remove_outdated": "one row a projection",
    "retrieval/spreading.py:best_of": "three matches a query",
    "retrieval/expanding.py:expanded": "one vector a query",
    "retrieval/group_search.py:search_groups": "one number a query",
    "retrieval/group_search.py:_renumbered": "two numbers a query",
    "retrieval/frames.py:vector_faults": "six rows a task",
    "retrieval/frames.py:search_gallery": "one id a query",
    "retrieval/frames.py:read_query_rows": "one vector a query",
    "retrieval/frames.py:_id_range": "one row",
    "retrieval/matches.py:_numbered": "one row a query",
    "retrieval/queries.py:_csv_table": "the rows of the user's CSV",
    "retrieval/region_join.py:search_regions": "one row",
    "retrieval/search.py:_verified": "one row of counts",
    "retrieval/queries.py:_embedded_within": "one row of counts",
    "retrieval/queries.py:_project": "one vector a query",
    "retrieval/queries.py:_from_vectors": "one vector a query",
    "retrieval/queries.py:_refuse_other_projection": "three ids",
    "retrieval/queries.py:_from_ids": "one vector a query",
    "retrieval/recall.py:Check.of": "--check-queries x --top-k keys",
    "retrieval/recall.py:Check.nprobe_for": "--check-queries x --top-k keys",
    "retrieval/recall.py:Check.recall": "--check-queries x --top-k keys",
    "retrieval/searches.py:_latest_first": "--keep-searches rows",
    "upkeep/status.py:_encoders": "one row an encoder",
    "upkeep/status.py:_last_runs": "one row a job",
    "upkeep/status.py:_drift": "one row a projection",
    "upkeep/drop.py:run": "one row a table",
    "upkeep/drop.py:the_one": "one row an encoder",
}

#: file:function → what still grows with the images there. Empty it; add nothing.
NOT_YET: dict[str, str] = {}


def uses() -> dict[str, set[str]]:
    """file:function → the calls in it."""
    found: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        _walk(ast.parse(path.read_text()), f"{path.relative_to(PACKAGE)}:", "", found)
    return found


def _walk(node: ast.AST, file: str, function: str, found: dict[str, set[str]]) -> None:
    for child in ast.iter_child_nodes(node):
        inside = function
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inside = f"{function}.{child.name}" if function else child.name
        if isinstance(child, ast.Attribute) and child.attr in CALLS - BOUNDED:
            found.setdefault(file + (function or "module"), set()).add(child.attr)
        _walk(child, file, inside, found)


def test_every_row_that_meets_the_driver_is_bounded() -> None:
    unsaid = {place: sorted(calls) for place, calls in uses().items() if place not in BOUNDS | NOT_YET}
    assert not unsaid, "say in BOUNDS what bounds these rows, or leave them where they are"


def test_no_bound_is_said_of_what_is_gone() -> None:
    assert sorted({**BOUNDS, **NOT_YET}.keys() - uses().keys()) == []
    assert all(bound.strip() for bound in BOUNDS.values())
