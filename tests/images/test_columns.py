"""Names of carried columns: thirty that somebody has used, and none that hits another."""

from __future__ import annotations

from imgsearch.images.columns import MAX_LENGTH, RESERVED, column_name, free_names

HOSTILE = [
    "v1.2", "cam.model", "Site", "site", "SITE", "visit date", "visit_date", "format", "meta_format", "Meta_Format",
    "select", "from", "order", "null", "", " ", "_", "__x", "a`b", 'quo"te', "it's", "semi;colon", "new\nline", "tab\t",
    "emoji 😀", "日本語", "ä", "a\u0308", "x" * 200, "x" * 201, "label", "score", "cluster_id", "map_x", "sharpness",
    "image_id", "PATH", "folder", "1", "-", "a=b", "(x)", "{y}", "[z]", "a,b", "a/b", "a\\b", "%41", "#",
]  # fmt: skip


def test_every_hostile_name_gets_a_free_one() -> None:
    names = free_names(HOSTILE)
    assert list(names) == HOSTILE
    folded = [name.casefold() for name in names.values()]
    assert len(set(folded)) == len(HOSTILE)
    assert not set(folded) & RESERVED
    assert not [name for name in names.values() if set(name) & set(" ,;{}()\n\t=`.\"'\\") or name.startswith("_")]
    assert max(map(len, names.values())) <= MAX_LENGTH + len("meta_")


def test_good_names_stay_and_the_first_one_wins() -> None:
    assert free_names(["site", "plant_2", "Größe"]) == {"site": "site", "plant_2": "plant_2", "Größe": "Größe"}
    assert free_names(["site"], taken=["Site"]) == {"site": "site_2"}
    assert column_name("label") == "meta_label"
