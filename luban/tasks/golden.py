"""Replay a model's golden file against the copies that people will use; refuse a copy that drifts."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from luban.errors import CheckpointError, GateError
from luban.evaluate.golden import GOLDEN, Answer, Replay, read_golden, replay
from luban.files import read_json, write_json
from luban.log import Log
from luban.stages import Facts
from luban.tasks.opened import open_tuned
from luban.tasks.settings import GoldenSettings

Ask = Callable[[dict[str, Any]], Answer]
START_SECONDS = 120
"""A server that has not said its address by then is taken for dead."""


def golden(settings: GoldenSettings, inputs: Mapping[str, Path], out: Path, log: Log) -> Facts:
    """Check every copy named in the settings and report what was compared."""
    folder = inputs["model"]
    path = folder / GOLDEN
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {GOLDEN}", fix="it is recorded at the end of `luban train`")
    n_prompts = len(read_golden(path)["prompts"])
    copies = []
    for copy in settings.copies:
        row: dict[str, Any] = {"copy": copy, "passed": True, "max_difference": None, "prompts": 0, "note": ""}
        if note := not_possible(copy, folder):
            row["note"] = note
        else:
            with COPIES[copy](folder) as ask:
                row |= _outcome(replay(path, ask, settings.tolerance))
        log.say(f"golden: {copy}: {_verdict(row)}", copy=copy, passed=row["passed"])
        copies.append(row)
    facts = {"counts": {"prompts": n_prompts}, "copies": copies, "passed": all(c["passed"] for c in copies)}
    write_json(out / "golden-check.json", facts)
    drifted = [c for c in copies if not c["passed"]]
    if drifted:
        raise GateError(
            f"{folder}: the {drifted[0]['copy']} copy does not answer as the trained model did: "
            f"{drifted[0]['note']}",
            fix="do not release it; find out what changed since the golden file was recorded, or train again",
        )
    return facts


def ask_server(url: str, timeout_seconds: float = 60.0) -> Ask:
    """Return the function that puts a golden row to a Luban server at `url`."""

    def ask(row: dict[str, Any]) -> Answer:
        if "label" in row:
            reply = _post(f"{url}/v1/classify", {"input": row["prompt"]}, timeout_seconds)
            found = reply["data"][0]
            return Answer(label=found["label"], probabilities=found["probabilities"])
        body = {"prompt": row["prompt"], "max_tokens": row["new_tokens"], "temperature": 0}
        reply = _post(f"{url}/v1/completions", body, timeout_seconds)
        return Answer(text=reply["choices"][0]["text"])

    return ask


@contextmanager
def _reloaded(folder: Path) -> Iterator[Ask]:
    """The folder opened again; text goes through the cached decoder."""
    import torch

    from luban.generate import generate
    from luban.generate.settings import SamplingSettings

    model, tokenizer = open_tuned(folder)
    labels = model.config.head.labels

    @torch.no_grad()
    def ask(row: dict[str, Any]) -> Answer:
        ids = tokenizer.encode(row["prompt"], special="label" in row)
        logits = model(torch.tensor([ids]))[0].float()
        if "label" in row:
            values = logits.tolist()
            return Answer(ids, values, label=labels[int(logits.argmax())])
        sampling = SamplingSettings(max_new_tokens=row["new_tokens"], temperature=0.0)
        text = generate(model, tokenizer, [row["prompt"]], settings=sampling)[0] if row["new_tokens"] else ""
        return Answer(ids, logits[-1].tolist(), text)

    yield ask


@contextmanager
def _transformers(folder: Path) -> Iterator[Ask]:
    """The folder as the Hugging Face library reads it, tokenizer included."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    is_classifier = read_golden(folder / GOLDEN)["kind"] == "label"
    kind = AutoModelForSequenceClassification if is_classifier else AutoModelForCausalLM
    model = kind.from_pretrained(folder, torch_dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    @torch.no_grad()
    def ask(row: dict[str, Any]) -> Answer:
        ids = tokenizer.encode(row["prompt"], add_special_tokens="label" in row)
        logits = model(torch.tensor([ids])).logits[0].float()
        if "label" in row:
            return Answer(ids, logits.tolist(), label=model.config.id2label[int(logits.argmax())])
        return Answer(ids, logits[-1].tolist())

    yield ask


@contextmanager
def _served(folder: Path) -> Iterator[Ask]:
    """A server of its own process on a free port of this machine, asked over HTTP."""
    command = [sys.executable, "-m", "luban", "serve", str(folder), "--port", "0", "--json"]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as server,
    ):
        try:
            yield ask_server(_address(server, folder, errors))
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


COPIES: dict[str, Callable[[Path], Any]] = {
    "reloaded": _reloaded,
    "served": _served,
    "transformers": _transformers,
}


def _address(server: subprocess.Popen[str], folder: Path, errors: Any) -> str:
    alarm = threading.Timer(START_SECONDS, server.kill)
    alarm.start()
    try:
        for line in server.stdout or ():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if event.get("event") == "serving":
                return str(event["url"])
    finally:
        alarm.cancel()
    errors.seek(0)
    raise GateError(
        f"`luban serve {folder}` did not start: {errors.read()[-500:].strip() or 'it said nothing'}",
        fix="run that command yourself to see why",
    )


def _post(url: str, body: dict[str, Any], timeout_seconds: float) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    # The server is on this machine: a proxy of the environment must not get between.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout_seconds) as reply:
            return json.loads(reply.read())
    except urllib.error.HTTPError as e:
        raise GateError(
            f"{url} answered {e.code}: {e.read()[:500].decode(errors='replace')}",
            fix="try the same request by hand",
        ) from None
    except (urllib.error.URLError, TimeoutError) as e:
        raise GateError(f"{url} does not answer: {e}", fix="see whether the server still runs") from None


def not_possible(copy: str, folder: Path) -> str:
    """Why a copy cannot be checked here; empty if it can."""
    if copy != "transformers":
        return ""
    from luban.tune.load import is_adapter

    try:
        from transformers import CONFIG_MAPPING
    except ImportError:
        return "transformers is not installed"
    if is_adapter(folder):
        return "what stands beside its base cannot be folded, and transformers alone does not read it"
    config = read_json(folder / "config.json")
    if config.get("model_type") not in CONFIG_MAPPING:
        return f"transformers has no family {config.get('model_type')}"
    pool = config.get("pool") or config.get("luban", {}).get("pool")
    if pool == "mean":
        return "transformers has no mean pooling before a classification head"
    return ""


def _outcome(replayed: Replay) -> dict[str, Any]:
    note = ""
    if replayed.drifts:
        worst = max(replayed.drifts, key=lambda d: d.difference)
        note = (
            f"{len(replayed.drifts)} drifts, such as {worst.what} of {worst.prompt!r}: "
            f"{worst.expected!r} became {worst.found!r}"
        )
    return {
        "passed": not replayed.drifts,
        "max_difference": replayed.max_difference,
        "prompts": replayed.n_prompts,
        "note": note,
    }


def _verdict(row: dict[str, Any]) -> str:
    if not row["prompts"]:
        return f"not checked: {row['note']}"
    return "same answers" if row["passed"] else f"DRIFTED: {row['note']}"
