"""``--where`` is data, never code: what it may hold, and what is refused by name before Spark has run any of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from imgsearch.errors import UserError
from imgsearch.retrieval.conditions import _check_analysed, images_where, known_column
from imgsearch.retrieval.group_search import n_without_group
from imgsearch.retrieval.pure_expressions import (
    ANALYSED,
    FUNCTIONS,
    PACKAGE,
    PARSED,
    Node,
    analysed_offence,
    parsed_offence,
)

#: A condition → what the one line says of it.
HOSTILE = {
    "site = java_method('java.lang.System', 'getProperty', 'user.name')": "the function 'java_method'",
    "reflect('java.lang.System', 'load', '/tmp/x.so') IS NULL": "the function 'reflect'",
    "try_reflect('java.lang.System', 'setProperty', 'a', 'b') IS NULL": "the function 'try_reflect'",
    "site = (SELECT value FROM text.`/etc/passwd`)": "a subquery",
    "site IN (SELECT value FROM text.`/etc/passwd`)": "a subquery",
    "EXISTS (SELECT * FROM delta.`/tmp/t`)": "a subquery",
    "NOT EXISTS (SELECT /*+ BROADCAST(t) */ 1 FROM range(10) t)": "a subquery",
    "site = (SELECT site)": "a subquery",
    "site = (TABLE secrets)": "a subquery",
    "number > (WITH t AS (SELECT 1) SELECT * FROM t)": "a subquery",
    "lower((SELECT first(value) FROM csv.`/etc/shadow`)) = 'a'": "a subquery",
    "CASE WHEN site = 'A' THEN reflect('a.B', 'c') END IS NULL": "the function 'reflect'",
    "exists(tags, t -> t = java_method('a.B', 'c'))": "the function 'java_method'",
    "coalesce(site, java_method('a.B', 'c')) = 'x'": "the function 'java_method'",
    "rand() < 0.5": "the function 'rand'",
    "random() < 0.5": "the function 'random'",
    "uuid() = site": "the function 'uuid'",
    "monotonically_increasing_id() < 10": "the function 'monotonically_increasing_id'",
    "spark_partition_id() = 0": "the function 'spark_partition_id'",
    "input_file_name() LIKE '%a%'": "the function 'input_file_name'",
    "input_file_block_start() = 0": "the function 'input_file_block_start'",
    "_metadata.file_path LIKE '%a%'": "the images have no column '_metadata.file_path'",
    "current_user() = 'root'": "the function 'current_user'",
    "current_database() = 'default'": "the function 'current_database'",
    "current_catalog() = 'a'": "the function 'current_catalog'",
    "modified_at < current_timestamp()": "the function 'current_timestamp'",
    "version() = '4'": "the function 'version'",
    "my_udf(site) = 'a'": "the function 'my_udf'",
    "spark_catalog.default.f(site)": "the function 'spark_catalog.default.f'",
    "system.builtin.reflect('a.B', 'c') = ''": "the function 'system.builtin.reflect'",
    "lower(site) = 'a' AND `java_method`('a.B', 'c') = ''": "the function 'java_method'",
    "IDENTIFIER('java_method')('a.B', 'c') = ''": "IDENTIFIER()",
    "IDENTIFIER('site') = 'a'": "IDENTIFIER()",
    "raise_error('gone') IS NULL": "the function 'raise_error'",
    "assert_true(false) IS NULL": "the function 'assert_true'",
    "explode(tags) = 'a'": "the function 'explode'",
    "count(*) > 1": "the function 'count'",
    "row_number() OVER (ORDER BY site) = 1": "a window",
    "repeat(site, 1000000000) = 'a'": "the function 'repeat'",
    "size(sequence(1, 1000000000)) > 1": "the function 'sequence'",
    "aes_decrypt(unhex(site), 'k') = 'a'": "the function 'aes_decrypt'",
    "from_json(site, 'a int').a = 1": "the function 'from_json'",
    "to_json(struct(*)) LIKE '%a%'": "the function 'to_json'",
    "struct(*) IS NULL": "'*'",
    ":name = 'a'": "a parameter",
    "? = 'a'": "a parameter",
    "other.site = 'a'": "the images have no column 'other.site'",
    "sit = 'A'": "no column 'sit' (did you mean 'site'?)",
    "site = 'A'; DROP TABLE images": "write an SQL condition",
    "site = 'A' /*+ BROADCAST(images) */": "write an SQL condition",
    "site = 'A' UNION SELECT 1": "write an SQL condition",
    "": "write an SQL condition",
    "site = '" + "a" * 5_000 + "'": "has 5,009 characters",
    "(" * 1_900 + "true" + ")" * 1_900: "--where",
    "site": "type mismatch",
    "abs(site, 1) = 1": "requires 1 parameter",
}
SOUND = """
site = 'A' AND number >= 50
site IN ('A', 'B') OR NOT (number BETWEEN 1 AND 2)
lower(trim(site)) LIKE 'a%' AND site NOT ILIKE ANY ('x', 'y')
modified_at > TIMESTAMP '2020-01-01' - INTERVAL 7 DAYS AND year(modified_at) >= 2019
modified_at >= '2020-01-01' AND to_date(modified_at) < date_add(DATE '2030-01-01', 3)
date(modified_at) + INTERVAL 1 MONTH > DATE '2020-01-01' AND modified_at + INTERVAL '3' HOUR > '2020-01-01'
modified_at - TIMESTAMP '2020-01-01' > INTERVAL 3 DAYS AND date(modified_at) - DATE '2020-01-01' > INTERVAL 3 DAYS
date(modified_at) - INTERVAL 1 YEAR < DATE '2030-01-01' AND date(modified_at) + 3 > DATE '2020-01-01'
exists(tags, t -> t = 'a') OR array_contains(tags, 'b') OR tags[0] = 'c'
meta.a = 1 OR meta.b IS DISTINCT FROM 'x' OR m['k'] = 'v'
CASE WHEN number % 2 = 0 THEN 'even' ELSE 'odd' END <> 'none'
nullif(site, 'A') IS NULL AND nvl2(site, 1, 2) = 1 AND coalesce(number, 0) <=> 4
regexp_extract(path, '([0-9]+)', 1)::int = 3 OR split(path, '/')[1] = 'a' OR split_part(path, '/', -1) = 'b'
try_cast(site AS INT) IS NOT NULL OR site || 'x' = 'Ax' OR site COLLATE UNICODE_CI = 'a'
width * 1.0D / number > 1.5 OR -number < 3 OR width & 1 = 1 OR (number > 3) IS NOT TRUE
""".strip().splitlines()


@pytest.fixture(scope="module")
def images(spark: SparkSession) -> Iterator[DataFrame]:
    spark.udf.register("my_udf", lambda site: site)
    yield spark.createDataFrame(
        [("a/3.jpg", "A", 4, 40, ["a"])], "path string, site string, number int, width int, tags array<string>"
    ).selectExpr(
        "*", "timestamp '2024-01-01' AS modified_at", "named_struct('a', 1, 'b', 'x') AS meta", "map('k', 'v') AS m"
    )
    spark.sql("DROP TEMPORARY FUNCTION my_udf")


def test_a_hostile_condition_is_refused_by_name(images: DataFrame, capfd: pytest.CaptureFixture[str]) -> None:
    wrong = []
    for condition, said in HOSTILE.items():
        try:
            images_where(images, condition)
            wrong.append((condition, "taken"))
        except UserError as e:
            if said not in str(e) or not str(e).startswith("--where"):
                wrong.append((condition, str(e)))
    assert not wrong
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""  # pyspark's own JSON would stand here


def test_a_class_is_not_even_loaded(images: DataFrame, spark: SparkSession) -> None:
    with pytest.raises(UserError, match="the function 'reflect'"):
        images_where(images, "reflect('java.lang.System', 'setProperty', 'imgsearch.test', 'x') IS NULL")
    assert spark._jvm.java.lang.System.getProperty("imgsearch.test") is None


@pytest.mark.parametrize("condition", SOUND)
def test_a_sound_condition_is_taken(images: DataFrame, condition: str) -> None:
    images_where(images, condition).collect()


def test_what_decides_is_what_a_name_means_in_this_session(images: DataFrame) -> None:
    """A function of the session's own may bear a plain one's name."""
    others = {"my_udf(site) = 'a'": "'PythonUDF'", "rand() < 0.5": "'Rand'", "site = (SELECT 'a')": "a subquery"}
    for condition, said in others.items():
        with pytest.raises(UserError, match=f"{said} is not allowed"):
            _check_analysed(images, images.where(condition), condition)
    with pytest.raises(UserError, match="'Project' is not allowed"):
        _check_analysed(images, images.where("site = 'A'").select("site"), "")
    with pytest.raises(UserError, match="the column 'site' of another table"):
        _check_analysed(images.select(F.upper("site").alias("site")), images.where("site = 'A'"), "")


def test_group_by_is_a_column(images: DataFrame) -> None:
    assert known_column(images, "group_by", "SITE") == "site"
    for name in ("sit", "lower(site)", "site`", "images.site", "_metadata.file_path", "meta.a", ""):
        with pytest.raises(UserError, match=r"--group-by .*: the images have no column"):
            known_column(images, "group_by", name)


def test_images_in_no_group_are_counted(spark: SparkSession) -> None:
    rows = [("1", "A"), ("1", None), ("2", None), ("2", None), ("3", None), ("4", "")]
    images = spark.createDataFrame(rows, "image_id string, `my ``column` string").coalesce(1)
    assert n_without_group(images, "my `column") == 2


def test_what_is_on_no_list_is_named() -> None:
    def node(kind: str, *name: str) -> Node:
        return Node(PACKAGE + kind, name)

    assert parsed_offence([node("analysis.UnresolvedFunction", "abs"), node("expressions.Literal")]) is None
    assert parsed_offence([node("analysis.UnresolvedFunction", "a", "abs")]) == "the function 'a.abs'"
    assert parsed_offence([Node("org.other.expressions.Literal")]) == "'org.other.expressions.Literal'"
    assert analysed_offence([node("expressions.AttributeReference", "7", "site")], {"7"}) is None
    assert analysed_offence([node("expressions.AttributeReference", "8", "x")], {"7"}) == (
        "the column 'x' of another table"
    )
    for kind in ("ScalaUDF", "PythonUDF", "CallMethodViaReflection", "Rand", "InputFileName", "ScalarSubquery"):
        assert kind not in ANALYSED | PARSED
    assert not FUNCTIONS & {"reflect", "java_method", "rand", "uuid", "current_user", "input_file_name", "repeat"}
