"""The page's requests on a drawn warehouse: what is answered, what is refused, what is written. No JVM."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from conftest import open_page  # type: ignore[import-not-found]
from deltalake import write_deltalake
from PIL import Image
from support.review import Drawn, write

from imgsearch.config import ReviewConfig
from imgsearch.errors import UserError
from imgsearch.lake.delta_folder import DeltaFolder
from imgsearch.review.review import build, listen
from imgsearch.tables import CLUSTERS, DUPLICATES, EMBEDDINGS, ENCODERS, IMAGES, LABEL_NEXT, LABELS, MAP_POINTS, MEMBERS

HOSTILE = '<img src=x onerror="alert(1)">"\'&\u202e'


def decide(client: Any, **values: Any) -> Any:
    return client.post("/api/decide", json=values)


def name(client: Any, cluster: int, label: str, **more: Any) -> Any:
    answer = decide(client, kind="cluster", action="name", cluster_id=cluster, label=label, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def stored(drawn: Drawn) -> list[dict[str, Any]]:
    return DeltaFolder.open(drawn.location).read_or_empty(LABELS).sort_by("made_at").to_pylist()


def test_the_page_and_its_assets_are_local(client: Any) -> None:
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "http" not in page.text
    for asset in ("app.js", "parts.js", "vendor/preact-htm.js"):
        assert client.get(f"/assets/{asset}").headers["content-type"].startswith("text/javascript")
    assert client.get("/assets/style.css").status_code == 200


@pytest.mark.parametrize("path", [
    "/assets/../server.py", "/assets/%2e%2e/server.py", "/assets//etc/passwd", "/assets/vendor/../../review.py",
    "/picture/thumb/..%2f..%2fetc%2fpasswd", "/picture/huge/ID", "/picture/thumb/" + "0" * 64, "/etc/passwd",
])  # fmt: skip
def test_no_other_file_is_served(client: Any, drawn: Drawn, path: str) -> None:
    assert client.get(path.replace("ID", drawn.ids[0])).status_code == 404


def test_a_picture_is_a_new_jpeg_of_an_image_of_the_warehouse(client: Any, drawn: Drawn) -> None:
    answer = client.get(f"/picture/thumb/{drawn.ids[0]}")
    assert answer.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(answer.content)).size == (40, 30)
    drawn.paths[1].write_bytes(drawn.paths[2].read_bytes())  # another picture has come to its place
    assert client.get(f"/picture/thumb/{drawn.ids[1]}").status_code == 404


def test_the_queue_begins_with_the_largest_cluster(client: Any) -> None:
    summary = client.get("/api/summary").json()
    assert summary["first"] == 9
    assert summary["progress"]["n_images"] == 30
    cluster = client.get("/api/cluster/9").json()
    assert (cluster["size"], cluster["status"], cluster["place"], cluster["places"]) == (9, "open", 1, 4)
    assert len(cluster["central"]) + len(cluster["borderline"]) == 9
    assert [n["id"] for n in cluster["neighbours"]].count(9) == 0
    assert {image["site"] for image in cluster["central"]} == {"A", "B"}
    assert cluster["central"][0]["date"].startswith("2024-0")
    assert client.get("/api/cluster/1").status_code == 404
    assert [c["id"] for c in client.get("/api/queue").json()["clusters"]] == [9, 6, 3, 0]


def test_a_name_is_written_at_once_and_the_next_cluster_comes(client: Any, drawn: Drawn) -> None:
    done = name(client, 9, "  pump\n house ", who="bob")
    assert (done["next"], done["cluster"]["id"]) == (6, 6)
    assert done["summary"]["progress"]["images_named"] == 9
    assert done["summary"]["names"] == [{"label": "pump house", "images": 9}]
    row = stored(drawn)[0]
    assert {key: row[key] for key in ("made_by", "kind", "action", "label", "cluster_id", "n_images")} == {
        "made_by": "bob", "kind": "cluster", "action": "name", "label": "pump house", "cluster_id": 9, "n_images": 9,
    }  # fmt: skip
    assert row["medoid_id"] in drawn.ids
    assert row["member_digest"]
    assert row["projection_id"]


def test_undo_and_redo_and_a_restart(client: Any, drawn: Drawn) -> None:
    name(client, 9, "pump")
    name(client, 6, "valve")
    assert client.post("/api/undo", json={}).json()["cluster"] == 6
    assert client.get("/api/cluster/6").json()["status"] == "open"
    assert client.post("/api/redo", json={}).json()["done"]
    assert client.get("/api/cluster/6").json()["label"] == "valve"
    assert not client.post("/api/redo", json={}).json()["done"]
    first = stored(drawn)[0]["label_id"]
    client.post("/api/undo", json={"id": first})
    again = open_page(drawn.location)
    assert again.get("/api/cluster/6").json()["label"] == "valve"
    assert again.get("/api/cluster/9").json()["status"] == "open"
    history = again.get("/api/history").json()["decisions"]
    assert [(d["action"], d["stands"]) for d in history] == [
        ("undo", True), ("undo", True), ("undo", False), ("name", True), ("name", False),
    ]  # fmt: skip


def test_two_pages_see_each_other(client: Any, drawn: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgsearch.review.ledger.POLL_SECONDS", 0.0)
    other = open_page(drawn.location)
    edition = other.get("/api/summary").json()["edition"]
    name(client, 9, "pump")
    name(other, 6, "valve")
    for page in (client, other):
        assert {n["label"] for n in page.get("/api/summary").json()["names"]} == {"pump", "valve"}
    news = other.get("/api/summary", params={"edition": edition}).json()
    same = other.get("/api/summary", params={"edition": news["edition"]}).json()
    assert same == {"edition": news["edition"], "stale": False}


def test_same_as_takes_the_neighbours_name(client: Any) -> None:
    name(client, 9, "pump")
    decide(client, kind="cluster", action="same_as", cluster_id=6, other_cluster_id=9)
    assert client.get("/api/cluster/6").json()["label"] == "pump"
    assert client.get("/api/summary").json()["progress"]["images_named"] == 17


def test_a_part_is_split_off_and_an_image_dropped(client: Any, drawn: Drawn) -> None:
    name(client, 9, "pump")
    ids = [i for i, kind in zip(drawn.ids, drawn.kinds, strict=True) if kind == 3]
    decide(client, kind="part", action="split", cluster_id=9, image_ids=ids[:2], label="rusty pump")
    decide(client, kind="image", action="drop", image_ids=ids[2:3])
    labels = {i: client.get(f"/api/image/{i}").json()["label"] for i in ids[:4]}
    assert list(labels.values()) == ["rusty pump", "rusty pump", None, "pump"]
    assert client.get("/api/cluster/9").json()["inside"] == ["rusty pump"]
    summary = client.get("/api/summary").json()
    assert summary["names"] == [{"label": "pump", "images": 6}, {"label": "rusty pump", "images": 2}]
    assert summary["progress"]["images_named"] == 8  # of 9: one was dropped
    why = client.get(f"/api/image/{ids[3]}").json()["why"]
    assert (why["by"], why["decision"]["label"]) == ("cluster", "pump")
    assert {v["id"] for v in why["voters"]} == set(ids[:2])
    members = client.get("/api/cluster/9/members", params={"sort": "site"}).json()["images"]
    assert [m["site"] for m in members] == sorted(m["site"] for m in members)
    assert {m["id"]: m["own"] for m in members if m["own"]} == {ids[0]: "split", ids[1]: "split", ids[2]: "drop"}


def test_hostile_names_stay_text(client: Any) -> None:
    done = name(client, 9, HOSTILE)
    assert done["summary"]["names"][0]["label"] == HOSTILE.replace("\u202e", "")
    answer = client.get("/api/summary")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/api/refused").json()["rows"][0]["path"] == "/x/<script>alert(1)</script>.jpg"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "cluster", "action": "name", "cluster_id": 9, "label": " \n"}, "the name is empty"),
        ({"kind": "cluster", "action": "name", "cluster_id": 9, "label": "x" * 201}, "201 characters; at most 200"),
        ({"kind": "cluster", "action": "name", "cluster_id": 9, "label": 7}, "a name is text"),
        ({"kind": "cluster", "action": "name", "cluster_id": 1, "label": "x"}, "there is no cluster 1 any more"),
        ({"kind": "cluster", "action": "name", "cluster_id": [9], "label": "x"}, "there is no cluster"),
        ({"kind": "cluster", "action": "undo", "cluster_id": 9}, "there is no action 'undo'"),
        ({"kind": ["cluster"], "action": "name"}, "there is no action"),
        ({"kind": "cluster", "action": "same_as", "cluster_id": 9, "other_cluster_id": 9}, "same as itself"),
        ({"kind": "part", "action": "split", "cluster_id": 9, "image_ids": []}, "no image is selected"),
        ({"kind": "image", "action": "drop", "image_ids": ["0" * 64]}, "not in the warehouse any more"),
        ({"kind": "image", "action": "drop", "image_ids": "all"}, "no image is selected"),
        ({"kind": "cluster", "action": "junk", "cluster_id": 9, "who": "w" * 81}, "81 characters; at most 80"),
        ({"kind": "cluster", "action": "junk", "cluster_id": 9, "who": {}}, "a name is text"),
    ],
)
def test_bad_decisions_are_one_sentence_and_write_nothing(
    client: Any, drawn: Drawn, given: dict[str, Any], said: str
) -> None:
    answer = decide(client, **given)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert stored(drawn) == []


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b"\xff\xfe", b"null", b"9" * 2_000_001])
def test_a_body_that_is_no_request(client: Any, body: bytes) -> None:
    assert client.post("/api/decide", content=body).status_code == 400


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_search_by_upload_finds_the_picture_itself_first(client: Any, drawn: Drawn) -> None:
    found = client.post("/api/search", content=drawn.paths[7].read_bytes()).json()
    assert found["matches"][0]["id"] == drawn.ids[7]
    assert found["matches"][0]["score"] == pytest.approx(1, abs=1e-5)
    kinds = dict(zip(drawn.ids, drawn.kinds, strict=True))
    assert {kinds[m["id"]] for m in found["matches"][:7]} == {1}
    assert {f["column"] for f in found["facets"]} == {"site", "visit_date"}
    assert found["matches"][0]["values"] == {"site": "B", "visit_date": "2024-02-01"}
    similar = client.get(f"/api/image/{drawn.ids[7]}").json()["similar"]["matches"]
    assert drawn.ids[7] not in [m["id"] for m in similar]
    assert [m["score"] for m in similar] == sorted((m["score"] for m in similar), reverse=True)


def test_a_box_searches_for_its_part(client: Any, drawn: Drawn) -> None:
    """Two pictures side by side: each half finds its own."""
    left, right = (np.asarray(Image.open(drawn.paths[i])) for i in (0, 25))
    both = png(np.concatenate([left, right], axis=1))
    for x, i in ((0, 0), (0.5, 25)):
        found = client.post("/api/search", params={"x": x, "y": 0, "w": 0.5, "h": 1}, content=both).json()
        assert found["matches"][0]["id"] == drawn.ids[i]


@pytest.mark.parametrize("box", [
    {"x": "a", "y": 0, "w": 1, "h": 1}, {"x": 0, "y": 0, "w": 0, "h": 1}, {"x": 0.5, "y": 0, "w": 0.6, "h": 1},
    {"x": "nan", "y": 0, "w": 1, "h": 1}, {"w": 1},
])  # fmt: skip
def test_a_box_that_lies_outside(client: Any, drawn: Drawn, box: dict[str, Any]) -> None:
    answer = client.post("/api/search", params=box, content=drawn.paths[0].read_bytes())
    assert (answer.status_code, answer.json()["error"]) == (400, "the box does not lie in the picture")


@pytest.mark.parametrize(("content", "said"), [(b"no picture", "cannot be used"), (b"", "cannot be used")])
def test_an_upload_that_is_no_image(client: Any, content: bytes, said: str) -> None:
    answer = client.post("/api/search", content=content)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_an_upload_of_too_many_bytes_or_pixels(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    answer = client.post("/api/search", content=bomb.getvalue())
    assert (answer.status_code, answer.json()["reason"]) == (400, "too_many_pixels")
    monkeypatch.setattr("imgsearch.review.server.MAX_UPLOAD_BYTES", 1_000_000)
    assert client.post("/api/search", content=b"x" * 1_000_001).json()["error"] == "the picture is larger than 1 MB"


def test_another_site_can_change_nothing(client: Any, drawn: Drawn) -> None:
    asked = {"kind": "cluster", "action": "junk", "cluster_id": 9}
    assert client.post("/api/decide", json=asked, headers={"origin": "http://evil.example"}).status_code == 403
    assert client.get("/api/summary", headers={"host": "evil.example"}).status_code == 421
    assert stored(drawn) == []


def test_a_grown_cluster_is_looked_at_again(client: Any, drawn: Drawn) -> None:
    name(client, 9, "pump")
    row = stored(drawn)[0]
    folder = DeltaFolder.open(drawn.location)
    folder.append(LABELS, [row | {"label_id": "then", "made_at": row["made_at"].replace(year=2030), "n_images": 5,
                                  "member_digest": "of then"}])  # fmt: skip
    page = open_page(drawn.location)
    assert page.get("/api/cluster/9").json()["again"]
    assert page.get("/api/summary").json()["first"] == 9
    assert [c["id"] for c in page.get("/api/queue", params={"status": "again"}).json()["clusters"]] == [9]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"warehouse": "/nowhere"}, "no such folder"),
        ({"warehouse": "main.pumps"}, "a catalog's tables are read by Spark alone"),
        ({"encoder": "resnet50"}, "unknown encoder 'resnet50'"),
        ({"site_column": "sight"}, "'images' has no such column; it has site, visit_date"),
    ],
)
def test_mistakes_are_one_line(drawn: Drawn, settings: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        build(ReviewConfig(**({"warehouse": drawn.location} | settings)))


def test_a_warehouse_without_clusters(drawn: Drawn, tmp_path: Path) -> None:
    for table in Path(drawn.location, "clusters").rglob("*"):
        if table.is_file():
            table.unlink()
    with pytest.raises(UserError, match=r"no table 'clusters'.*run `./spark-submit.sh cluster"):
        build(ReviewConfig(warehouse=drawn.location))


def test_clusters_that_are_being_made(drawn: Drawn) -> None:
    rows = DeltaFolder.open(drawn.location).read(MEMBERS).to_pylist()
    write(Path(drawn.location), MEMBERS, [row | {"codebook_id": "the next fit"} for row in rows])
    with pytest.raises(UserError, match=r"are being made, or a run that made them was stopped; wait"):
        build(ReviewConfig(warehouse=drawn.location))


def test_a_port_in_use() -> None:
    with listen("127.0.0.1", 0) as sock, pytest.raises(UserError, match=r"--port \d+: address already in use; give"):
        listen("127.0.0.1", sock.getsockname()[1])
    with pytest.raises(UserError, match=r"--host no\.such\.host: "):
        listen("no.such.host", 0)


def the_map(client: Any) -> dict[str, Any]:
    while not (answer := client.get("/api/map").json())["ready"]:
        assert "problem" not in answer, answer
    return answer


def test_the_map_is_a_table_and_stays(client: Any, drawn: Drawn) -> None:
    first = the_map(client)
    assert sorted(first["ids"]) == sorted(drawn.ids)
    assert (min(first["x"]), min(first["y"])) == (0, 0)
    folder = DeltaFolder.open(drawn.location)
    assert len(folder.read(MAP_POINTS)) == 30
    again = the_map(open_page(drawn.location))
    assert (again["x"], again["y"]) == (first["x"], first["y"])
    assert len(folder.read(MAP_POINTS)) == 30  # nothing was added


def test_a_new_image_is_placed_on_the_old_map(client: Any, drawn: Drawn) -> None:
    before = the_map(client)
    rows = DeltaFolder.open(drawn.location).read(MAP_POINTS)
    lost = rows["image_id"][0].as_py()
    write_deltalake(f"{drawn.location}/map_points", rows.filter(pc.not_equal(rows["image_id"], lost)), mode="overwrite")
    after = the_map(open_page(drawn.location))
    points = dict(zip(after["ids"], zip(after["x"], after["y"], strict=True), strict=True))
    same = dict(zip(drawn.ids, drawn.kinds, strict=True))
    peers = np.array([points[i] for i in drawn.ids if same[i] == same[lost] and i != lost])
    others = np.array([points[i] for i in drawn.ids if same[i] != same[lost]])
    here = np.array(points[lost])
    assert np.linalg.norm(peers - here, axis=1).min() < np.linalg.norm(others - here, axis=1).min()
    assert len(before["ids"]) == len(after["ids"])
    stored_rows = DeltaFolder.open(drawn.location).read(MAP_POINTS)
    assert not stored_rows.filter(pc.equal(stored_rows["image_id"], lost))["is_anchor"][0].as_py()


def test_the_maps_colours(client: Any, drawn: Drawn) -> None:
    name(client, 9, "pump")
    decide(client, kind="image", action="name", image_ids=drawn.ids[:2], label="rust")
    by_label = client.get("/api/map/colours", params={"by": "label"}).json()
    assert by_label["values"] == [{"value": "pump", "n": 9}, {"value": "rust", "n": 2}]
    assert by_label["codes"].count(2) == 19
    assert len(client.get("/api/map/colours", params={"by": "site"}).json()["values"]) == 2
    assert {v["value"] for v in client.get("/api/map/colours", params={"by": "cluster"}).json()["values"]} == {
        "pump", "#0", "#3", "#6",
    }  # fmt: skip
    assert client.get("/api/map/colours", params={"by": "path"}).status_code == 404


def test_the_names_as_a_file(client: Any, drawn: Drawn) -> None:
    name(client, 9, 'pump, "old"')
    decide(client, kind="cluster", action="same_as", cluster_id=6, other_cluster_id=9)
    decide(client, kind="cluster", action="junk", cluster_id=3)
    decide(client, kind="image", action="name", image_ids=[drawn.ids[0]], label="rust")
    decide(client, kind="image", action="drop", image_ids=[drawn.ids[1]])
    answer = client.get("/labels.csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="labels.csv"'
    assert list(csv.DictReader(io.StringIO(answer.text))) == [
        {"cluster_id": "6", "image_id": "", "label": 'pump, "old"'},
        {"cluster_id": "9", "image_id": "", "label": 'pump, "old"'},
        {"cluster_id": "", "image_id": drawn.ids[0], "label": "rust"},
    ]


def test_new_clusters_are_noticed(client: Any, drawn: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgsearch.review.watch.POLL_SECONDS", 0.0)
    assert not client.get("/api/summary").json()["stale"]
    name(client, 9, "pump")  # a decision is no such news
    assert not client.get("/api/summary").json()["stale"]
    write(Path(drawn.location), CLUSTERS, DeltaFolder.open(drawn.location).read(CLUSTERS).to_pylist())
    assert client.get("/api/summary").json()["stale"]


def test_copies_are_shown_with_the_best_first(client: Any, drawn: Drawn) -> None:
    assert client.get("/api/copies").json() == {"n": 0, "exists": False, "groups": []}
    a, b, c = drawn.ids[:3]
    rows = [
        {"path": str(path), "image_id": i, "representative_id": a, "kind": kind, "score": score, "group_size": 3}
        for path, i, kind, score in zip(
            drawn.paths, (a, b, c), ("representative", "near", "near"), (1.0, 0.97, 0.96), strict=False
        )
    ]
    write(Path(drawn.location), DUPLICATES, rows)
    answer = open_page(drawn.location).get("/api/copies").json()
    assert (answer["n"], [f["id"] for f in answer["groups"][0]["files"]]) == (1, [a, b, c])
    image = open_page(drawn.location).get(f"/api/image/{b}").json()
    assert [copy["image_id"] for copy in image["copies"]] == [a, c]
    encoder_id = DeltaFolder.open(drawn.location).read(ENCODERS)["encoder_id"][0].as_py()
    sharp = [
        {"image_id": i, "encoder_id": encoder_id, "embedding": b"", "sharpness": s} for i, s in ((b, 0.1), (c, 0.9))
    ]
    write(Path(drawn.location), EMBEDDINGS, sharp)
    answer = open_page(drawn.location).get("/api/copies").json()
    assert [f["id"] for f in answer["groups"][0]["files"]] == [c, b, a]  # of one size: the sharpest


def test_what_is_not_the_same_leaves_its_group_and_undo_brings_it_back(drawn: Drawn) -> None:
    a, b, c, d = drawn.ids[:4]
    kinds = [(0, a, a, "representative", 1.0), (1, b, a, "near", 0.97), (2, c, a, "near", 0.96),
             (3, d, d, "representative", 1.0)]  # fmt: skip
    rows = [
        {"path": f"={k}" if k == 2 else str(drawn.paths[k]), "image_id": i, "representative_id": r, "kind": kind,
         "score": s, "group_size": 3} for k, i, r, kind, s in kinds
    ]  # fmt: skip
    write(Path(drawn.location), DUPLICATES, [*rows, rows[3] | {"path": "/copy.png", "kind": "copy"}])
    client = open_page(drawn.location)

    def groups() -> list[list[str]]:
        return [[f["id"] for f in g["files"]] for g in client.get("/api/copies").json()["groups"]]

    assert [sorted(ids) for ids in groups()] == [sorted([a, b, c]), [d, d]]
    table = list(csv.DictReader(io.StringIO(client.get("/copies.csv").text)))
    assert [row["keep"] for row in table] == ["yes", "no", "no", "yes", "no"]
    assert "'=2" in {row["path"] for row in table}
    said = decide(client, kind="copies", action="not_same", image_ids=[b, a, c])
    assert said.status_code == 200
    assert [sorted(ids) for ids in groups()] == [sorted([a, c]), [d, d]]
    assert client.get(f"/api/image/{b}").json()["copies"] == []
    assert [copy["image_id"] for copy in client.get(f"/api/image/{a}").json()["copies"]] == [c]
    assert client.get(f"/api/image/{b}").json()["label"] is None  # nothing was said of what it is
    decide(client, kind="copies", action="not_same", image_ids=[a, c])
    assert groups() == [[d, d]]
    assert {row["path"] for row in csv.DictReader(io.StringIO(client.get("/copies.csv").text))} == {
        str(drawn.paths[3]), "/copy.png",
    }  # fmt: skip
    client.post("/api/undo", json={})
    assert [sorted(ids) for ids in groups()] == [sorted([a, c]), [d, d]]
    again = open_page(drawn.location)
    assert len(again.get("/api/copies").json()["groups"][0]["files"]) == 2
    for bad in ([a], [a, a], [a, "f" * 64], []):
        assert decide(client, kind="copies", action="not_same", image_ids=bad).status_code == 400


def test_names_for_other_tools(client: Any, drawn: Drawn) -> None:
    """A file whose image has a name is tagged with it, every copy too; the others are not there."""
    rows = DeltaFolder.open(drawn.location).read(IMAGES).to_pylist()
    write(Path(drawn.location), IMAGES, [*rows, rows[0] | {"path": "/copy of 0.png"}])
    client = open_page(drawn.location)
    name(client, 9, HOSTILE)
    decide(client, kind="image", action="name", image_ids=[drawn.ids[0]], label="valve")
    decide(client, kind="image", action="drop", image_ids=[drawn.ids[-1]])
    label = client.get("/api/cluster/9").json()["label"]
    expected = {str(p): label for p, kind in zip(drawn.paths, drawn.kinds, strict=True) if kind == 3}
    del expected[str(drawn.paths[-1])]
    expected |= {rows[0]["path"]: "valve", "/copy of 0.png": "valve"}
    coco = client.get("/tags/coco.json").json()
    names = {category["id"]: category["name"] for category in coco["categories"]}
    files = {image["id"]: image["file_name"] for image in coco["images"]}
    assert {files[a["image_id"]]: names[a["category_id"]] for a in coco["annotations"]} == expected
    assert {(image["width"], image["height"]) for image in coco["images"]} == {(40, 30)}
    tasks = client.get("/tags/label-studio.json").json()
    assert {t["data"]["image"]: t["annotations"][0]["result"][0]["value"]["choices"] for t in tasks} == {
        path: [label] for path, label in expected.items()
    }
    assert client.get("/tags/other.json").status_code == 404


def test_what_to_name_next_is_listed_until_it_has_a_name(client: Any, drawn: Drawn) -> None:
    rows = [
        {"rank": 2, "image_id": drawn.ids[1], "projection_id": "p", "label": "pump", "settles": 1.0},
        {"rank": 1, "image_id": drawn.ids[5], "projection_id": "p", "label": None, "settles": 2.0},
        {"rank": 3, "image_id": "f" * 64, "projection_id": "p", "label": None, "settles": 0.5},  # gone since
    ]
    write(Path(drawn.location), LABEL_NEXT, rows)
    assert [(i["id"], i["guess"]) for i in client.get("/api/doubts").json()["next"]] == [
        (drawn.ids[5], None), (drawn.ids[1], "pump"),
    ]  # fmt: skip
    decide(client, kind="image", action="name", image_ids=[drawn.ids[5]], label="valve")
    assert [i["id"] for i in client.get("/api/doubts").json()["next"]] == [drawn.ids[1]]


def test_doubts_are_said_and_settled(client: Any, drawn: Drawn) -> None:
    assert client.get("/api/doubts").json() == {"clusters": [], "images": [], "next": []}
    for cluster, label in ((9, "pump"), (6, "valve"), (3, "motor"), (0, "pipe")):
        name(client, cluster, label)
    wrong = drawn.ids[drawn.kinds.index(3)]
    decide(client, kind="image", action="name", image_ids=[wrong], label="valve")
    images = client.get("/api/doubts").json()["images"]
    assert [(i["id"], i["label"], i["instead"]) for i in images] == [(wrong, "valve", "pump")]
    decide(client, kind="image", action="name", image_ids=[wrong], label="pump")
    assert client.get("/api/doubts").json()["images"] == []
