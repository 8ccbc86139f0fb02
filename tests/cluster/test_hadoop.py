"""HDFS and YARN: everything that is read and written is on ``hdfs://``, executors are containers."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from support.chain import N_KINDS, SHIPPED, Gallery, Place, differences, run_chain, tables
from support.hadoop import Hdfs, Yarn, hadoop_fs

pytestmark = [pytest.mark.cluster, pytest.mark.spark]


@pytest.fixture(scope="module")
def on_yarn(distributed_files: Hdfs, resource_manager: Yarn, gallery: Gallery) -> Place:
    base = f"{distributed_files.uri}/bed"
    hadoop_fs("-put", gallery.folder, base)
    return Place(
        base,
        [*SHIPPED, "--master", "yarn", "--num-executors", "2", "--executor-memory", "700m", "--conf",
         f"spark.yarn.jars=local:{resource_manager.spark}/jars/*"],
        {"HADOOP_CONF_DIR": str(resource_manager.conf)},
    )  # fmt: skip


def test_the_chain_on_hdfs_and_yarn_is_the_local_one(
    on_yarn: Place, gallery: Gallery, reference: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    run_chain(on_yarn, gallery.encoder)
    hadoop_fs("-get", on_yarn.base, tmp_path / "bed")
    assert differences(reference, tables(tmp_path / "bed" / "w", on_yarn.base)) == []
    written = {str(p.relative_to(tmp_path / "bed")) for p in (tmp_path / "bed").rglob("*")}
    assert {"matches.csv", "duplicates.parquet", "metrics.csv", "export/report/index.html"} <= written
    assert len(pd.read_csv(tmp_path / "bed" / "matches.csv")) == 7 * 5
    report = (tmp_path / "bed" / "export" / "report" / "index.html").read_text(encoding="utf-8")
    assert "kind 3" in report


def test_a_pipeline_with_its_driver_on_the_cluster(on_yarn: Place, resource_manager: Yarn) -> None:
    """The driver's Python comes in the archive too, with the packages that only a driver needs, and the encoder."""
    place = Place(on_yarn.base, [*on_yarn.options, "--deploy-mode", "cluster"], on_yarn.env)
    try:
        place.submit("pipeline", "--input", f"{place.base}/pictures", "--warehouse", f"{place.base}/of a container",
                     "--n-clusters", N_KINDS, "--output", f"{place.base}/its export")  # fmt: skip
    except AssertionError as error:
        error.add_note(said_by_containers(resource_manager))
        raise
    said = said_by_containers(resource_manager)
    assert re.search(r"^pipeline: 89 in, 86 out, 3 quarantined", said, re.MULTILINE), said


def said_by_containers(yarn: Yarn) -> str:
    """What jobs printed in their containers: a driver's own lines."""
    lines = (line for path in sorted(yarn.logs.rglob("std*")) for line in path.read_text(errors="replace").splitlines())
    return "\n".join(line for line in lines if re.match(r"\w+: ", line))
