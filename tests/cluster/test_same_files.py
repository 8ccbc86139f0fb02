"""A tree of odd names on a local disk, on HDFS and in an object store: the same ``images``, the same ``quarantine``."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from support.chain import Place, differences, tables
from support.hadoop import Hdfs, hadoop_fs
from support.object_store import ObjectStore
from support.odd_tree import MAX_BYTES, write_portable

pytestmark = [pytest.mark.cluster, pytest.mark.spark]


def ingested(place: Place, fetch: Callable[[Path], object], folder: Path) -> dict[str, pd.DataFrame]:
    """``images`` and ``quarantine`` after an ingest of ``tree``; ``fetch`` copies the warehouse to a local folder."""
    place.submit("ingest", "--input", f"{place.base}/tree", "--warehouse", f"{place.base}/w", "--max-bytes", MAX_BYTES)
    fetch(folder)
    found = tables(folder, place.base)
    return {name: found[name] for name in ("images", "quarantine")}


def test_the_same_tree_gives_the_same_tables_everywhere(
    distributed_files: Hdfs, store: ObjectStore, draw: Callable[..., Path], tmp_path: Path
) -> None:
    tree = tmp_path / "local" / "tree"
    expected = write_portable(tree, draw)
    local = Place(str(tree.parent), ["--master", "local[*]"])
    here = ingested(local, lambda folder: shutil.copytree(tree.parent / "w", folder), tmp_path / "here")
    listed = {*here["images"]["path"], *here["quarantine"]["path"]}
    assert listed == {f"/tree/{name}" for name in expected}

    on_hdfs = Place(f"{distributed_files.uri}/odd", local.options)
    hadoop_fs("-mkdir", on_hdfs.base)
    hadoop_fs("-put", tree, f"{on_hdfs.base}/tree")
    there = ingested(on_hdfs, lambda folder: hadoop_fs("-get", f"{on_hdfs.base}/w", folder), tmp_path / "hdfs")
    assert differences(here, there) == []

    on_s3 = Place(f"{store.uri}/odd", [*local.options, *store.options])
    client = {"settings": store.hadoop, "jars": store.jars}
    shutil.copytree(tree, tmp_path / "one line" / "tree", ignore=lambda _, names: [n for n in names if "\n" in n])
    hadoop_fs("-mkdir", "-p", on_s3.base, **client)
    hadoop_fs("-put", tmp_path / "one line" / "tree", f"{on_s3.base}/tree", **client)
    there = ingested(on_s3, lambda folder: hadoop_fs("-get", f"{on_s3.base}/w", folder, **client), tmp_path / "s3")
    one_line = {name: frame[~frame["path"].str.contains("\n")] for name, frame in here.items()}
    assert differences({name: frame.reset_index(drop=True) for name, frame in one_line.items()}, there) == []
