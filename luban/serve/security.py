"""Who may ask, under which name, and how much: checks before any body is read (pure ASGI)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from luban.errors import ConfigError
from luban.serve.schemas import Refusal

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

OPEN_PATHS = ("/health",)
"""What is answered without the key."""
BODY_TIMEOUT_SECONDS = 30
MIN_KEY_CHARS = 16


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_key(path: Path | None, host: str) -> str | None:
    """Return the key in the file; without one, only a loopback address may be served."""
    if path is None:
        if not is_loopback(host):
            raise ConfigError(
                f"--host {host} lets other machines in, and there is no key",
                fix="make one: (umask 077; openssl rand -hex 32 > api.key), then add --api-key-file api.key",
            )
        return None
    try:
        key = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"--api-key-file {path} cannot be read: {e}", fix="name a text file") from None
    if len(key) < MIN_KEY_CHARS or len(key.split()) != 1 or not key.isascii():
        raise ConfigError(
            f"--api-key-file {path} holds no key of at least {MIN_KEY_CHARS} letters and digits on one line",
            fix=f"make one: (umask 077; openssl rand -hex 32 > {path})",
        )
    return key


class Guard:
    """Check host, key and size of every request before the app sees it.

    On loopback the Host and Origin headers must name this machine, so that a web page elsewhere
    cannot reach the server through a name that it makes point here. With a key, every path but
    /health is refused without it, whether or not such a path exists.
    """

    def __init__(self, app: App, *, host: str, key: str | None, max_body_bytes: int):
        self.app, self.max_body_bytes = app, max_body_bytes
        self.hosts = (
            {"localhost", "127.0.0.1", "::1", host.strip("[]").lower()} if is_loopback(host) else None
        )
        self.key_hash = hashlib.sha256(key.encode()).digest() if key else None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Refuse, or hand on with the body read."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return  # no websocket is served: the server closes it
        try:
            headers = dict(scope["headers"])
            self._check_host(headers)
            self._check_key(scope["path"], headers)
            body = await asyncio.wait_for(self._read(headers, receive), BODY_TIMEOUT_SECONDS)
        except Refusal as e:
            await refuse(e, send)
        except (asyncio.TimeoutError, TimeoutError):
            await refuse(Refusal(408, "the body did not arrive in time", None, "timeout"), send)
        except ConnectionAbortedError:
            return  # the client left before it had asked
        else:
            await self.app(scope, _replay(body, receive), send)

    def _check_host(self, headers: dict[bytes, bytes]) -> None:
        if self.hosts is None:
            return
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin", b"").decode("latin-1")
        for name, address in (("Host", f"//{host}"), *([("Origin", origin)] if origin else [])):
            if _hostname(address) not in self.hosts:
                message = f"the {name} header names {address.removeprefix('//')[:80]!r}, not this machine"
                raise Refusal(403, message, None, "wrong_host")

    def _check_key(self, path: str, headers: dict[bytes, bytes]) -> None:
        if self.key_hash is None or path in OPEN_PATHS:
            return
        scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
        given = hashlib.sha256(key.strip()).digest()
        if scheme.lower() != b"bearer" or not hmac.compare_digest(given, self.key_hash):
            message = "a key is needed: send the header Authorization: Bearer KEY"
            raise Refusal(401, message, None, "invalid_api_key", {"www-authenticate": "Bearer"})

    async def _read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self.max_body_bytes:
            raise self._too_large()
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionAbortedError
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self.max_body_bytes:
                raise self._too_large()
            if not message.get("more_body"):
                return b"".join(parts)

    def _too_large(self) -> Refusal:
        message = f"the body is larger than {self.max_body_bytes} bytes"
        return Refusal(413, message, None, "body_too_large", {"connection": "close"})


async def refuse(refusal: Refusal, send: Send) -> None:
    """Send a refusal as JSON."""
    body = json.dumps(refusal.body(), ensure_ascii=False).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **refusal.headers}
    pairs = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def _hostname(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message
