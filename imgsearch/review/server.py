"""The routes: HTTP in, JSON or a picture out. What they answer is made in ``answers``; who may ask is in ``guard``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from imgsearch.errors import ImageError, UserError
from imgsearch.images.boxes import Box
from imgsearch.review import atlas, copies, details, tags
from imgsearch.review.answers import Answers
from imgsearch.review.atlas import Atlas
from imgsearch.review.deciding import DecisionError, decide, reviewer_name
from imgsearch.review.finder import MAX_UPLOAD_BYTES
from imgsearch.review.guard import Guard
from imgsearch.review.pictures import SIZES, Pictures
from imgsearch.review.watch import Watch

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

PAGE = files("imgsearch").joinpath("review", "page")
ASSETS = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
SCRIPT = "text/javascript; charset=utf-8"
TAGS: dict[str, Callable[[Answers], str]] = {"coco": tags.coco, "label-studio": tags.label_studio}
MAX_JSON_BYTES = 2_000_000


class Server:
    """The routes of one warehouse. ``reviewer``: whose decisions these are, unless the page says so."""

    def __init__(self, answers: Answers, pictures: Pictures, atlas: Atlas, watch: Watch, reviewer: str) -> None:
        self.answers, self.pictures, self.atlas, self.watch, self.reviewer = answers, pictures, atlas, watch, reviewer

    def app(self, host: str = "127.0.0.1", token: str | None = None) -> Guard:
        """The ASGI application, guarded."""
        from starlette.applications import Starlette
        from starlette.routing import Route

        gets: dict[str, Callable[..., Any]] = {
            "/": self.asset, "/assets/{name:path}": self.asset, "/api/summary": self.summary, "/api/queue": self.queue,
            "/api/cluster/{id:int}": self.cluster, "/api/cluster/{id:int}/members": self.members,
            "/api/image/{id}": self.image, "/api/refused": self.refused, "/api/history": self.history,
            "/api/doubts": self.doubts, "/api/copies": self.copies,
            "/labels.csv": self.names_csv, "/copies.csv": self.copies_csv, "/tags/{name}.json": self.tags,
            "/api/map": self.map, "/api/map/colours": self.map_colours, "/picture/{size}/{id}": self.picture,
        }  # fmt: skip
        posts: dict[str, Callable[..., Any]] = {
            "/api/decide": self.decide, "/api/undo": self.undo, "/api/redo": self.redo, "/api/search": self.search,
        }  # fmt: skip
        routes = [Route(path, call, methods=["GET"]) for path, call in gets.items()]
        routes += [Route(path, call, methods=["POST"]) for path, call in posts.items()]
        handlers = {DecisionError: _bad, UserError: _bad, ImageError: _bad_image}
        return Guard(Starlette(routes=routes, exception_handlers=handlers), host, token)  # type: ignore[arg-type]

    def asset(self, request: Request) -> Response:
        """The page and its own scripts; nothing else can be named."""
        from starlette.responses import Response

        name = request.path_params.get("name", "index.html")
        if name not in ASSETS and name not in scripts():
            return _missing("there is no such file")
        kind = ASSETS.get(name, SCRIPT)
        return Response(PAGE.joinpath(*name.split("/")).read_bytes(), media_type=None, headers={
            "content-type": kind, "cache-control": "no-cache"})  # fmt: skip

    def summary(self, request: Request) -> Response:
        """The edition and the progress; only the edition where the page has it already."""
        edition = self.answers.ledger.refresh()
        stale = self.watch.is_stale()
        if request.query_params.get("edition") == str(edition):
            return _json({"edition": edition, "stale": stale})
        about = {"first": self.answers.first(), "reviewer": self.reviewer, "stale": stale}
        return _json(self.answers.summary() | about)

    def queue(self, request: Request) -> Response:
        """A page of clusters in the order of work."""
        return _json(self.answers.queue(request.query_params.get("status"), _offset(request)))

    def cluster(self, request: Request) -> Response:
        """One cluster, large."""
        return _json_or_missing(self.answers.cluster(request.path_params["id"]), "there is no such cluster")

    def members(self, request: Request) -> Response:
        """A page of a cluster's images."""
        sort = request.query_params.get("sort", "doubt")
        answer = self.answers.members(request.path_params["id"], sort, _offset(request))
        return _json_or_missing(answer, "there is no such cluster")

    def image(self, request: Request) -> Response:
        """One image with all that is said of it."""
        return _json_or_missing(details.image(self.answers, request.path_params["id"]), "there is no such image")

    def refused(self, request: Request) -> Response:
        """What could not be used."""
        return _json(details.refused(self.answers, request.query_params.get("reason"), _offset(request)))

    def names_csv(self, request: Request) -> Response:
        """The names that stand, for whoever wants a file."""
        return _file(details.names_csv(self.answers), "labels.csv")

    def tags(self, request: Request) -> Response:
        """The names that stand, for other tools."""
        write = TAGS.get(request.path_params["name"])
        if write is None:
            return _missing("there is no such file")
        return _file(write(self.answers), f"{request.path_params['name']}.json", "application/json")

    def copies(self, request: Request) -> Response:
        """Groups of copies and near-copies."""
        self.answers.ledger.refresh()
        return _json(copies.copies(self.answers, _offset(request)))

    def copies_csv(self, request: Request) -> Response:
        """Which file of each group of copies is the best."""
        return _file(copies.copies_csv(self.answers), "copies.csv")

    def doubts(self, request: Request) -> Response:
        """Names that contradict each other."""
        return _json(details.doubts(self.answers))

    def history(self, request: Request) -> Response:
        """Who decided what."""
        self.answers.ledger.refresh()
        return _json(details.history(self.answers, _offset(request)))

    def map(self, request: Request) -> Response:
        """The map's points, or that it is being made."""
        return _json(atlas.points(self.answers, self.atlas))

    def map_colours(self, request: Request) -> Response:
        """A colour for each point of the map."""
        by = request.query_params.get("by", "label")
        return _json_or_missing(atlas.colours(self.answers, by), "there is no such column")

    def picture(self, request: Request) -> Response:
        """A JPEG of an image of the warehouse."""
        from starlette.responses import Response

        size, image_id = request.path_params["size"], request.path_params["id"]
        picture = self.pictures.get(image_id, size) if size in SIZES else None
        if picture is None:
            return _missing("there is no such image, its file is gone, or it holds other bytes now")
        return Response(picture, media_type="image/jpeg", headers={"cache-control": "private, max-age=86400"})

    async def decide(self, request: Request) -> Response:
        """Write a decision; the next cluster comes with the answer."""
        from starlette.concurrency import run_in_threadpool

        return await run_in_threadpool(self._decide, await _body_json(request))

    def _decide(self, given: dict[str, Any]) -> Response:
        decision = decide(self.answers, reviewer_name(given.get("who"), self.reviewer), given)
        following = None if decision.cluster_id is None else self.answers.next_open(decision.cluster_id)
        card = None if following is None or decision.kind != "cluster" else self.answers.cluster(following)
        return _json({"summary": self.answers.summary(), "id": decision.label_id, "next": following, "cluster": card})

    async def undo(self, request: Request) -> Response:
        """Take back a decision: the one that is named, or the reviewer's last."""
        from starlette.concurrency import run_in_threadpool

        return await run_in_threadpool(self._undo, await _body_json(request))

    def _undo(self, given: dict[str, Any]) -> Response:
        who = reviewer_name(given.get("who"), self.reviewer)
        label_id = given.get("id")
        if label_id is not None and not isinstance(label_id, str):
            raise DecisionError(f"there is no decision {label_id!r}")
        undone = self.answers.ledger.undo(who, label_id)
        return _json({"summary": self.answers.summary(), "cluster": undone and undone.cluster_id, "done": bool(undone)})

    async def redo(self, request: Request) -> Response:
        """Take back the reviewer's last undo."""
        from starlette.concurrency import run_in_threadpool

        return await run_in_threadpool(self._redo, await _body_json(request))

    def _redo(self, given: dict[str, Any]) -> Response:
        done = self.answers.ledger.redo(reviewer_name(given.get("who"), self.reviewer))
        return _json({"summary": self.answers.summary(), "cluster": done and done.cluster_id, "done": bool(done)})

    async def search(self, request: Request) -> Response:
        """The images most like the picture in the body, or like the part of it that the query names."""
        from starlette.concurrency import run_in_threadpool

        content = await _body(request, MAX_UPLOAD_BYTES, "the picture")
        return await run_in_threadpool(self._search, content, _box(request))

    def _search(self, content: bytes, box: Box | None) -> Response:
        start = time.perf_counter()
        vector = self.answers.finder.vector_of(content, box)
        embedded = time.perf_counter()
        found = details.matches(self.answers, self.answers.finder.like_vector(vector, details.SIMILAR))
        seconds = {"embed": embedded - start, "search": time.perf_counter() - embedded}
        return _json(found | {"seconds": seconds, "gallery": len(self.answers.collection.image_ids)})


