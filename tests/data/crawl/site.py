"""A web site on this machine, made of functions, that remembers who asked for what and when."""

from __future__ import annotations

import contextlib
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any


@dataclass
class Answer:
    body: bytes | str = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    send: Callable[[Any], None] | None = None
    """Writes raw bytes instead of all the above."""


Pages = dict[str, Any]
"""Path with query → body, Answer, or a function of the request's headers that returns one."""


@dataclass
class Site:
    pages: Pages
    url: str = ""
    log: list[tuple[str, float, dict[str, str]]] = field(default_factory=list)

    def paths(self) -> list[str]:
        return [path for path, _, _ in self.log]

    def times(self, path: str) -> list[float]:
        return [at for p, at, _ in self.log if p == path]

    def answer(self, path: str, headers: dict[str, str]) -> Answer:
        found = self.pages.get(path)
        if found is None:
            found = next(
                (self.pages[p] for p in self.pages if p.endswith("*") and path.startswith(p[:-1])), None
            )
        if found is None:
            return Answer("not here", 404)
        if callable(found):
            found = found(path, headers)
        return found if isinstance(found, Answer) else Answer(found)


def links(*targets: str, text: str = "", head: str = "") -> str:
    inside = "".join(f'<a href="{t}">to {t}</a> ' for t in targets)
    return f"<html><head><title>t</title>{head}</head><body><p>{text or targets}</p>{inside}</body></html>"


@contextlib.contextmanager
def serve(pages: Pages, host: str = "127.0.0.1") -> Iterator[Site]:
    site = Site(pages)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_GET(self) -> None:
            headers = {k.lower(): v for k, v in self.headers.items()}
            site.log.append((self.path, time.monotonic(), headers))
            answer = site.answer(self.path, headers)
            if answer.send:
                self.close_connection = True
                with contextlib.suppress(OSError):
                    answer.send(self.wfile)
                return
            body = answer.body.encode() if isinstance(answer.body, str) else answer.body
            self.send_response(answer.status)
            for name, value in {"Content-Type": "text/html", **answer.headers}.items():
                if value:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True
        request_queue_size = 64

        def handle_error(self, *arguments: Any) -> None:
            pass

    server = Server((host, 0), Handler)
    site.url = f"http://{host}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
