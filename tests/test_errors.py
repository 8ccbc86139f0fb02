"""The sentences that mistakes are told in."""

from __future__ import annotations

import pytest

from imgsearch.errors import ImageError, UserError, did_you_mean


def test_a_message_is_one_line() -> None:
    assert str(UserError("a\n  b\tc")) == "a b c"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError.option("top_k", 0, "must be at least 1"), "--top-k 0: must be at least 1"),
        (
            UserError.unknown("encoder", "resnet5", ["resnet50", "vgg16"]),
            "unknown encoder 'resnet5' (did you mean 'resnet50'?); known: resnet50, vgg16",
        ),
        (UserError.unknown("encoder", "x", []), "unknown encoder 'x'; known: none"),
        (
            UserError.no_table("vectors", "/w", "compress"),
            "there is no table 'vectors' in /w; run `./spark-submit.sh compress --warehouse /w` first",
        ),
        (
            UserError.lacks_columns("embeddings", ["embedding"], ["image_id"], "embed"),
            "table 'embeddings' lacks ['embedding'] (it has ['image_id']); run `./spark-submit.sh embed` to rebuild it",
        ),
    ],
)
def test_sentences(error: UserError, said: str) -> None:
    assert str(error) == said


def test_an_image_error_has_a_word_and_a_sentence() -> None:
    error = ImageError("truncated", "ends in the middle")
    assert (error.reason, error.detail, str(error)) == (
        "truncated",
        "ends in the middle",
        "truncated: ends in the middle",
    )
    assert not isinstance(error, UserError)


def test_nothing_near_is_nothing_said() -> None:
    assert did_you_mean("zzz", ["gallery"]) == ""
    assert did_you_mean("", []) == ""
