from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from luban.errors import ConfigError
from luban.serve.app import build_app
from luban.serve.engine import Engine
from luban.serve.schemas import Limits
from luban.serve.security import is_loopback, read_key
from tests.serve.conftest import MOODS, Parrot, eventually

if TYPE_CHECKING:
    from tests.serve.conftest import Serving

KEY = "a-key-of-some-length-0123"


def routes() -> list[tuple[str, str]]:
    """(method, path) of every route of the app."""
    engine = Engine(1)
    app = build_app((Parrot().served(), MOODS), engine, Limits())
    engine.close()
    found = [(m, r.path) for r in app.routes for m in sorted(r.methods)]  # type: ignore[attr-defined]
    assert len(found) >= 5
    return found


def test_with_a_key_every_route_but_health_is_closed_without_it(serving: Serving) -> None:
    client = serving(host="0.0.0.0", key=KEY)
    for method, path in [*routes(), ("GET", "/nothing/here"), ("POST", "/health/../v1/completions")]:
        path = path.replace("{name:path}", "parrot")
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": KEY},
            {"Authorization": "Bearer"},
        ):
            response = client.request(method, path, headers=headers)
            assert (response.status_code == 200) == (path == "/health"), (method, path, headers)
            if path != "/health":
                assert response.status_code == 401
                assert response.json()["error"]["type"] == "authentication_error"
    good = {"Authorization": f"Bearer {KEY}"}
    assert client.get("/v1/models", headers=good).status_code == 200
    assert client.post("/v1/classify", json={"input": "good"}, headers=good).status_code == 200


def test_a_web_page_cannot_reach_a_loopback_server_through_a_name_of_its_own(serving: Serving) -> None:
    client = serving()
    port = client.base_url.port
    for host, status in (
        (f"127.0.0.1:{port}", 200),
        (f"localhost:{port}", 200),
        (f"[::1]:{port}", 200),
        ("LOCALHOST", 200),
        (f"evil.example:{port}", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
        ("127.0.0.1@evil.example", 403),
    ):
        assert client.get("/health", headers={"Host": host}).status_code == status, host
    assert client.get("/health", headers={"Origin": "https://evil.example"}).status_code == 403
    assert client.get("/health", headers={"Origin": "null"}).status_code == 403
    assert client.get("/health", headers={"Origin": f"http://localhost:{port}"}).status_code == 200


def test_a_public_server_answers_to_any_name(serving: Serving) -> None:
    client = serving(host="0.0.0.0", key=KEY)
    assert client.get("/health", headers={"Host": "models.example"}).status_code == 200


def test_a_large_body_is_refused_before_it_is_read(serving: Serving) -> None:
    client = serving(limits=Limits(max_body_bytes=1000))
    exact = b'{"input": "' + b"x" * (1000 - 13) + b'"}'
    assert len(exact) == 1000
    assert client.post("/v1/classify", content=exact).status_code == 200
    response = client.post("/v1/classify", content=exact + b" ")
    assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")
    with socket.create_connection(("127.0.0.1", client.base_url.port or 0), timeout=5) as raw:
        raw.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000000\r\n\r\n")
        assert b" 413 " in raw.recv(100)  # no byte of the body was sent


def test_a_body_without_a_length_is_counted_as_it_comes(serving: Serving) -> None:
    client = serving(limits=Limits(max_body_bytes=1000))
    assert client.post("/v1/classify", content=iter([b'{"input": ', b'"good"}'])).status_code == 200
    assert client.post("/v1/classify", content=iter([b"x" * 600, b"x" * 600])).status_code == 413


def test_a_client_that_leaves_before_it_has_asked_harms_nobody(serving: Serving) -> None:
    client = serving()
    with socket.create_connection(("127.0.0.1", client.base_url.port or 0), timeout=5) as raw:
        raw.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\nabc")
    assert eventually(lambda: client.get("/health").status_code == 200)
    assert client.post("/v1/classify", json={"input": "good"}).status_code == 200


def test_a_slow_body_is_given_up(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luban.serve.security.BODY_TIMEOUT_SECONDS", 0.1)
    client = serving()
    with socket.create_connection(("127.0.0.1", client.base_url.port or 0), timeout=5) as raw:
        raw.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\nabc")
        assert b" 408 " in raw.recv(100)


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_only_addresses_of_this_machine_are_loopback(host: str, answer: bool) -> None:
    assert is_loopback(host) is answer


def test_another_host_than_this_machine_needs_a_key(tmp_path: Path) -> None:
    assert read_key(None, "127.0.0.1") is None
    with pytest.raises(
        ConfigError, match=r"--host 0\.0\.0\.0 lets other machines in.*\n.*--api-key-file api\.key"
    ):
        read_key(None, "0.0.0.0")
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    assert read_key(path, "0.0.0.0") == KEY


@pytest.mark.parametrize(
    "content", [b"", b"short", b"two keys of some length", "schlüssel-mit-umlaut".encode(), b"\xff" * 20]
)
def test_a_file_without_a_good_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="--api-key-file") as e:
        read_key(path, "127.0.0.1")
    assert "two keys" not in str(e.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_key(tmp_path / "none", "127.0.0.1")


def test_the_key_of_the_official_client_is_understood(serving: Serving) -> None:
    openai = pytest.importorskip("openai")
    url = serving(host="0.0.0.0", key=KEY).base_url
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
        assert [m.id for m in client.models.list()] == ["parrot", "moods"]
    with (
        openai.OpenAI(base_url=f"{url}/v1", api_key="wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()
    assert httpx.get(f"{url}/health").status_code == 200
