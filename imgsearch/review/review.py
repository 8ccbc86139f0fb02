"""Review: a page on this machine's own address for naming clusters, looking at images and searching. No JVM."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import sys
import threading
import time

from imgsearch.config import ReviewConfig
from imgsearch.encoders.extras import require
from imgsearch.errors import UserError
from imgsearch.lake.delta_folder import DeltaFolder
from imgsearch.review.answers import Answers
from imgsearch.review.atlas import Atlas
from imgsearch.review.collection import NO_CLUSTER, Collection, load
from imgsearch.review.finder import Finder
from imgsearch.review.guard import is_loopback
from imgsearch.review.ledger import Ledger
from imgsearch.review.pictures import Pictures
from imgsearch.review.server import Server
from imgsearch.review.standalone import claimed, write_folder
from imgsearch.review.watch import Watch

TOKEN = "IMGSEARCH_REVIEW_TOKEN"  # noqa: S105 - the name of a variable
LEAST_TOKEN = 16
ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 - every address of this machine; a token is demanded


def run(config: ReviewConfig) -> None:
    """Load the warehouse, and serve until Ctrl-C, or write the folder. Raises ``UserError`` before either."""
    require("review", "the review page")
    if config.output is not None:
        server = build(config)
        out = claimed(config.output)
        page, n_clusters, n_pictures = write_folder(server.answers, server.pictures, out)
        print(f"review: {n_clusters:,} clusters, {n_pictures:,} pictures: {page.resolve().as_uri()}", flush=True)
        return
    token = None if is_loopback(config.host) else _token()
    with listen(config.host, config.port) as sock:
        server = build(config)
        threading.Thread(target=warm_up, args=(server.answers.finder,), daemon=True).start()
        port = sock.getsockname()[1]
        host = socket.gethostname() if config.host in ANYWHERE else config.host
        host = f"[{host}]" if ":" in host else host
        print(f"review: http://{host}:{port}/{f'?token={token}' if token else ''}  (Ctrl-C ends it)", flush=True)
        _serve(server, sock, config.host, token)


def build(config: ReviewConfig) -> Server:
    """The server of a warehouse, with its tables in memory. Raises ``UserError``.

    The network and the compiled engine are loaded by the first search, or by ``warm_up``.
    """
    start = time.perf_counter()
    warehouse = DeltaFolder.open(config.warehouse)
    watch = Watch(warehouse)
    collection = load(warehouse, config.encoder, config.site_column, config.date_column)
    _say(f"{len(collection.image_ids):,} images in {len(collection.clusters.ids):,} clusters", start)
    ledger = Ledger(warehouse, clusters_of(collection), collection.projection.projection_id)
    _say(f"{len(ledger.decisions):,} decisions", start)
    finder = Finder(collection, n_threads=max(1, (os.cpu_count() or 2) // 2))
    answers = Answers(warehouse, collection, ledger, finder)
    return Server(
        answers, Pictures(warehouse, collection), Atlas(warehouse, collection), watch, config.reviewer or _login()
    )


def warm_up(finder: Finder) -> None:
    """Load what a search needs, beside the page; where that fails, each search says so again."""
    start = time.perf_counter()
    try:
        finder.warm_up()
        _say("ready to search by a picture", start)
    except UserError as e:
        print(f"review: no search by a picture: {e}", file=sys.stderr, flush=True)


def clusters_of(collection: Collection) -> dict[str, int]:
    """The cluster number of each image that has one."""
    numbers = collection.clusters.ids
    rows = zip(collection.image_ids.to_pylist(), collection.cluster_rows.tolist(), strict=True)
    return {image_id: int(numbers[position]) for image_id, position in rows if position != NO_CLUSTER}


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises ``UserError`` where the port or the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(128)
    except OSError as e:
        sock.close()
        problem = (e.strerror or str(e)).lower()
        if isinstance(e, socket.gaierror):
            raise UserError.option("host", host, f"{problem}; give an address of this machine") from None
        raise UserError.option("port", port, f"{problem}; give another, or 0 for any that is free") from None
    return sock


def _token() -> str:
    """The token of ``IMGSEARCH_REVIEW_TOKEN``, or a new one. Raises ``UserError`` for one that can be guessed."""
    token = os.environ.get(TOKEN)
    if token is not None and (len(token) < LEAST_TOKEN or not token.isascii() or not token.isalnum()):
        raise UserError(f"{TOKEN}: must have at least {LEAST_TOKEN} letters and digits; unset it, and one is made")
    return token or secrets.token_hex(16)


def _serve(server: Server, sock: socket.socket, host: str, token: str | None) -> None:
    import uvicorn

    settings = uvicorn.Config(
        server.app(host, token), log_level="warning", access_log=False, server_header=False, lifespan="off",
        timeout_graceful_shutdown=3, limit_concurrency=200,
    )  # fmt: skip
    try:
        uvicorn.Server(settings).run(sockets=[sock])
    except KeyboardInterrupt:
        print("review: ended; every decision is in the table 'labels'", file=sys.stderr)


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"


def _say(what: str, start: float) -> None:
    print(f"review: {what}, {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
