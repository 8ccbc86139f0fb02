"""Images by what people call them, in frames."""

from __future__ import annotations

import unicodedata

from pyspark.sql import SparkSession

from imgsearch.images.image_names import resolved

NFD = unicodedata.normalize("NFD", "süd/ä.jpg")


def test_names_of_other_machines_forms_and_cases(spark: SparkSession) -> None:
    images = [
        ("1", f"/data/in/{NFD}", "/data/in"), ("2", "/data/in/site=A/IMG_1.JPG", "/data/in"),
        ("3", "/data/in/site=B/IMG_1.JPG", "/data/in"), ("4", "/data/in/a%20b.jpg", "/data/in"),
        ("5", "/data/g/x/g.jpg", "/data/g/*/*.jpg"), ("6", "/data/one.jpg", "/data/one.jpg"),
        ("7", "key 7", "table"), ("8", "/data/in/ spaced .jpg ", "/data/in"),
        ("9", "/data/other/same.jpg", "/data/other"), ("10", "/data/more/SAME.jpg", "/data/more"),
    ]  # fmt: skip
    names = {
        "süd/ä.jpg": "1", "/home/her/pics/süd/ä.jpg": "1", "C:\\pics\\site=A\\img_1.jpg": "2", "site=A/IMG_1.JPG": "2",
        "/x/IMG_1.JPG": None, "a%20b.jpg": "4", "file:///data/in/a%2520b.jpg": "4", "x/g.jpg": "5", "one.jpg": "6",
        "KEY 7": "7", "spaced .jpg": "8", "same.jpg": "9", "Same.jpg": None, "./site=B/IMG_1.JPG": "3", "3": "3",
        "no.jpg": None, "": None,
    }  # fmt: skip
    frame = spark.createDataFrame(images, "image_id string, path string, source string").coalesce(1)
    rows = spark.createDataFrame([(name,) for name in names], "name string").coalesce(1)
    got = {row["name"]: row["image_id"] for row in resolved(rows, frame, "name").collect()}
    assert got == names
