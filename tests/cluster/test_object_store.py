"""An object store by S3's protocol: listing, reading, committing."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from deltalake import DeltaTable
from support.chain import Gallery, Place, differences, run_chain, tables
from support.hadoop import hadoop_fs
from support.object_store import ObjectStore

pytestmark = [pytest.mark.cluster, pytest.mark.spark]


def test_the_chain_on_an_object_store_is_the_local_one(
    store: ObjectStore, gallery: Gallery, reference: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    base = f"{store.uri}/bed"
    hadoop_fs("-put", gallery.folder, base, settings=store.hadoop, jars=store.jars)
    run_chain(Place(base, ["--master", "local[*]", *store.options]), gallery.encoder)
    hadoop_fs("-get", base, tmp_path / "bed", settings=store.hadoop, jars=store.jars)
    assert differences(reference, tables(tmp_path / "bed" / "w", base)) == []
    etags = DeltaTable(tmp_path / "bed" / "w" / "images").to_pandas()["etag"]
    assert etags.notna().all(), "the store has them, and the next ingest compares them"
    assert (tmp_path / "bed" / "export" / "report" / "index.html").is_file()
