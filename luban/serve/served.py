"""What can be served: a language model, or a model of any task with a route, opened from its folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from luban.errors import CheckpointError, ConfigError
from luban.tasks.task import Predictor, Task, is_model, task_of

if TYPE_CHECKING:
    from luban.generate.settings import SamplingSettings
    from luban.models.model import Model
    from luban.tokenizer import Tokenizer


CHAT_ROUTE = "/v1/chat/completions"
"""Where a language model that has a chat template answers, beside /v1/completions."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some more text of an answer, the tokens it holds so far, and why it ended, if it has."""

    text: str
    n_tokens: int
    finish: Literal["stop", "length"] | None = None


@dataclass(frozen=True, slots=True)
class Talker:
    """How a language model answers conversations: `prompt` makes ids of messages and tools."""

    prompt: Callable[[Sequence[dict[str, Any]], Sequence[Any]], list[int]]
    write: Callable[[list[int], SamplingSettings], Iterator[Piece]]


@dataclass(frozen=True, slots=True)
class Writer:
    """A language model: `write` yields the pieces of an answer, the last one with its finish."""

    name: str
    context: int | None
    """Most tokens of prompt and answer together; None has no bound."""
    encode: Callable[[str], list[int]]
    write: Callable[[str, SamplingSettings], Iterator[Piece]]
    talker: Talker | None = None
    """There where the model has a chat template."""
    infill: Callable[[str, str, SamplingSettings], Iterator[Piece]] | None = None
    """Writes what is missing between two texts; there where the model has marks for that."""


@dataclass(frozen=True, slots=True)
class Answerer:
    """A model of a task: it answers rows at the task's route."""

    name: str
    route: str
    predictor: Predictor
    example: Mapping[str, Any]
    """A row that it could be asked."""
    writer: Writer | None = None
    """The same model at /v1/completions; there where it writes on from a prompt, as models of code do."""


Served = Writer | Answerer


def path_of(model: Served) -> str:
    """Return the path at which a model is asked."""
    return model.route if isinstance(model, Answerer) else "/v1/completions"


def open_all(folders: Sequence[Path], names: Sequence[str]) -> list[Served]:
    """Open every folder under its name, which is the folder's own unless `names` gives it."""
    named = check_names(folders, names)
    return [open_folder(folder, name) for folder, name in zip(folders, named, strict=True)]


def open_adapters(folder: Path, name: str, adapters: Mapping[str, Path]) -> list[Served]:
    """Open a language model and, as models of their own over its very weights, adapters by their names."""
    from luban.device import use_threads
    from luban.tasks.opened import open_tuned
    from luban.tune.several import with_adapter

    use_threads(0)
    model, tokenizer = open_tuned(folder)
    if model.config.head.kind != "tokens":
        raise ConfigError(
            f"{folder} does not write, and adapters are served over a language model",
            fix="fold the adapter into a folder of its own, and serve that",
        )
    served: list[Served] = [writer_of(model, tokenizer, name, folder)]
    for own, place in adapters.items():
        served.append(writer_of(with_adapter(model, place), tokenizer, own, place))
    return served


def read_adapters(given: Sequence[str], folders: Sequence[Path], names: Sequence[str]) -> dict[str, Path]:
    """Read NAME=FOLDER; refuse a name that is taken, a folder without an adapter, and a second base."""
    found: dict[str, Path] = {}
    taken = check_names(folders, names)
    if given and len(folders) != 1:
        raise ConfigError(
            f"--adapter with {len(folders)} model folders", fix="name one folder, the base of all"
        )
    for text in given:
        name, _, folder = text.partition("=")
        if not name or not folder:
            raise ConfigError(
                f"--adapter {text!r} is not NAME=FOLDER", fix="such as --adapter poet=runs/poet/adapter"
            )
        if name in found or name in taken:
            raise ConfigError(f"two models are named {name}", fix="give each adapter a name of its own")
        if not (Path(folder) / "adapter_config.json").is_file():
            raise CheckpointError(
                f"{folder} holds no adapter_config.json, so it is no adapter",
                fix="name the folder `adapter` in what luban train --method lora wrote",
            )
        found[name] = Path(folder)
    return found


