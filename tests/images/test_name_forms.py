"""One rule for comparing names: whatever a person's file calls an image, one of its forms is what we call it."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgsearch.images.name_forms import MAX_PARTS, folded, name_forms

OURS = "site=A/Grün 50%/ä+b #1.jpg"
PARTS = st.text(st.characters(codec="utf-8", exclude_characters="/\\\0~%"), min_size=1, max_size=8)


@pytest.mark.parametrize(
    "given_name",
    [
        OURS, f"./{OURS}", f"/home/other/pictures/{OURS}", f"file:///data/{OURS}", f"file:/data/{OURS}",
        OURS.replace("/", "\\"), "C:\\pictures\\" + OURS.replace("/", "\\"), f"/data/{quote(OURS)}",
        f"file:///data/{quote(OURS)}", f"s3a://bucket/key/{quote(OURS)}", unicodedata.normalize("NFD", OURS),
        f"/x/../y/{OURS}", f"pictures//{OURS}", f"~/{OURS}",
    ],
)  # fmt: skip
def test_a_form_is_ours(given_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    forms = name_forms(given_name)
    assert forms[0] == given_name
    assert OURS in forms
    assert folded(OURS) in forms


def test_the_other_direction() -> None:
    """Our paths may be the decomposed ones, or in capitals, or hold what looks encoded."""
    for ours, theirs in (
        (unicodedata.normalize("NFD", OURS), OURS),
        ("a%20b.jpg", "/x/a%20b.jpg"),
        ("back\\slash.jpg", "back\\slash.jpg"),
    ):
        assert ours in name_forms(theirs)
    assert folded("IMG_1.JPG") in name_forms("/x/img_1.jpg")
    assert folded(" x.jpg ") in name_forms("x.jpg")
    assert name_forms("a/b.jpg")[0] == "a/b.jpg"
    assert name_forms("") == []


@given(st.lists(PARTS, min_size=1, max_size=6))
def test_forms_are_few_and_whole(parts: list[str]) -> None:
    forms = name_forms("/".join(parts))
    assert len(forms) == len(set(forms))
    assert len(forms) <= 2 * (1 + 6 * 3 * (MAX_PARTS + 1))
    assert "".join(forms[:1]) == "/".join(parts)
