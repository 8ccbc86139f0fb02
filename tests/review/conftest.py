"""A drawn warehouse and a client of its review page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.review import Drawn, make_warehouse

from imgsearch.config import ReviewConfig
from imgsearch.review.review import build

HOST = "127.0.0.1:8765"


@pytest.fixture
def drawn(tmp_path: Path, draw: Callable[..., Path], tiny: str) -> Drawn:
    """Four kinds of pictures in the clusters 0, 3, 6 and 9 with 6, 7, 8 and 9 images."""
    return make_warehouse(tmp_path, draw, tiny)


@pytest.fixture
def client(drawn: Drawn) -> Any:
    """A browser on the review page, as far as HTTP goes."""
    return open_page(drawn.location)


def open_page(location: str, **settings: Any) -> Any:
    from starlette.testclient import TestClient

    app = build(ReviewConfig(warehouse=location, reviewer="ann", **settings)).app()
    return TestClient(app, base_url=f"http://{HOST}", headers={"origin": f"http://{HOST}"})
