"""A standalone cluster of real processes whose workers have Java, Spark and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from support.chain import OTHER_USER, SHIPPED, Gallery, Place, differences, run_chain, tables
from support.standalone import Standalone

pytestmark = [pytest.mark.cluster, pytest.mark.spark]


def applications(worker: Path) -> set[str]:
    """The applications that unpacked an archive with a Python in this worker's folder."""
    return {path.relative_to(worker).parts[0] for path in worker.glob("app-*/*/env/bin/python")}


def test_the_chain_on_two_workers_is_the_local_one(
    cluster: Standalone, gallery: Gallery, reference: dict[str, pd.DataFrame]
) -> None:
    base = cluster.folder / "chain"
    shutil.copytree(gallery.folder, base)
    base.chmod(0o777)
    workers = sorted(cluster.folder.glob("worker-?"))
    before = [applications(worker) for worker in workers]
    place = Place(str(base), [*SHIPPED, *OTHER_USER, "--master", cluster.url, "--executor-memory", "1g"])
    run_chain(place, gallery.encoder)
    assert differences(reference, tables(base / "w", str(base))) == []
    assert (base / "export" / "report" / "index.html").is_file()
    taken = [applications(worker) - earlier for worker, earlier in zip(workers, before, strict=True)]
    assert [len(applications) for applications in taken] == [2, 2], "both applications ran on both workers"
