"""Ids as numbers in SQL and in Python, and two images that share one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from support.warehouses import an_id, clustered, make

from imgsearch.config import SearchConfig
from imgsearch.keys import order_keys
from imgsearch.retrieval import search
from imgsearch.retrieval.join import image_key


def test_sql_and_python_agree(spark: SparkSession) -> None:
    ids = [
        "f" * 64,
        "0" * 64,
        "8" + "0" * 63,
        "7" + "f" * 63,
        "0" * 15 + "1" + "0" * 48,
        *(an_id(i) for i in range(50)),
    ]
    frame = spark.createDataFrame(pa.table({"image_id": ids})).coalesce(1)
    rows = frame.select("image_id", image_key("image_id").alias("key")).collect()
    assert {row["image_id"]: row["key"] for row in rows} == dict(
        zip(ids, order_keys(pa.array(ids)).tolist(), strict=True)
    )


def test_a_collision_is_named_and_doubles_no_row(spark: SparkSession, tmp_path: Path) -> None:
    vectors, _, _ = clustered(20, 4)
    first, second = "a" * 16 + "0" * 48, "a" * 16 + "1" * 48
    ids = [first, second, *(an_id(i) for i in range(18))]
    made = make(spark, tmp_path / "w", vectors.astype(np.float32), ids=ids)
    config = SearchConfig(warehouse=made.location, queries=f"{made.location}/vectors", top_k=5)
    with pytest.raises(PySparkException, match=f"images {first} and {second} have one 63-bit key"):
        search.run(spark, config)
