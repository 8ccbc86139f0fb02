"""The page in a real browser: Debian's Chromium, headless (`apt-get install chromium`)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.browser import CHROMIUM, NEEDS_CHROMIUM
from support.review import Drawn, write

from imgsearch.config import ReviewConfig
from imgsearch.lake.delta_folder import DeltaFolder
from imgsearch.review.review import build, listen
from imgsearch.tables import DUPLICATES, LABELS

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NEEDS_CHROMIUM)
HOSTILE = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>'


@pytest.fixture
def address(drawn: Drawn) -> Iterator[str]:
    """The review page of a drawn warehouse, served by uvicorn."""
    import uvicorn

    with listen("127.0.0.1", 0) as sock:
        app = build(ReviewConfig(warehouse=drawn.location, reviewer="ann")).app()
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/"
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def context() -> Iterator[Any]:
    """Tabs of one browser; what a page says to its console as an error fails the test."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        context.set_default_timeout(30_000)
        yield context
        browser.close()


def opened(context: Any, address: str) -> tuple[Any, list[str]]:
    page, errors = context.new_page(), list[str]()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(address)
    at(page, 9)
    return page, errors


def at(page: Any, cluster: int) -> None:
    """Wait until the queue shows a cluster, and the field for its name has the keyboard."""
    page.wait_for_selector(f'section[aria-label="Cluster {cluster}"]')
    page.wait_for_function("() => document.activeElement.tagName === 'INPUT'")


def type_name(page: Any, text: str, then: int) -> None:
    page.keyboard.type(text)
    page.keyboard.press("Enter")
    at(page, then)


def labels(drawn: Drawn) -> list[tuple[Any, ...]]:
    rows = DeltaFolder.open(drawn.location).read(LABELS).sort_by("made_at").to_pylist()
    return [(row["action"], row["cluster_id"], row["label"]) for row in rows]


def test_a_session_by_keyboard(context: Any, address: str, drawn: Drawn) -> None:
    """Name, complete, same as, mixed, junk, undo, redo, reload: each by keys, each a row of the table."""
    page, errors = opened(context, address)
    type_name(page, "pump", 6)
    page.keyboard.type("pu")
    page.wait_for_selector("button.best")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    at(page, 3)
    page.keyboard.press("-")
    at(page, 0)
    page.keyboard.press("Control+z")
    at(page, 3)
    page.keyboard.press("Control+y")
    at(page, 3)
    page.wait_for_selector(".mark.mixed")
    assert labels(drawn) == [
        ("name", 9, "pump"), ("name", 6, "pump"), ("mixed", 3, None), ("undo", 3, None), ("undo", 3, None),
    ]  # fmt: skip
    assert "named 50 % of clusters = 57 % of images" in page.inner_text("header")
    page.keyboard.press("ArrowRight")
    at(page, 0)
    page.keyboard.press("Delete")
    page.wait_for_selector(".grid.all")  # nothing is left to decide: the list of clusters
    page.reload()
    page.wait_for_selector("header")
    assert "named 50 % of clusters = 57 % of images" in page.inner_text("header")
    assert labels(drawn)[-1] == ("junk", 0, None)
    page.goto(f"{address}#/queue/9")
    at(page, 9)
    page.keyboard.press(" ")
    page.wait_for_selector("text=Most like it")
    page.wait_for_function("() => document.activeElement.tagName === 'INPUT'")
    page.keyboard.press("Escape")
    at(page, 9)
    page.keyboard.press("/")
    page.wait_for_selector("text=Where have we seen this before?")
    assert errors == []


def test_a_neighbour_and_a_mouse(context: Any, address: str, drawn: Drawn) -> None:
    page, errors = opened(context, address)
    type_name(page, "pump", 6)
    number = [b.inner_text().split()[1] for b in page.query_selector_all(".neighbour .same")].index("pump") + 1
    page.keyboard.press(str(number))
    at(page, 3)
    assert labels(drawn)[-1] == ("same_as", 6, None)
    page.click("text=junk")
    at(page, 0)
    page.click("nav >> text=History")
    page.click("tr:has-text('called junk') >> text=undo")
    page.wait_for_selector("tr.undone:has-text('called junk')")
    assert labels(drawn)[-1][0] == "undo"
    assert errors == []


def test_split_and_drop(context: Any, address: str, drawn: Drawn) -> None:
    page, errors = opened(context, address)
    page.keyboard.press("+")
    page.wait_for_selector(".grid.all .thumb")
    frames = page.query_selector_all(".grid.all button.frame")
    frames[1].click()
    frames[3].click(modifiers=["Shift"])
    page.wait_for_selector("text=3 images selected")
    page.fill(".selection input", "rusty pump")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('.own').length === 3")
    page.query_selector_all(".grid.all button.frame")[0].click()
    page.click("text=drop out")
    page.wait_for_function("() => document.querySelectorAll('.own').length === 4")
    assert labels(drawn) == [("split", 9, "rusty pump"), ("drop", 9, None)]
    assert errors == []


