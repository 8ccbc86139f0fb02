"""Who may ask: names of the host, pages of other origins, tokens."""

from __future__ import annotations

import pytest

from imgsearch.review.guard import Guard, allowed_hosts, is_loopback, refusal

HERE = allowed_hosts("127.0.0.1")
OURS = "http://127.0.0.1:8765"


@pytest.mark.parametrize(
    ("method", "host", "origin", "status"),
    [
        ("GET", "127.0.0.1:8765", None, None),
        ("GET", "localhost:8765", None, None),
        ("GET", "[::1]:8765", None, None),
        ("GET", "evil.example:8765", None, 421),  # its name was pointed here
        ("GET", "", None, 421),
        ("GET", "127.0.0.1.evil.example", None, 421),
        ("GET", "127.0.0.1:8765", "http://evil.example", 403),
        ("POST", "127.0.0.1:8765", OURS, None),
        ("POST", "127.0.0.1:8765", None, 403),
        ("POST", "127.0.0.1:8765", "null", 403),
        ("POST", "127.0.0.1:8765", "http://127.0.0.1:9999", 403),  # another server of this machine
        ("DELETE", "127.0.0.1:8765", "http://evil.example", 403),
    ],
)
def test_hosts_and_origins(method: str, host: str, origin: str | None, status: int | None) -> None:
    problem = refusal(method, host, origin, None, HERE, None)
    assert (problem and problem.status) == status


@pytest.mark.parametrize(("token", "status"), [("right", None), ("wrong", 401), (None, 401), ("", 401), ("ü", 401)])
def test_tokens(token: str | None, status: int | None) -> None:
    problem = refusal("GET", "10.0.0.7:80", None, token, allowed_hosts("0.0.0.0"), "right")
    assert (problem and problem.status) == status


def test_an_address_is_no_host_without_a_token() -> None:
    problem = refusal("GET", "10.0.0.7:8765", None, None, HERE, None)
    assert problem is not None
    assert problem.status == 421


@pytest.mark.parametrize(("host", "expected"), [
    ("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),
    ("10.0.0.1", False), ("host.example", False),
])  # fmt: skip
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) == expected


def test_a_token_in_the_address_becomes_a_cookie() -> None:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route
    from starlette.testclient import TestClient

    app = Starlette(routes=[Route("/{rest:path}", lambda request: PlainTextResponse("hello"))])
    client = TestClient(Guard(app, "0.0.0.0", "s" * 20), base_url="http://10.0.0.7:80", follow_redirects=False)
    assert client.get("/").status_code == 401
    assert "the token is missing" in client.get("/").text
    assert "the token is wrong" in client.get("/", params={"token": "t"}).text
    moved = client.get("//evil.example/", params={"token": "s" * 20})
    assert (moved.status_code, moved.headers["location"]) == (303, "/")
    assert "HttpOnly" in moved.headers["set-cookie"]
    assert "SameSite=Strict" in moved.headers["set-cookie"]
    answer = client.get("/")
    assert answer.text == "hello"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
