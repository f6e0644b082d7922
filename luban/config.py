"""Settings: YAML with line numbers, typed frozen dataclasses, errors that name the nearest key."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from luban.errors import ConfigError

T = TypeVar("T")
KeyPath = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """Plain nested settings, and where each key was written."""

    data: dict[str, Any]
    places: dict[KeyPath, str] = field(default_factory=dict)
    """Key path → "file:line", or the --set option that gave it."""

    def place(self, path: KeyPath) -> str:
        """Return where the key, or the nearest one above it, was written."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, "settings")

    def branch(self, key: str, *, without: tuple[str, ...] = ()) -> Tree:
        """Return the settings below `key`, less the keys named."""
        data = {k: v for k, v in (self.data.get(key) or {}).items() if k not in without}
        places = {p[1:]: where for p, where in self.places.items() if p[:1] == (key,)}
        return Tree(data, places)


class _Loader(yaml.SafeLoader):
    """Safe YAML in which 1e-4 is a number, a repeated key is an error, and dates, on and off stay text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if not tag.endswith((":bool", ":float", ":timestamp"))]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+"
        r"|\.[0-9]+(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF|nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


def parse_yaml(text: str, name: str) -> Tree:
    """Parse YAML into a Tree whose places read "name:line"."""
    try:
        loader = _Loader(text)
    except yaml.YAMLError as e:  # a control character
        problem = " ".join(str(e).split())
        raise ConfigError(f"{name} is not YAML: {problem}", fix="take that character out") from None
    try:
        node = loader.get_single_node()
        places: dict[KeyPath, str] = {}
        data = {} if node is None else _build(loader, node, (), places, name)
    except yaml.MarkedYAMLError as e:
        line = e.problem_mark.line + 1 if e.problem_mark else 1
        raise ConfigError(
            f"{name}:{line} is not YAML: {e.problem}", fix="check indents, colons and quotes there"
        ) from None
    finally:
        loader.dispose()
    if not isinstance(data, dict):
        raise ConfigError(
            f"{name} holds a {type(data).__name__}, not settings", fix="write `key: value` lines"
        )
    return Tree(data, places)


def load_yaml(path: Path) -> Tree:
    """Read a YAML file into a Tree."""
    try:
        return parse_yaml(path.read_text("utf-8"), str(path))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist", fix="check the path") from None
    except (UnicodeDecodeError, IsADirectoryError) as e:
        raise ConfigError(f"{path} is not a UTF-8 text file: {e}", fix="name a YAML file") from None


def _build(loader: _Loader, node: yaml.Node, path: KeyPath, places: dict[KeyPath, str], name: str) -> Any:
    places.setdefault(path, f"{name}:{node.start_mark.line + 1}")
    if isinstance(node, yaml.MappingNode):
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(loader.construct_object(key_node, deep=True))
            place = f"{name}:{key_node.start_mark.line + 1}"
            if key in built:
                raise ConfigError(f"{place}: {_dotted((*path, key))} is given twice", fix="keep one")
            places[(*path, key)] = place
            built[key] = _build(loader, value_node, (*path, key), places, name)
        return built
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, n, (*path, str(i)), places, name) for i, n in enumerate(node.value)]
    return loader.construct_object(node, deep=True)


def override(tree: Tree, assignments: list[str]) -> Tree:
    """Apply `key.sub=value` assignments; values are read as YAML.

    override(tree, ["train.lr=1e-4"])
    """
    data, places = json.loads(json.dumps(tree.data)), dict(tree.places)
    for text in assignments:
        dotted, found, value = text.partition("=")
        path = tuple(dotted.strip().split("."))
        if not found or not all(path):
            raise ConfigError(f"--set {text} is not KEY=VALUE", fix="write --set train.lr=1e-4")
        branch = data
        for i, key in enumerate(path[:-1]):
            branch = branch.setdefault(key, {})
            if not isinstance(branch, dict):
                raise ConfigError(
                    f"--set {text}: {_dotted(path[: i + 1])} is a value, not a group of settings",
                    fix=f"set {_dotted(path[: i + 1])} itself",
                )
        branch[path[-1]] = parse_yaml(f"value: {value}", f"--set {text}").data["value"]
        places = {p: where for p, where in places.items() if p[: len(path)] != path}
        places[path] = f"--set {text}"
    return Tree(data, places)


def fill(cls: type[T], tree: Tree, name: str = "") -> T:
    """Make the frozen settings dataclass `cls` from a Tree; `name` leads every key in errors."""
    import pydantic

    _refuse_unknown(cls, tree.data, (), tree, name)
    try:
        return pydantic.TypeAdapter(cls).validate_json(json.dumps(tree.data), strict=True)
    except pydantic.ValidationError as e:
        problem = e.errors(include_url=False)[0]
        path = tuple(str(p) for p in problem["loc"] if not str(p).startswith(("function-", "constrained")))
        while path and _lookup(tree.data, path) is _ABSENT and problem["type"] != "missing":
            path = path[:-1]  # the tail names a member of a union, not a key
        key = _dotted((name, *path) if name else path)
        if problem["type"] in ("missing", "missing_argument"):
            raise ConfigError(
                f"{tree.place(path)}: {key} is not given", fix=f"give it: {key.rpartition('.')[2]}: VALUE"
            ) from None
        raise ConfigError(
            f"{tree.place(path)}: {key} = {json.dumps(problem['input'], ensure_ascii=False, default=str)}: "
            f"{_plain(problem['msg'])}",
            fix=f"give {key} {_describe(cls, path)}",
        ) from None


def resolved(settings: Any) -> dict[str, Any]:
    """Return a settings dataclass as plain data, every default written out."""
    return json.loads(json.dumps(dataclasses.asdict(settings), default=str))


def nearest(word: str, words: typing.Iterable[str]) -> str:
    """Return a hint that names the closest of `words`, or lists them."""
    words = sorted(words)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"use one of: {', '.join(words)}" if words else "leave it out"


_ABSENT = object()


def _lookup(data: Any, path: KeyPath) -> Any:
    for key in path:
        if isinstance(data, dict) and key in data:
            data = data[key]
        elif isinstance(data, list) and key.isdigit() and int(key) < len(data):
            data = data[int(key)]
        else:
            return _ABSENT
    return data


def _refuse_unknown(cls: type[Any], data: Any, path: KeyPath, tree: Tree, name: str) -> None:
    if not isinstance(data, dict):
        return
    types = typing.get_type_hints(cls, include_extras=True)
    known = {f.name: types[f.name] for f in dataclasses.fields(cls) if f.init}
    for key, value in data.items():
        here = (*path, key)
        dotted = _dotted((name, *here) if name else here)
        if key not in known:
            raise ConfigError(
                f"{tree.place(here)}: unknown setting {dotted} = {json.dumps(value, ensure_ascii=False)}",
                fix=nearest(key, known),
            )
        for member in (known[key], *typing.get_args(known[key])):
            if dataclasses.is_dataclass(member):
                _refuse_unknown(member, value, here, tree, name)  # type: ignore[arg-type]


def _dotted(path: KeyPath) -> str:
    return ".".join(path)


def _plain(message: str) -> str:
    return message.replace("Input should be", "should be").replace("Value error, ", "")


def _describe(cls: type[Any], path: KeyPath) -> str:
    kind: Any = cls
    for key in path:
        members = [m for m in (kind, *typing.get_args(kind)) if dataclasses.is_dataclass(m)]
        if members:
            kind = typing.get_type_hints(members[0], include_extras=True).get(key, kind)
        elif key.isdigit() and typing.get_origin(kind) in (tuple, list):
            kind = typing.get_args(kind)[0]
        else:
            break
    return _in_words(kind)


def _in_words(kind: Any) -> str:
    """Return what values a type takes: "a number above 0", "one of: a, b"."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return " ".join([_in_words(inner[0]), " and ".join(_bounds(inner[1:]))]).rstrip()
    if origin is typing.Literal:
        return "one of: " + ", ".join(map(str, inner))
    if origin in (tuple, list) and (origin is list or inner[1:] == (...,)):
        return f"a list, each member {_in_words(inner[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping) and inner:
        return f"names with values, as in {{name: value, other: value}}, each value {_in_words(inner[1])}"
    text = kind.__name__ if isinstance(kind, type) and not inner else str(kind)
    words = {"int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false"}
    return words.get(text, f"a value of type {text.replace('typing.', '')}")


def _bounds(notes: tuple[Any, ...]) -> list[str]:
    """Return the limits among the notes of an annotated type, in words."""
    words = {"gt": "above", "ge": "of at least", "lt": "below", "le": "of at most"}
    limits = [limit for note in notes for limit in (note, *getattr(note, "metadata", ()))]
    return [f"{words[k]} {getattr(limit, k):g}" for limit in limits for k in words if hasattr(limit, k)]
