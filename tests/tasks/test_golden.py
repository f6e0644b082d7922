"""A copy that answers as the trained model did passes; one that drifts stops the recipe."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import torch

from luban.errors import CheckpointError, GateError
from luban.evaluate.golden import GOLDEN, record, replay
from luban.files import write_json
from luban.log import Log
from luban.models.build import build_model
from luban.models.config import HeadConfig
from luban.models.families import FAMILIES
from luban.models.load import load_model, save_model
from luban.tasks.golden import ask_server, golden
from luban.tasks.settings import GoldenSettings
from luban.tokenizer.train import train_bpe

QUIET = Log(quiet=True)
CLASSES = HeadConfig(kind="classes", n_classes=2, labels=("bad", "good"), pool="first")
SIZES = {
    "gpt2": {"dim": 32, "n_layers": 2, "n_heads": 4, "max_len": 64},
    "llama": {"dim": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "max_len": 64},
    "bert": {"dim": 32, "n_layers": 2, "n_heads": 4, "max_len": 64, "head": CLASSES},
    "recurrent": {"dim": 32, "head": CLASSES},
}


def make(folder, family, prompts=("one fine day", "好天气")):
    """Save a tiny model with its golden file."""
    tokenizer = train_bpe(["one fine day and another", "一个好天气"], 300, template=family == "bert")
    ids = {"pad_id": tokenizer.pad_id, "eos_id": tokenizer.eos_id}
    config = FAMILIES[family].config("tiny", vocab_size=tokenizer.vocab_size, **SIZES[family], **ids)
    model = build_model(config).eval()
    with torch.no_grad():  # random weights are all but indifferent: make the answers clear
        for parameter in model.parameters():
            parameter.mul_(3)
    save_model(model, folder)
    tokenizer.save(folder)
    record(model, tokenizer, prompts, folder / GOLDEN)
    return folder


def check(folder, out, *copies):
    out.mkdir()
    return golden(GoldenSettings(copies=copies), {"model": folder}, out, QUIET)


@pytest.mark.parametrize("family", sorted(SIZES))
def test_the_folder_opened_again_gives_the_same_answers(tmp_path, family):
    facts = check(make(tmp_path / "model", family), tmp_path / "out", "reloaded")
    assert facts["passed"]
    assert facts["copies"][0]["prompts"] == 2
    assert facts["copies"][0]["max_difference"] < 1e-5


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_weights_that_changed_after_the_recording_are_refused(tmp_path, family):
    folder = make(tmp_path / "model", family)
    model = load_model(folder)
    with torch.no_grad():
        model.trunk.blocks[1].mlp.down.weight.mul_(1.05)
    save_model(model, folder)
    with pytest.raises(
        GateError, match="the reloaded copy does not answer as the trained model did"
    ) as caught:
        check(folder, tmp_path / "out", "reloaded")
    assert caught.value.exit_code == 3


def test_a_folder_without_a_golden_file_is_an_error(tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(CheckpointError, match="has no golden.json"):
        check(tmp_path / "model", tmp_path / "out", "reloaded")


@pytest.mark.parametrize("family", ["gpt2", "llama", "bert"])
def test_transformers_gives_the_same_logits(tmp_path, family):
    pytest.importorskip("transformers", reason="the copy to check is read by transformers")
    facts = check(make(tmp_path / "model", family), tmp_path / "out", "transformers")
    assert facts["copies"][0]["prompts"] == 2
    assert facts["passed"]


def test_a_family_that_transformers_does_not_know_is_noted_not_failed(tmp_path):
    pytest.importorskip("transformers", reason="without it the note is another")
    facts = check(make(tmp_path / "model", "recurrent"), tmp_path / "out", "transformers")
    assert facts["passed"]
    assert facts["copies"][0]["note"] == "transformers has no family luban"


def test_transformers_missing_is_noted_not_failed(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    facts = check(make(tmp_path / "model", "gpt2"), tmp_path / "out", "transformers")
    assert facts["copies"][0]["note"] == "transformers is not installed"


@pytest.fixture
def server():
    """A server that answers with what stands in `replies`."""
    replies: dict[str, tuple[int, dict]] = {}
    asked: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            code, body = replies[self.path]
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", replies, asked
        http.shutdown()
        thread.join()


def test_a_server_is_asked_greedily_for_as_many_tokens_as_were_recorded(tmp_path, server):
    url, replies, asked = server
    row = {"prompt": "p", "ids": [1], "new_tokens": 7, "text": "right", "logits": []}
    write_json(tmp_path / "golden.json", {"kind": "text", "prompts": [row]})
    for text, n_drifts in (("right", 0), ("wrong", 1)):
        replies["/v1/completions"] = 200, {"choices": [{"text": text}]}
        assert len(replay(tmp_path / "golden.json", ask_server(url)).drifts) == n_drifts
    assert asked[0] == {"prompt": "p", "max_tokens": 7, "temperature": 0}


def test_a_server_that_sorts_is_held_to_its_probabilities(tmp_path, server):
    url, replies, _ = server
    row = {"prompt": "p", "ids": [1], "label": "a", "probabilities": {"a": 0.75, "b": 0.25}, "logits": []}
    write_json(tmp_path / "golden.json", {"kind": "label", "prompts": [row]})
    for p, n_drifts in ((0.75, 0), (0.7, 2)):
        answer = {"label": "a", "probabilities": {"a": p, "b": 1 - p}}
        replies["/v1/classify"] = 200, {"data": [answer]}
        assert len(replay(tmp_path / "golden.json", ask_server(url)).drifts) == n_drifts


def test_a_server_that_refuses_is_a_gate_that_says_no(tmp_path, server):
    url, replies, _ = server
    replies["/v1/completions"] = 500, {"error": "broken"}
    with pytest.raises(GateError, match="/v1/completions answered 500: .*broken"):
        ask_server(url)({"prompt": "p", "new_tokens": 1})
    with pytest.raises(GateError, match="does not answer"):
        ask_server("http://127.0.0.1:1")({"prompt": "p", "new_tokens": 1})


@pytest.mark.parametrize("family", ["llama", pytest.param("bert", marks=pytest.mark.slow)])
def test_the_served_model_gives_the_same_answers(tmp_path, family):
    pytest.importorskip("fastapi", reason="serving needs the extra `serve`")
    pytest.importorskip("uvicorn", reason="serving needs the extra `serve`")
    facts = check(make(tmp_path / "model", family), tmp_path / "out", "served")
    assert facts["passed"]
    assert facts["copies"][0]["prompts"] == 2


@pytest.mark.slow
def test_a_server_that_cannot_start_says_why(tmp_path):
    pytest.importorskip("fastapi", reason="serving needs the extra `serve`")
    folder = make(tmp_path / "model", "gpt2")
    (folder / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(GateError, match="did not start"):
        check(folder, tmp_path / "out", "served")
