"""What ``search``, ``dedup`` and ``calibrate`` refuse before Spark starts."""

import pytest

from imgsearch.errors import UserError
from imgsearch.job import settings_of

SEARCH = ["--warehouse", "w", "--queries", "q"]


@pytest.mark.parametrize(
    ("job", "argv", "message"),
    [
        ("search", [*SEARCH, "--top-k", "0"], "--top-k 0: must be between 1 and 10000"),
        ("search", [*SEARCH, "--top-k", "10001"], "--top-k 10001"),
        ("search", [*SEARCH, "--min-score", "1.5"], "--min-score 1.5: must be between -1 and 1"),
        ("search", [*SEARCH, "--nprobe", "0"], "--nprobe 0: must be at least 1"),
        ("search", [*SEARCH, "--recall", "0"], "--recall 0.0: must be above 0"),
        ("search", [*SEARCH, "--recall", "95"], "--recall 95.0: must be above 0 and at most 1, such as 0.95"),
        ("search", [*SEARCH, "--recall", "0.9", "--nprobe", "3"], "give one; --recall picks nprobe itself"),
        ("search", [*SEARCH, "--recall", "0.9", "--check-queries", "0"], "--check-queries 0: --recall picks"),
        ("search", [*SEARCH, "--augment", "flip,blur"], "--augment flip,blur: give flip or rotate"),
        ("search", [*SEARCH, "--group-best", "0"], "--group-best 0: must be between 1 and 100"),
        ("search", [*SEARCH, "--expand", "-1"], "--expand -1: must be between 0 and 100"),
        ("search", [*SEARCH, "--spread", "--group-by", "site"], "--spread and --group-by site: give one"),
        ("search", [*SEARCH, "--regions", "--nprobe", "3"], "--regions and --nprobe: give one; --regions compares"),
        ("search", [*SEARCH, "--regions", "--spread"], "--regions and --spread: give one"),
        ("search", [*SEARCH, "--output", "x.txt"], "must end in .csv or .parquet"),
        ("dedup", ["--warehouse", "w", "--threshold", "0.2"], "--threshold 0.2: must be between 0.5 and 1"),
        ("dedup", ["--warehouse", "w", "--output", "x"], "must end in .csv or .parquet"),
        (
            "calibrate",
            ["--warehouse", "w", "--truth", "t.csv", "--target-precision", "95"],
            "--target-precision 95.0: must be above",
        ),
    ],
)
def test_mistakes_are_told_before_spark_starts(job, argv, message, tmp_path):
    with pytest.raises(UserError) as raised:
        settings_of(job, argv, tmp_path / "none.toml")
    assert message in str(raised.value)


def test_search_takes_all_that_it_offers(tmp_path):
    given = settings_of(
        "search",
        [*SEARCH, "--where", "site = 'A'", "--min-score", "-0.5", "--exclude-self", "--recall", "0.95",
         "--group-by", "equipment_id", "--group-best", "3", "--augment", "flip,rotate", "--expand", "5"],
        tmp_path / "none.toml",
    )  # fmt: skip
    assert (given.where, given.min_score, given.exclude_self, given.recall) == ("site = 'A'", -0.5, True, 0.95)
    assert (given.group_by, given.group_best, given.augment, given.expand) == ("equipment_id", 3, "flip,rotate", 5)