def scripts() -> frozenset[str]:
    """The page's own scripts."""
    return frozenset(
        f"{folder}{entry.name}"
        for folder, place in (("", PAGE), ("vendor/", PAGE.joinpath("vendor")))
        for entry in place.iterdir()
        if entry.name.endswith(".js")
    )


def _json(value: object, status: int = 200) -> Response:
    from starlette.responses import Response

    return Response(
        json.dumps(value, ensure_ascii=False, allow_nan=False), status, {"cache-control": "no-store"},
        media_type="application/json",
    )  # fmt: skip


def _file(text: str, name: str, kind: str = "text/csv") -> Response:
    from starlette.responses import Response

    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return Response(text, media_type=kind, headers=headers)


def _json_or_missing(value: object, text: str) -> Response:
    return _missing(text) if value is None else _json(value)


def _missing(text: str) -> Response:
    return _json({"error": text}, 404)


def _bad(request: Request, error: Exception) -> Response:
    return _json({"error": str(error)}, 400)


def _bad_image(request: Request, error: ImageError) -> Response:
    return _json({"error": f"this picture cannot be used: {error.detail}", "reason": error.reason}, 400)


def _offset(request: Request) -> int:
    text = request.query_params.get("offset", "0")
    if not text.isdecimal() or len(text) > 12:
        raise DecisionError(f"offset {text[:20]!r} is no number")
    return int(text)


def _box(request: Request) -> Box | None:
    given = [request.query_params.get(name) for name in ("x", "y", "w", "h")]
    if not any(given):
        return None
    try:
        box = Box(*(float(value or "") for value in given))
    except ValueError:
        box = Box(-1, -1, -1, -1)
    if not box.lies_inside:
        raise DecisionError("the box does not lie in the picture")
    return box


async def _body(request: Request, limit: int, what: str) -> bytes:
    """The request's body. Raises ``DecisionError`` above ``limit`` bytes, as soon as they are too many."""
    parts, n = [], 0
    async for part in request.stream():
        n += len(part)
        if n > limit:
            raise DecisionError(f"{what} is larger than {limit // 1_000_000} MB")
        parts.append(part)
    return b"".join(parts)


async def _body_json(request: Request) -> dict[str, Any]:
    try:
        value = json.loads(await _body(request, MAX_JSON_BYTES, "the request"))
    except ValueError as e:
        raise DecisionError("the request is no JSON") if not isinstance(e, DecisionError) else e from None
    if not isinstance(value, dict):
        raise DecisionError("the request is no JSON object")
    return value
