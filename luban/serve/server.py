"""Bind the port, load the models, answer until told to stop."""

from __future__ import annotations

import errno
import json
import shlex
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luban.errors import BusyError, ConfigError, MissingExtra
from luban.log import Log
from luban.serve.schemas import Limits
from luban.serve.security import Guard, read_key
from luban.serve.served import Answerer, Served, check_names, open_adapters, open_all, path_of, read_adapters

if TYPE_CHECKING:
    import uvicorn

DRAIN_SECONDS = 5
"""How long running answers may still take after SIGTERM or Ctrl-C."""
IDLE_SECONDS = 15
MAX_CONNECTIONS = 256


def serve(
    folders: Sequence[Path],
    log: Log,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    names: Sequence[str] = (),
    key_file: Path | None = None,
    adapters: Sequence[str] = (),
) -> None:
    """Serve model folders until SIGTERM or Ctrl-C; `port` 0 takes a free one.

    `adapters`, each NAME=FOLDER, are served over the weights of the one folder.

    What can be refused cheaply (names, key, port) is refused before any model is loaded.
    """
    named, own = check_names(folders, names), read_adapters(adapters, folders, names)
    key, limits = read_key(key_file, host), Limits()
    with bind(host, port) as bound:
        url = _url(host, bound.getsockname()[1])
        models = open_adapters(folders[0], named[0], own) if own else open_all(folders, names)
        _run(models, bound, limits, (host, key), lambda: _announce(models, url, key_file, log))


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; a port in use is an error that names another."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError, OverflowError) as e:
        raise ConfigError(
            f"--host {host} --port {port} is no address: {e}", fix="use --host 127.0.0.1"
        ) from None
    bound = socket.socket(family, kind)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(128)  # at once: two servers that only bind would not see each other
    except OSError as e:
        bound.close()
        if e.errno == errno.EADDRINUSE:
            raise BusyError(
                f"port {port} of {host} is in use",
                fix=f"stop what uses it, or add --port {port + 1} or --port 0",
            ) from None
        raise ConfigError(f"cannot listen on {host}:{port}: {e.strerror}", fix="use --port 8000") from None
    return bound


def _run(
    models: list[Served], bound: socket.socket, limits: Limits, access: tuple[str, str | None], ready: Any
) -> None:
    try:
        import uvicorn

        from luban.serve.app import build_app
    except ImportError as e:
        raise MissingExtra(e.name or "uvicorn", "serve") from None
    from luban.serve.engine import Engine

    class Server(uvicorn.Server):  # type: ignore[misc]  # untyped in mypy's eyes
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

    host, key = access
    engine = Engine(limits.max_queue)
    app = Guard(build_app(models, engine, limits), host=host, key=key, max_body_bytes=limits.max_body_bytes)
    server = Server(_config(app))
    stops = (signal.SIGTERM, signal.SIGINT)
    # uvicorn hears them, ends in peace, and then repeats them to whoever listened before
    before = {number: signal.signal(number, signal.SIG_IGN) for number in stops}
    try:
        server.run(sockets=[bound])
    finally:
        engine.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def _config(app: Guard) -> uvicorn.Config:
    import uvicorn

    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        limit_concurrency=MAX_CONNECTIONS,
        lifespan="off",
        ws="none",
    )


def _announce(models: list[Served], url: str, key_file: Path | None, log: Log) -> None:
    if log.as_json:
        log.result({"event": "serving", "url": url, "models": [m.name for m in models]})
        return
    print(f"serving {', '.join(m.name for m in models)} at {url} (stop with Ctrl-C)", flush=True)
    for path, model in {path_of(m): m for m in reversed(models)}.items():
        print(f"try: {curl_line(url, path, model, key_file)}", flush=True)


def curl_line(url: str, path: str, model: Served, key_file: Path | None = None) -> str:
    """Return a command that asks the model something."""
    body: dict[str, Any] = {"model": model.name}
    if isinstance(model, Answerer):
        row = {name: model.example.get(name, "...") for name in model.predictor.reads}
        body["input"] = next(iter(row.values())) if len(row) == 1 else row
    else:
        body |= {"prompt": "Once", "max_tokens": 30}
    said = json.dumps(body, ensure_ascii=False)
    key = f' -H "Authorization: Bearer $(cat {key_file})"' if key_file else ""
    return f"curl {url}{path}{key} -H 'Content-Type: application/json' -d {shlex.quote(said)}"


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
