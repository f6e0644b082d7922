"""The whole server as a process: real models from their folders, asked by the official client and by curl."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("openai")
import httpx
import openai

from luban.errors import BusyError, CheckpointError, ConfigError, LubanError
from luban.generate import SamplingSettings, generate
from luban.log import Log
from luban.models.build import build_model
from luban.models.config import HeadConfig
from luban.models.families import FAMILIES
from luban.models.load import load_model, save_model
from luban.serve import server
from luban.serve.served import Writer, open_folder
from luban.serve.server import bind, curl_line, serve
from luban.tokenizer import load_tokenizer
from luban.tokenizer.train import train_bpe
from tests.serve.conftest import MOODS

ROOT = Path(__file__).parent.parent.parent
TEXTS = ["the old house stood by the river", "今天 天气 很好", "a fine film and a good one"] * 3


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny language model and a tiny classifier, untrained."""
    root = tmp_path_factory.mktemp("models")
    tokenizer = train_bpe(TEXTS, 300, template=True)
    size = {"dim": 32, "n_layers": 2, "n_heads": 4, "max_len": 48}
    heads = {
        "tale": ("llama", HeadConfig()),
        "mood": ("bert", HeadConfig(kind="classes", n_classes=2, labels=("bad", "good"))),
    }
    for name, (family, head) in heads.items():
        config = FAMILIES[family].config("tiny", vocab_size=tokenizer.vocab_size, head=head, **size)
        save_model(build_model(config), root / name)
        tokenizer.save(root / name)
    return root / "tale", root / "mood"


def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "luban", "serve", *map(str, arguments)]
    kept = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=kept, **options
    )  # type: ignore[call-overload]


