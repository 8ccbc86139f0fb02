"""What `status` says of a warehouse, and which step it names next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.warehouses import ENCODER_ID, clustered, make

from imgsearch.config import StatusConfig
from imgsearch.upkeep.status import next_step, run

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FULL = {"images": 5, "embeddings": 5, "vectors": 5, "clusters": 2, "labels": 2, "image_labels": 5}


@pytest.mark.parametrize(
    ("rows", "is_refit_due", "said"),
    [
        ({}, False, "`./spark-submit.sh ingest --warehouse W --input FOLDER`"),
        (FULL | {"embeddings": 0}, False, "embed --warehouse W`"),
        (
            FULL | {"labels": 0, "image_labels": 0},
            False,
            "nothing was named yet: `./spark-submit.sh review --warehouse W",
        ),
        (FULL | {"image_labels": 0}, False, "the names were not spread yet: `./spark-submit.sh label --warehouse W"),
        (FULL | {"labels": 0}, False, "everything is up to date"),
        (FULL | {"vectors": 4}, False, "some embeddings have no vector: `./spark-submit.sh compress"),
        (FULL, True, "cluster --warehouse W --refit`"),
        (FULL, False, "everything is up to date"),
    ],
)
def test_the_next_step(rows: dict[str, int], is_refit_due: bool, said: str) -> None:
    assert said in next_step(rows, "W", is_refit_due)


def test_status(spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vectors, clusters, centroids = clustered(40, 3)
    made = make(spark, tmp_path / "w", vectors, clusters, centroids)
    run(spark, StatusConfig(warehouse=made.location))
    text = capsys.readouterr().out
    assert [line.split()[1] for line in text.splitlines() if line.startswith("vectors ")] == ["40"]
    assert ENCODER_ID in text
    assert made.projection.projection_id in text
    assert "next: nothing was named yet" in text
