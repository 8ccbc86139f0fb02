"""A warehouse from Python: a method a job, settings as keyword arguments, a summary or a DataFrame back.

    from imgsearch import Warehouse

    pumps = Warehouse("/mnt/lake/pumps", spark)
    pumps.ingest(input="/mnt/inspections"), pumps.embed(), pumps.compress(), pumps.cluster(n_clusters="50")
    matches = pumps.search(queries="/mnt/today", top_k=5)

The settings are those of the job on the command line: ``help(pumps.search)`` lists them with their defaults.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from imgsearch.clusters import cluster
from imgsearch.config import (
    CalibrateConfig,
    ClusterConfig,
    CompressConfig,
    DedupConfig,
    EmbedConfig,
    EvaluateConfig,
    ExportConfig,
    IngestConfig,
    LabelConfig,
    NeighboursConfig,
    SearchConfig,
)
from imgsearch.duplicates import dedup
from imgsearch.encoders import embed
from imgsearch.errors import UserError, did_you_mean
from imgsearch.images import ingest
from imgsearch.labels import calibrate, evaluate, label
from imgsearch.lake.runs import RunSummary
from imgsearch.lake.session import build_session, is_connect
from imgsearch.lake.store import TableStore
from imgsearch.projections import compress
from imgsearch.projections.spaces import current_projection, vectors_of
from imgsearch.report import export
from imgsearch.retrieval import neighbours, search
from imgsearch.retrieval.searches import answers_of
from imgsearch.tables import ALL_TABLES, DUPLICATES, IMAGE_LABELS, LEAKS, MATCHES, METRICS, TableSpec

Run = Callable[[SparkSession, Any], RunSummary]


class Warehouse:
    """The tables at ``location`` (a folder, a URI, or ``catalog.schema``).

    ``spark``: the session to use; without one the active session is used, else one is built for this machine.
    Raises ``UserError`` for a session of Spark Connect.
    """

    def __init__(self, location: str, spark: SparkSession | None = None) -> None:
        self.location = str(location)
        self.spark = spark or SparkSession.getActiveSession() or build_session()
        if is_connect(self.spark):
            raise UserError(
                "Warehouse: the jobs need a SparkContext, which Spark Connect does not have; run them in a classic "
                "session or by spark-submit. imgsearch.search works here, on frames"
            )

    def __repr__(self) -> str:
        return f"Warehouse({self.location!r})"

    def ingest(self, **settings: Any) -> RunSummary:
        """Read a folder, glob or Delta table (``input``) into ``images`` and ``quarantine``."""
        return self._run(IngestConfig, ingest.run, settings)

    def embed(self, **settings: Any) -> RunSummary:
        """Embed each image that the encoder has not seen."""
        return self._run(EmbedConfig, embed.run, settings)

    def compress(self, **settings: Any) -> RunSummary:
        """Fit a projection, or use the one there is, and write ``vectors``."""
        return self._run(CompressConfig, compress.run, settings)

    def neighbours(self, **settings: Any) -> RunSummary:
        """List the nearest images of each image that has no list yet; ``search(spread=True)`` needs them."""
        return self._run(NeighboursConfig, neighbours.run, settings)

    def cluster(self, **settings: Any) -> RunSummary:
        """Fit clusters, or assign what is new to the clusters there are."""
        return self._run(ClusterConfig, cluster.run, settings)

    def label(self, **settings: Any) -> DataFrame:
        """Propagate the names in the table ``labels``, and in a CSV file; returns ``image_labels``."""
        self._run(LabelConfig, label.run, settings)
        return self.table(IMAGE_LABELS.name)

    def search(self, **settings: Any) -> DataFrame:
        """Search for ``queries``; returns its rows of ``matches``, best first within each query."""
        self._run(SearchConfig, search.run, settings)
        return answers_of(self.store(), MATCHES, settings.get("search_id")).orderBy("query_id", "rank")

    def calibrate(self, **settings: Any) -> RunSummary:
        """Learn from the known pairs in ``truth`` the score from which two images match."""
        return self._run(CalibrateConfig, calibrate.run, settings)

    def dedup(self, **settings: Any) -> DataFrame:
        """Find copies and near-copies; returns ``duplicates``, or ``leaks`` with ``against``."""
        self._run(DedupConfig, dedup.run, settings)
        return self.table((LEAKS if settings.get("against") else DUPLICATES).name)

    def evaluate(self, **settings: Any) -> DataFrame:
        """Measure retrieval and clusters against ``truth``; returns ``metrics``."""
        self._run(EvaluateConfig, evaluate.run, settings)
        return self.table(METRICS.name)

    def export(self, **settings: Any) -> RunSummary:
        """Write flat tables, thumbnails and the report to the folder ``output``."""
        return self._run(ExportConfig, export.run, settings)

    def table(self, name: str) -> DataFrame:
        """A table of the warehouse. Raises ``UserError`` for an unknown name and for a table that is not there yet."""
        spec = _spec(name)
        return self.store().read(spec)

    def store(self) -> TableStore:
        """The tables as they stand now, for ``imgsearch.show`` and for the functions of the package."""
        return TableStore.open(self.spark, self.location)

    def vectors(self, encoder: str | None = None) -> DataFrame:
        """``image_id`` and ``vector`` of every searchable image: packed float32 of unit length, however stored.

        ``encoder``: its name or id; the latest one if not given. Raises ``UserError`` before ``compress`` has run.
        """
        store = self.store()
        _, projection = current_projection(store, encoder)
        return vectors_of(store, projection.projection_id).drop("projection_id")

    def _run(self, config_class: type[Any], run: Run, settings: dict[str, Any]) -> RunSummary:
        names = [f.name for f in dataclasses.fields(config_class) if f.name != "warehouse"]
        for name in settings:
            if name not in names:
                raise UserError(f"unknown setting {name!r}{did_you_mean(name, names)}; known: {', '.join(names)}")
        required = [
            f.name for f in dataclasses.fields(config_class) if f.default is dataclasses.MISSING and f.name in names
        ]
        for name in required:
            if name not in settings:
                raise UserError(f"the setting {name!r} is missing: give {name}=…")
        return run(self.spark, config_class(warehouse=self.location, **settings))


def _spec(name: str) -> TableSpec:
    for spec in ALL_TABLES:
        if spec.name == name:
            return spec
    raise UserError.unknown("table", name, (spec.name for spec in ALL_TABLES))


def _document(method: Callable[..., Any], config_class: type[Any]) -> None:
    """Give a method the signature and the list of settings of its job, for ``help`` and completion."""
    fields = [f for f in dataclasses.fields(config_class) if f.name != "warehouse"]
    parameters = [Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)]
    lines = []
    for f in fields:
        default = Parameter.empty if f.default is dataclasses.MISSING else f.default
        parameters.append(Parameter(f.name, Parameter.KEYWORD_ONLY, default=default, annotation=f.type))
        lines.append(f"    {f.name}: {f.metadata['help']}")
    method.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    method.__doc__ = f"{method.__doc__}\n\nSettings:\n" + "\n".join(lines)


for _method, _config in (
    (Warehouse.ingest, IngestConfig), (Warehouse.embed, EmbedConfig), (Warehouse.compress, CompressConfig),
    (Warehouse.cluster, ClusterConfig), (Warehouse.label, LabelConfig), (Warehouse.search, SearchConfig),
    (Warehouse.calibrate, CalibrateConfig), (Warehouse.dedup, DedupConfig), (Warehouse.evaluate, EvaluateConfig),
    (Warehouse.export, ExportConfig), (Warehouse.neighbours, NeighboursConfig),
):  # fmt: skip
    _document(_method, _config)