@contextmanager
def running(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    process = start(*arguments)
    assert process.stdout
    try:
        yield process, [process.stdout.readline()]
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def url(folders: tuple[Path, Path]) -> Iterator[str]:
    """Both models behind one address."""
    with running(*folders, "--port", 0, "--json") as (process, lines):
        said = json.loads(lines[0])
        assert said["event"] == "serving"
        assert said["models"] == ["tale", "mood"]
        yield said["url"]


def test_the_official_client_gets_what_the_library_writes(url: str, folders: tuple[Path, Path]) -> None:
    model, tokenizer = load_model(folders[0]), load_tokenizer(folders[0])
    settings = SamplingSettings(max_new_tokens=12, temperature=0.9, top_p=0.95, seed=7)
    expected = generate(model, tokenizer, ["the old"], settings=settings)[0]
    given = {
        "model": "tale",
        "prompt": "the old",
        "max_tokens": 12,
        "temperature": 0.9,
        "top_p": 0.95,
        "seed": 7,
    }
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        assert [m.id for m in client.models.list()] == ["tale", "mood"]
        whole = client.completions.create(**given)
        assert whole.choices[0].text == expected
        assert whole.choices[0].finish_reason == "length"
        assert whole.usage.completion_tokens == 12
        assert whole.usage.prompt_tokens == len(tokenizer.encode("the old"))
        pieces = list(client.completions.create(**given, stream=True))
        assert "".join(p.choices[0].text for p in pieces) == expected
        assert pieces[-1].choices[0].finish_reason == "length"
        with pytest.raises(openai.BadRequestError, match=r"has \d+ tokens, but tale reads at most 47"):
            client.completions.create(model="tale", prompt="river " * 100)
        with pytest.raises(openai.NotFoundError, match="no model is named"):
            client.completions.create(model="none", prompt="x")


def test_a_text_gets_the_same_answer_alone_and_among_others(url: str) -> None:
    body = {"max_tokens": 8, "seed": 3, "temperature": 1.0}
    alone = httpx.post(f"{url}/v1/completions", json={**body, "prompt": "a fine"}).json()["choices"]
    among = httpx.post(f"{url}/v1/completions", json={**body, "prompt": ["今天", "a fine"]}).json()["choices"]
    assert among[1]["text"] == alone[0]["text"]
    one = httpx.post(f"{url}/v1/classify", json={"input": "a fine film"}).json()["data"][0]
    many = httpx.post(f"{url}/v1/classify", json={"input": ["今天", "a fine film", "x" * 500]}).json()["data"]
    assert many[1]["probability"] == pytest.approx(one["probability"], abs=1e-6)
    assert sum(one["probabilities"].values()) == pytest.approx(1)
    assert set(one["probabilities"]) == {"bad", "good"}


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_curl_line_it_prints_works(url: str, folders: tuple[Path, Path]) -> None:
    for path, model in (("/v1/completions", "tale"), ("/v1/classify", "mood")):
        asked = Writer(model, 1, list, None) if model == "tale" else replace(MOODS, name=model)  # type: ignore[arg-type]
        line = shlex.split(curl_line(url, path, asked))
        done = subprocess.run([*line, "-s", "-f"], capture_output=True, text=True, check=True, timeout=30)
        assert json.loads(done.stdout)["model"] == model


def test_people_are_told_the_address_and_sigterm_lets_a_running_answer_end(
    folders: tuple[Path, Path],
) -> None:
    with running(folders[0], "--port", 0, "--name", "tales") as (process, lines):
        assert process.stdout
        assert process.stderr
        url = lines[0].removeprefix("serving tales at ").partition(" ")[0]
        assert f"curl {url}/v1/completions" in process.stdout.readline()
        body = {"prompt": "the", "max_tokens": 40, "n": 2, "stream": True}
        with httpx.stream("POST", f"{url}/v1/completions", json=body, timeout=30) as reply:
            events = reply.iter_lines()
            next(events)
            process.send_signal(signal.SIGTERM)
            assert list(events)[-2:] == ["data: [DONE]", ""]
        assert process.wait(10) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/health")
        assert process.stderr.read() == ""


def test_a_port_in_use_is_refused_before_anything_is_loaded(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "open_all", lambda *given: pytest.fail("loaded a model"))
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BusyError, match=rf"port {port} of 127\.0\.0\.1 is in use\n.*--port 0"):
            serve([folders[0]], Log(), port=port)
        done = start(folders[0], "--port", port)
        out, err = done.communicate(timeout=30)
    assert (done.returncode, out) == (2, "")
    assert "is in use" in err


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"host": "0.0.0.0"}, ConfigError, "--api-key-file"),
        ({"host": "no-such-host.example"}, ConfigError, "--api-key-file"),
        ({"names": ["a", "b"]}, ConfigError, "1 folders but 2 names"),
        ({"folders": ["tale", "tale"]}, ConfigError, "two models are named tale"),
        ({"folders": ["nothing"]}, CheckpointError, "not a model"),
    ],
)
def test_what_cannot_be_served_is_refused_before_loading(
    folders: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    options: dict,
    error: type[LubanError],
    words: str,
) -> None:
    monkeypatch.setattr(server, "open_all", lambda *given: pytest.fail("loaded a model"))
    named = [folders[0].parent / name for name in options.pop("folders", ["tale"])]
    with pytest.raises(error, match=words):
        serve(named, Log(), **{"port": 0, **options})


def test_a_model_that_neither_writes_nor_classifies_is_refused(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    for head, words in ((HeadConfig(kind="none"), "only encodes"), (HeadConfig(), "cannot write on")):
        config = FAMILIES["bert"].config("tiny", vocab_size=300, dim=32, n_layers=1, n_heads=2, head=head)
        save_model(build_model(config), tmp_path / head.kind)
        load_tokenizer(folders[0]).save(tmp_path / head.kind)
        with pytest.raises(CheckpointError, match=words):
            open_folder(tmp_path / head.kind, "x")


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="--host no such host --port 0 is no address"):
        bind("no such host", 0)


def test_two_servers_that_start_at_once_do_not_share_a_port() -> None:
    with bind("127.0.0.1", 0) as first, pytest.raises(BusyError):
        bind("127.0.0.1", first.getsockname()[1])
    assert isinstance(first, socket.socket)
