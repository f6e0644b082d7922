"""`luban serve`: answer over HTTP, as OpenAI's clients expect."""

from __future__ import annotations

from pathlib import Path

import typer


def serve(
    folders: list[Path] = typer.Argument(
        metavar="FOLDER", help="Model folders: language models, and models of any task with a route."
    ),
    host: str = typer.Option("127.0.0.1", help="Address to listen on; any but this machine's needs a key."),
    port: int = typer.Option(8000, min=0, max=65535, help="Port to listen on; 0 takes a free one."),
    names: list[str] = typer.Option([], "--name", help="Name of a model, once for each folder, in order."),
    adapters: list[str] = typer.Option(
        [], "--adapter", metavar="NAME=FOLDER", help="An adapter over the one model folder; may be repeated."
    ),
    key_file: Path = typer.Option(None, "--api-key-file", help="File with the key that clients must send."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON lines for programs."),
) -> None:
    """Serve models over HTTP, as OpenAI does.

    /v1/completions, /v1/models, /health, and a path for each task, such as /v1/classify.

    SIGTERM or Ctrl-C lets running answers end, then stops.

    \b
    Examples:
      luban serve runs/quickstart/train
      luban serve runs/quickstart/train runs/quickstart/en-minilm --port 0 --json
      luban serve models/base --adapter poet=runs/poet/adapter --adapter clerk=runs/clerk/adapter
    """
    from luban.log import Log
    from luban.serve.server import serve as serve_folders

    log = Log(as_json=as_json)
    serve_folders(folders, log, host=host, port=port, names=names, key_file=key_file, adapters=adapters)
