"""The jobs from Python: settings as keyword arguments, mistakes in one line, a frame or a summary back."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import imgsearch
from imgsearch.config import SearchConfig
from imgsearch.errors import UserError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_importing_the_package_imports_no_spark() -> None:
    code = "import sys, imgsearch; imgsearch.__version__; assert 'pyspark' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_signatures_are_the_settings_of_the_job() -> None:
    signature = inspect.signature(imgsearch.Warehouse.search)
    assert signature.parameters["top_k"].default == SearchConfig.top_k
    assert signature.parameters["queries"].default is inspect.Parameter.empty
    assert "warehouse" not in signature.parameters
    assert "neighbours per query" in str(imgsearch.Warehouse.search.__doc__)


def test_the_documented_calls_fit_the_signatures() -> None:
    text = (Path(__file__).resolve().parent.parent / "docs" / "python.md").read_text()
    calls = re.findall(r"^(?:\w+ = )?parts\.(\w+)\((.*)\)", text, re.MULTILINE)
    assert len(calls) == 6
    for method, arguments in calls:
        keywords = dict.fromkeys(re.findall(r"(\w+)=", arguments), "")
        inspect.signature(getattr(imgsearch.Warehouse, method)).bind(None, *([] if keywords else [""]), **keywords)


HOSTILE = '"><script>alert(1)</script>\u202egnp.png'.replace("/", "&sol;")


def check_grid(page: str, best: str) -> None:
    """The query and its three best, each with its picture; no name is markup, and none turns the line round."""
    assert page.count("data:image/jpeg;base64,") == 4
    assert page.index("&lt;script&gt;alert(1)") < page.index(best)
    assert "<script" not in page
    assert "\u202e" not in page


def test_a_warehouse_over_spark_connect_says_what_works() -> None:
    session = type("SparkSession", (), {"__module__": "pyspark.sql.connect.session"})()
    with pytest.raises(UserError, match=r"Spark Connect does not have; .* imgsearch.search works here"):
        imgsearch.Warehouse("w", session)


def test_a_warehouse_from_python(spark: SparkSession, tmp_path: Path, tiny: str, draw) -> None:
    for kind in range(3):
        for visit in range(4):
            draw(tmp_path / "in" / f"{kind}-{visit}.png", kind, visit)
    warehouse = imgsearch.Warehouse(str(tmp_path / "w"), spark)
    assert warehouse.ingest(input=str(tmp_path / "in")).rows_out == 12
    assert warehouse.embed(encoder=tiny).rows_out == 12
    assert warehouse.compress(n_components=6, storage="float16").rows_out == 12
    assert warehouse.cluster(n_clusters="3").rows_out == 12
    draw(tmp_path / "query" / HOSTILE, 1, 9)
    answer = warehouse.search(queries=str(tmp_path / "query"), top_k=4)
    matches = answer.collect()
    assert [row["rank"] for row in matches] == [1, 2, 3, 4]
    assert {Path(row["path"]).name[0] for row in matches} == {"1"}
    check_grid(imgsearch.show(answer, top_k=3)._repr_html_(), Path(matches[0]["path"]).name)
    with pytest.raises(UserError, match=r"show: the matches have no query_path, path \(they have query_id"):
        imgsearch.show(answer.select("query_id", "rank", "image_id", "score"))
    with pytest.raises(UserError, match="show: top_k 0: must be at least 1"):
        imgsearch.show(answer, top_k=0)
    assert warehouse.dedup(threshold=0.99).columns[:2] == ["path", "image_id"]
    assert warehouse.table("clusters").count() == 3
    pairs = imgsearch.search(warehouse.vectors().limit(2), warehouse.vectors(), top_k=4, exclude_self=True)
    assert pairs.count() == 8
    with pytest.raises(UserError, match=r"not of unit length .* Warehouse\(…\).vectors\(\)"):
        imgsearch.search(warehouse.table("vectors"), warehouse.table("vectors"))


def test_mistakes_are_one_line(spark: SparkSession, tmp_path: Path) -> None:
    warehouse = imgsearch.Warehouse(str(tmp_path / "none"), spark)
    with pytest.raises(UserError, match=r"unknown setting 'topk' .did you mean 'top_k'"):
        warehouse.search(queries="q", topk=3)
    with pytest.raises(UserError, match="'queries' is missing"):
        warehouse.search(top_k=3)
    with pytest.raises(UserError, match=r"unknown table 'vector' .did you mean 'vectors'"):
        warehouse.table("vector")  # told before the warehouse is looked at
    with pytest.raises(UserError, match="no such folder"):
        warehouse.table("vectors")
    with pytest.raises(AttributeError, match="no attribute 'Warehous'"):
        imgsearch.Warehous  # noqa: B018
