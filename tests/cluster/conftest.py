"""The test bed: one gallery, the local run that every other is held against, and the clusters and stores."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from support.chain import Gallery, Place, draw_gallery, run_chain, tables
from support.hadoop import Hdfs, Yarn, hdfs, yarn
from support.object_store import ObjectStore, object_store
from support.standalone import Standalone, standalone
from support.tiny import write_tiny


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory, draw: Callable[..., Path]) -> Gallery:
    folder = tmp_path_factory.mktemp("bed")
    draw_gallery(folder / "gallery", draw)
    return Gallery(folder / "gallery", write_tiny(folder / "tiny.onnx", seed=0))


@pytest.fixture(scope="session")
def reference(gallery: Gallery, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """The tables of a run by ``local[*]``."""
    folder = tmp_path_factory.mktemp("reference") / "local"
    shutil.copytree(gallery.folder, folder)
    run_chain(Place(str(folder), ["--master", "local[*]"]), gallery.encoder)
    return tables(folder / "w", str(folder))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Standalone]:
    with standalone() as running:
        yield running


@pytest.fixture(scope="session")
def distributed_files() -> Iterator[Hdfs]:
    with hdfs() as running:
        yield running


@pytest.fixture(scope="session")
def resource_manager(distributed_files: Hdfs) -> Iterator[Yarn]:
    with yarn(distributed_files) as running:
        yield running


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_store(tmp_path_factory.mktemp("s3")) as running:
        yield running
