"""How well clusters, spread labels and the last search agree with the truth: sums made by joins."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from imgsearch.labels.metrics import Contingency, nmi

Metric = tuple[str, int | None, float]


def cluster_metrics(members: DataFrame, truth: DataFrame) -> list[Metric]:
    """Of the labelled ``members`` (``image_id``, ``cluster_id``): ``purity``, the share whose label is the commonest of
    their cluster (it grows with the number of clusters), and ``nmi``."""
    cells = members.join(truth, on="image_id", how="inner").groupBy("cluster_id", "label").agg(F.count("*").alias("n"))
    log = F.sum(F.col("n") * F.log(F.col("n"))).alias("log")
    clusters = cells.groupBy("cluster_id").agg(F.sum("n").alias("n"), F.max("n").alias("most"), log)
    of_clusters = clusters.agg(F.sum("n"), F.sum("most"), F.sum("log"), log, F.count("*")).collect()[0]
    n, commonest, log_cells, log_clusters, n_clusters = of_clusters
    if not n:
        return []
    labels = cells.groupBy("label").agg(F.sum("n").alias("n"))
    log_labels, n_labels = labels.agg(log, F.count("*")).collect()[0]
    table = Contingency(n, log_cells, log_clusters, log_labels, n_clusters, n_labels)
    return [("purity", None, commonest / n), ("nmi", None, nmi(table))]


def label_metrics(spread: DataFrame, truth: DataFrame) -> list[Metric]:
    """How often spread labels are right, where the truth's names are the ones that were given.

    ``spread``: ``image_id``, ``label``, ``origin``.
    """
    assigned = spread.where(F.col("origin") != "person")
    assigned = assigned.select("image_id", F.col("label").alias("assigned")).distinct()
    pairs = assigned.join(truth, on="image_id", how="inner")
    names = pairs.where(F.col("assigned").isNotNull()).select(F.col("assigned").alias("label")).distinct()
    if names.isEmpty() or not names.join(truth, on="label", how="left_anti").isEmpty():
        return []
    right = F.sum((F.col("assigned") == F.col("label")).cast("int"))
    n, n_named, n_right = pairs.agg(F.count("*"), F.count("assigned"), right).collect()[0]
    return [("label_accuracy", None, n_right / n_named), ("label_coverage", None, n_named / n)]


def search_metrics(matches: DataFrame, truth: DataFrame, of_path: DataFrame, cuts: tuple[int, ...]) -> list[Metric]:
    """How good a search was, where the truth has rows for its queries too (by the end of their paths).

    ``of_path``: ``path`` and ``label`` as the truth has them.
    """
    best = matches.where(F.col("rank") <= max(cuts)).select("query_path", "rank", "image_id")
    query_paths = best.select("query_path").where(F.col("query_path").isNotNull()).distinct()
    levels = F.sequence(F.lit(1), F.size(F.split("query_path", "/")))
    tails = query_paths.select("query_path", F.explode(levels).alias("level"))
    tails = tails.withColumn("path", F.expr("array_join(slice(split(query_path, '/'), -level, level), '/')"))
    labelled = tails.join(of_path, on="path", how="inner").groupBy("query_path")
    query_labels = labelled.agg(F.max(F.struct("level", "label")).alias("longest"))
    query_labels = query_labels.select("query_path", F.col("longest.label").alias("query_label"))
    answers = best.join(F.broadcast(query_labels), on="query_path", how="inner").join(truth, on="image_id", how="left")
    right = F.coalesce(F.col("label") == F.col("query_label"), F.lit(False))
    hits = [F.sum((right & (F.col("rank") <= cut)).cast("int")).alias(f"hits_{cut}") for cut in cuts]
    by_query = answers.groupBy("query_path").agg(*hits)
    means = [
        mean
        for cut in cuts
        for mean in (F.avg(F.col(f"hits_{cut}") / cut), F.avg((F.col(f"hits_{cut}") > 0).cast("double")))
    ]
    values = list(by_query.agg(*means).collect()[0])
    names = [(name, cut) for cut in cuts for name in ("search_precision_at_k", "search_hit_rate_at_k")]
    return [(name, cut, float(v)) for (name, cut), v in zip(names, values, strict=True) if v is not None]
