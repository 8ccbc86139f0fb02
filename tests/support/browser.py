"""A page from disk in a real browser, headless: Debian's Chromium (`apt-get install chromium`)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NEEDS_CHROMIUM = "needs a Chromium: apt-get install chromium"


@contextmanager
def page_from_disk(where: Path) -> Iterator[tuple[Any, list[str], list[str]]]:
    """The page at ``where``, 400 pixels wide, the errors that it has, and the URLs that it asks for."""
    from playwright.sync_api import sync_playwright

    errors, requests = list[str](), list[str]()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 400, "height": 900}, reduced_motion="reduce")
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: requests.append(request.url))
        page.goto(where.as_uri())
        yield page, errors, requests
        browser.close()