def test_search_by_a_file_and_a_box(context: Any, address: str, drawn: Drawn) -> None:
    page, errors = opened(context, address)
    page.goto(address + "#/search")
    page.set_input_files("input[type=file]", str(drawn.paths[20]))
    page.wait_for_selector(".matches .thumb")
    first = page.get_attribute(".matches .thumb a", "href")
    assert first == f"#/image/{drawn.ids[20]}"
    assert page.inner_text(".matches .score") == "1.000"
    place = page.query_selector(".boxed").bounding_box()
    page.mouse.move(place["x"] + 2, place["y"] + 2)
    page.mouse.down()
    page.mouse.move(place["x"] + place["width"] * 0.6, place["y"] + place["height"] * 0.7, steps=4)
    with page.expect_response(lambda r: "/api/search?x=" in r.url) as answer:
        page.mouse.up()
    assert answer.value.ok
    page.wait_for_selector("text=Only the box is searched for")
    page.click(".matches .thumb a")
    page.wait_for_selector("text=Most like it")
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.goto(address + "#/search")
    page.set_input_files("input[type=file]", {"name": "x.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"})
    page.wait_for_selector("[role=alert]:has-text('cannot be used')")
    assert [e for e in errors if "400" not in e and "ERR_" not in e] == []


def test_a_lasso_on_the_map(context: Any, address: str, drawn: Drawn) -> None:
    page, errors = opened(context, address)
    page.goto(address + "#/map")
    page.wait_for_selector(".ground canvas")
    page.wait_for_selector(".legend div")
    place = page.query_selector("canvas").bounding_box()
    left, top, width, height = place["x"] + 3, place["y"] + 3, place["width"] - 6, place["height"] - 6
    page.click("button:text-is('lasso')")
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((1, 0), (1, 1), (0, 1), (0, 0.02)):
        page.mouse.move(left + x * width, top + y * height, steps=3)
    page.mouse.up()
    page.wait_for_selector("text=30 images in the lasso")
    page.fill(".selection input", "everything")
    page.keyboard.press("Enter")
    page.wait_for_selector(".legend div:has-text('everything 30')")
    assert labels(drawn) == [("name", None, "everything")]
    page.mouse.move(left + width / 2, top + height / 2)
    page.mouse.wheel(0, -600)
    page.mouse.down()
    page.mouse.move(left + width / 2 + 40, top + height / 2, steps=3)
    page.mouse.up()
    assert "#/map" in page.url  # it was moved, no image was opened
    page.select_option("select", "site")
    page.wait_for_selector(".legend div:has-text('A')")
    assert errors == []


def test_hostile_names_are_text(context: Any, address: str, drawn: Drawn) -> None:
    page, errors = opened(context, address)
    type_name(page, HOSTILE, 6)
    page.keyboard.press("ArrowLeft")
    at(page, 9)
    assert page.inner_text("h1") == HOSTILE
    page.goto(address + "#/refused")
    page.wait_for_selector("text=<script>alert(1)</script>.jpg")
    page.goto(address + "#/history")
    page.wait_for_selector("td:has-text('onerror')")
    assert page.title() == "imgsearch review"
    assert errors == []


def test_two_tabs_see_each_other(context: Any, address: str, drawn: Drawn) -> None:
    first, errors = opened(context, address)
    second, more_errors = opened(context, address)
    type_name(first, "pump", 6)
    second.wait_for_selector("h1:has-text('pump')")  # within a poll, without a reload
    assert "named 25 %" in second.inner_text("header")
    second.keyboard.type("half a na")  # what is being typed stays when news arrive
    type_name(first, "valve", 3)
    second.wait_for_selector("header:has-text('named 50 %')")
    assert second.input_value(".name input") == "half a na"
    assert errors + more_errors == []


def test_the_server_is_gone(context: Any, address: str, drawn: Drawn) -> None:
    page, _ = opened(context, address)
    page.route("**/api/**", lambda route: route.abort())
    page.keyboard.type("pump")
    page.keyboard.press("Enter")
    page.wait_for_selector(".toast.error:has-text('The server does not answer')")
    assert page.input_value(".name input") == "pump"  # what was typed is still there
    page.unroute("**/api/**")
    page.keyboard.press("Enter")
    at(page, 6)
    assert labels(drawn) == [("name", 9, "pump")]
    assert Path(drawn.location, "labels").is_dir()


def test_not_the_same(context: Any, address: str, drawn: Drawn) -> None:
    """A picture leaves its group of copies by a click, and comes back by undo."""
    kinds = ["representative", "near", "near"]
    rows = [
        {
            "path": str(path),
            "image_id": i,
            "representative_id": drawn.ids[0],
            "kind": kind,
            "score": 0.97,
            "group_size": 3,
        }
        for path, i, kind in zip(drawn.paths, drawn.ids, kinds, strict=False)
    ]
    write(Path(drawn.location), DUPLICATES, rows)
    page, errors = opened(context, address)
    page.goto(f"{address}#/copies")
    page.wait_for_selector(".copies .thumb >> nth=2")
    second = page.locator(".copies .thumb a").nth(1).get_attribute("href")
    page.locator(".copies button").nth(1).click()
    page.wait_for_function("() => document.querySelectorAll('.copies .thumb').length === 2")
    assert page.locator(f'.copies a[href="{second}"]').count() == 0
    page.keyboard.press("Control+z")
    page.goto(f"{address}#/copies")
    page.wait_for_selector(".copies .thumb >> nth=2")
    page.goto(f"{address}#/history")
    page.wait_for_selector("text=said not to be the same as 2 other images")
    assert [action for action, _, _ in labels(drawn)] == ["not_same", "undo"]
    assert not errors
