"""The join, and the stages on vectors, over Spark Connect: a session without ``sparkContext`` and without a JVM."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.spark

#: Runs in a process of its own: one process holds either a classic session or one of Spark Connect.
SCRIPT = """
import json, sys
import numpy as np, pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from imgsearch import Warehouse, search
from imgsearch.errors import UserError
from imgsearch.ml import CosineNeighbors, CosineProjection, ImageEncoder

vectors = np.load(sys.argv[1])
ids = [f"{int(i * 7919 % 65521):04x}" + "0" * 60 for i in range(len(vectors))]
spark = SparkSession.builder.remote("local[2]").getOrCreate()
table = pa.table({"image_id": ids, "vector": [v.tobytes() for v in vectors]})
gallery = spark.createDataFrame(table)
queries = gallery.limit(5)
rows = search(queries, gallery, top_k=4).orderBy("query_id", "rank").collect()
answer = [[ids.index(r["query_id"]), ids.index(r["image_id"]), r["score"]] for r in rows]
own = spark.createDataFrame(pa.table({"id": range(-9, 0), "v": vectors[:9].astype("f8").tolist()}))
twice = [r["image_id"] for r in search(own, own.withColumn("v", F.transform("v", lambda x: 2 * x)), 1,
                                       id_column="id", vector_column="v").orderBy("query_id").collect()]
model = CosineProjection(inputCol="v", outputCol="p", k=3, vectorType="array").fit(own)
projected = np.array(model.transform(own).orderBy("id").toArrow().column("p").to_pylist())
near = CosineNeighbors(idCol="id", inputCol="v", k=1).fit(own).kneighbors(own).orderBy("query_id").collect()
refused = []
for call in (lambda: Warehouse("w", spark), lambda: ImageEncoder(inputCol="id").transform(own.selectExpr("'x' AS id"))):
    try:
        call()
    except UserError as e:
        refused.append(str(e))
print(json.dumps([type(spark).__module__, answer, twice, projected.tolist(), [r["image_id"] for r in near], refused]))
"""


def test_search_over_spark_connect(tmp_path: Path) -> None:
    vectors = np.random.default_rng(3).normal(size=(60, 8)).astype("<f4")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.save(tmp_path / "vectors.npy", vectors)
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "vectors.npy")],
        capture_output=True, text=True, timeout=900, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    module, rows, twice, projected, near, refused = json.loads(done.stdout.splitlines()[-1])
    assert module.startswith("pyspark.sql.connect")
    assert len(rows) == 5 * 4
    assert twice == near == list(range(-9, 0))
    centred = vectors[:9] - vectors[:9].mean(axis=0)
    expected = centred @ np.linalg.svd(centred, full_matrices=False)[2][:3].T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(np.array(projected) @ np.array(projected).T, expected @ expected.T, atol=1e-4)
    assert len(refused) == 2
    assert all("Spark Connect" in line for line in refused)
    scores = vectors @ vectors.T
    for start in range(0, len(rows), 4):
        query = rows[start][0]
        assert [image for _, image, _ in rows[start : start + 4]] == np.argsort(-scores[query])[:4].tolist()
        assert np.allclose(
            [score for *_, score in rows[start : start + 4]], np.sort(scores[query])[::-1][:4], atol=1e-5
        )
