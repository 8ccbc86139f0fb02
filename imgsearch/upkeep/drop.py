"""Drop: what one encoder made leaves the warehouse – its embeddings, refusals, projections, vectors and clusters."""

from __future__ import annotations

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from imgsearch.config import DropConfig
from imgsearch.errors import UserError
from imgsearch.lake.runs import RunSummary, Stopwatch, exclusive, finish
from imgsearch.lake.store import TableStore
from imgsearch.projections.spaces import encoder_record
from imgsearch.tables import ALL_TABLES, EMBEDDINGS, ENCODERS, LABELS, PROJECTIONS, TableSpec

#: ``projections`` are dropped by encoder; what people said in ``labels`` outlives the clusters that they looked at.
KEEPERS = (PROJECTIONS, LABELS)


@exclusive("vectors")
def run(spark: SparkSession, config: DropConfig) -> RunSummary:
    """Drop ``config.encoder``. Raises ``UserError`` where the warehouse has no such encoder, or several of that name.

    What stands in projections goes before them, and ``encoders`` last: a drop that was stopped can be run again.
    """
    watch = Stopwatch()
    warehouse = TableStore.open(spark, config.warehouse)
    encoder_id = the_one(warehouse, config.encoder)
    n_rows = warehouse.read_or_empty(EMBEDDINGS).where(F.col("encoder_id") == encoder_id).count()
    projections = warehouse.read_or_empty(PROJECTIONS).where(F.col("encoder_id") == encoder_id)
    projection_ids = [row["projection_id"] for row in projections.select("projection_id").collect()]
    written = [spec for spec in ALL_TABLES if warehouse.exists(spec)]
    if projection_ids:
        for spec in written:
            if "projection_id" in spec.columns and spec not in KEEPERS:
                _delete(warehouse, spec, "projection_id", projection_ids)
    for spec in sorted((s for s in written if "encoder_id" in s.columns), key=lambda s: s is ENCODERS):
        _delete(warehouse, spec, "encoder_id", [encoder_id])
    note = "Delta keeps the files for time travel; `VACUUM` removes them after its retention period"
    return finish(
        warehouse, "drop", watch, rows_in=n_rows, rows_out=n_rows, details={"encoder_id": encoder_id}, notes=(note,)
    )


def the_one(warehouse: TableStore, name: str) -> str:
    """The ``encoder_id`` that ``name`` names by id, or by a name that only one has. Raises ``UserError``."""
    encoder_id = encoder_record(warehouse, name).encoder_id
    rows = warehouse.read(ENCODERS).where(F.col("name") == name).select("encoder_id").collect()
    same = sorted(row["encoder_id"] for row in rows)
    if name != encoder_id and len(same) > 1:
        raise UserError(f"--encoder {name}: {len(same)} encoders have this name; give one's id: {', '.join(same)}")
    return encoder_id


def _delete(warehouse: TableStore, spec: TableSpec, column: str, values: list[str]) -> None:
    warehouse.delete(spec, F.col(column).isin(*values))
