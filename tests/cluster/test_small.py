"""What every ``make test`` runs of the test bed: a pipeline on two workers that have Java, Spark and nothing else."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from support.chain import OTHER_USER, SHIPPED, Place, differences, tables
from support.standalone import Standalone

from imgsearch import pipeline
from imgsearch.config import PipelineConfig

pytestmark = pytest.mark.cluster


def test_a_pipeline_on_a_cluster_is_the_local_one(
    cluster: Standalone, spark: SparkSession, draw: Callable[..., Path], tiny: str, tmp_path: Path
) -> None:
    pictures = cluster.folder / "small" / "pictures"
    for kind in range(3):
        for visit in range(6):
            draw(pictures / f"kind={kind}" / f"{visit}.png", kind, visit)
    (pictures / "empty.png").touch()
    pictures.parent.chmod(0o777)
    base = pictures.parent
    here = tmp_path / "here"
    shutil.copytree(base, here)

    place = Place(str(base), [*SHIPPED, *OTHER_USER, "--master", cluster.url, "--executor-memory", "700m"])
    said = place.submit(
        "pipeline", "--input", pictures, "--warehouse", base / "w", "--encoder", tiny, "--n-clusters", 3
    )
    assert re.search(r"^pipeline: 19 in, 18 out, 1 quarantined", said, re.MULTILINE), said
    assert cluster.url in said, "the application does not say that it runs on the cluster"

    config = PipelineConfig(input=str(here / "pictures"), warehouse=str(here / "w"), encoder=tiny, n_clusters="3")
    pipeline.run(spark, config)
    assert differences(tables(here / "w", str(here)), tables(base / "w", str(base))) == []
    assert len(list(cluster.folder.glob("worker-?/app-*"))) == 2, "both workers took part"