def check_names(folders: Sequence[Path], names: Sequence[str]) -> list[str]:
    """Return a name for each folder; refuse the same one twice, and a folder without a model."""
    if names and len(names) != len(folders):
        raise ConfigError(
            f"{len(folders)} folders but {len(names)} names", fix="give --name once for each folder, in order"
        )
    found = list(names) or [folder.resolve().name for folder in folders]
    for name in found:
        if found.count(name) > 1:
            raise ConfigError(
                f"two models are named {name}", fix="give --name once for each folder, in order"
            )
    for folder in folders:
        if not is_model(folder):
            raise CheckpointError(
                f"{folder} holds no config.json, so it is not a model",
                fix="name a folder that `luban train` wrote",
            )
    return found


def open_folder(folder: Path, name: str) -> Served:
    """Open a model folder as what it is."""
    from luban.device import use_threads

    task = task_of(folder)
    use_threads(0)
    if task.name == "code":
        return _open_code(folder, name, task)
    if task.route and task.route != CHAT_ROUTE:
        return Answerer(name, task.route, task.load("open")(folder), task.example)
    return _open_writer(folder, name)


def _open_code(folder: Path, name: str, task: Task) -> Answerer:
    from luban.tasks.code_complete import load_completer, predictor_of

    completer = load_completer(folder)
    writer = writer_of(completer.model, completer.tokenizer, name, folder)
    return Answerer(name, str(task.route), predictor_of(completer), task.example, writer)


def _open_writer(folder: Path, name: str) -> Writer:
    from luban.tasks.opened import open_tuned

    model, tokenizer = open_tuned(folder)
    return writer_of(model, tokenizer, name, folder)


def writer_of(model: Model, tokenizer: Tokenizer, name: str, folder: Path) -> Writer:
    """Serve a model that is open under a name; `folder` says where it came from."""
    from luban.generate.writing import write

    if getattr(model.config.trunk, "sight", "causal") != "causal":
        raise CheckpointError(
            f"{folder} fills gaps; it cannot write on from a prompt",
            fix="name a decoder, such as a gpt2, llama or recurrent model",
        )

    def answer(prompt: str, settings: SamplingSettings) -> Iterator[Piece]:
        for piece in write(model, tokenizer, [prompt], settings):
            yield Piece(piece.text, piece.n_tokens, piece.finish)

    talker = _talker(model, tokenizer) if tokenizer.chat_template and model.encoder is None else None
    return Writer(name, model.config.max_len, tokenizer.encode, answer, talker, _filler(model, tokenizer))


def _filler(
    model: Model, tokenizer: Tokenizer
) -> Callable[[str, str, SamplingSettings], Iterator[Piece]] | None:
    from luban.tasks.code_complete import Completer
    from luban.tasks.infill import find_marks

    if model.encoder is not None or find_marks(tokenizer) is None:
        return None
    completer = Completer(model, tokenizer, "psm")

    def fill(prefix: str, suffix: str, settings: SamplingSettings) -> Iterator[Piece]:
        for piece in completer.write([(prefix, suffix)], settings):
            yield Piece(piece.text, piece.n_tokens, piece.finish)

    return fill


def _talker(model: Model, tokenizer: Tokenizer) -> Talker:
    from luban.generate.speaker import Speaker

    speaker = Speaker(model, tokenizer)

    def write(ids: list[int], settings: SamplingSettings) -> Iterator[Piece]:
        speaker.memory.forget()  # how long an answer takes tells nobody what others have asked
        for piece in speaker.write(ids, settings):
            yield Piece(piece.text, piece.n_tokens, piece.finish)

    return Talker(speaker.prompt, write)
