"""Who may ask the server what: Host, Origin, token, and the headers that every answer carries. An ASGI middleware."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, NamedTuple
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "imgsearch_token"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class Refusal(NamedTuple):
    """Why a request is not answered: an HTTP status and a sentence."""

    status: int
    text: str


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def allowed_hosts(host: str) -> frozenset[str]:
    """The names under which a server at ``host`` may be asked (without the port)."""
    if is_loopback(host):
        return frozenset(LOOPBACK)
    return frozenset({*LOOPBACK, host, socket.gethostname(), socket.getfqdn()})


def refusal(
    method: str, host: str, origin: str | None, token: str | None, hosts: frozenset[str], expected: str | None
) -> Refusal | None:
    """What is wrong with a request; ``None`` where nothing is.

    ``host``, ``origin``: those headers; ``token``: what the request carries; ``expected``: what it must carry, ``None``
    where none is demanded. A name that is no address and not ours may be another site's that points here (DNS
    rebinding); a change that another page sends carries that page's Origin.
    """
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if name.lower() not in hosts and not (expected is not None and _is_address(name)):
        return Refusal(421, f"the host {name!r} is not served here")
    if method not in ("GET", "HEAD"):
        if origin is None or origin not in (f"http://{host}", f"https://{host}"):
            return Refusal(403, "this change does not come from the review page")
    elif origin is not None and origin not in (f"http://{host}", f"https://{host}"):
        return Refusal(403, "this request does not come from the review page")
    if expected is not None and not hmac.compare_digest((token or "").encode(), expected.encode()):
        what = "the token is missing" if token is None else "the token is wrong"
        return Refusal(401, f"{what}; open the address that the server printed when it started")
    return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


class Guard:
    """``app`` behind ``refusal``. ``?token=…`` once sets a cookie that other pages cannot read or send."""

    def __init__(self, app: App, host: str = "127.0.0.1", token: str | None = None) -> None:
        self.app, self.hosts, self.token = app, allowed_hosts(host), token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        query = parse_qs(scope["query_string"].decode("latin-1"))
        given = query.get("token", [None])[0]
        token = given if given is not None else _cookie(headers.get("cookie", ""))
        problem = refusal(
            scope["method"], headers.get("host", ""), headers.get("origin"), token, self.hosts, self.token
        )

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_encoded(HEADERS)]
            await send(message)

        if problem is not None:
            await _answer(guarded, problem.status, problem.text, {})
        elif self.token is not None and given is not None and scope["method"] == "GET":
            cookie = f"{COOKIE}={self.token}; Path=/; HttpOnly; SameSite=Strict"
            await _answer(guarded, 303, "", {"set-cookie": cookie, "location": "/"})
        else:
            await self.app(scope, receive, guarded)


def _cookie(header: str) -> str | None:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return None
    return None if morsel is None else morsel.value


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(key.encode("latin-1"), value.encode("latin-1")) for key, value in headers.items()]


async def _answer(send: Send, status: int, text: str, headers: dict[str, str]) -> None:
    body = text.encode()
    plain = {"content-type": "text/plain; charset=utf-8", "content-length": str(len(body)), **headers}
    await send({"type": "http.response.start", "status": status, "headers": _encoded(plain)})
    await send({"type": "http.response.body", "body": body})
