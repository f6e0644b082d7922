from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest
from pydantic import Field

from luban.config import Tree, fill, load_yaml, override, parse_yaml, resolved
from luban.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    dim: Annotated[int, Field(ge=1)] = 8
    kind: Literal["plain", "gated"] = "plain"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outer:
    lr: Annotated[float, Field(gt=0)] = 1e-3
    steps: int = 1
    name: str | None = None
    model: Inner | None = None
    inner: Inner = field(default_factory=Inner)
    freeze: tuple[str, ...] = ()
    kinds: tuple[Literal["a", "b"], ...] = ()
    share: Annotated[float, Field(ge=0, lt=1)] = 0.5


def made(text: str) -> Outer:
    return fill(Outer, parse_yaml(text, "run.yaml"), "train")


def problem(text: str) -> str:
    with pytest.raises(ConfigError) as e:
        made(text)
    return str(e.value)


@pytest.mark.parametrize(("text", "value"), [("1e-4", 1e-4), ("2E3", 2000.0), ("3", 3.0), ("-.5e-2", -0.005)])
def test_numbers_in_scientific_form_are_numbers(text: str, value: float) -> None:
    assert parse_yaml(f"a: {text}", "x").data["a"] == value


def test_words_that_look_a_little_like_numbers_stay_words() -> None:
    tree = parse_yaml("{a: 2026-11-24, b: 1e, c: e4, d: 1.2.3}", "x")
    assert tree.data == {"a": "2026-11-24", "b": "1e", "c": "e4", "d": "1.2.3"}


def test_settings_are_typed_frozen_and_complete() -> None:
    settings = made("lr: 1e-4\nfreeze: [a, b]\ninner: {dim: 3}")
    assert settings == Outer(lr=1e-4, freeze=("a", "b"), inner=Inner(dim=3))
    assert made("model: {kind: gated}").model == Inner(kind="gated")
    assert resolved(settings)["inner"] == {"dim": 3, "kind": "plain"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: 1\nlrr: 3", "run.yaml:2: unknown setting train.lrr = 3\n  fix: did you mean lr?"),
        ("inner:\n  dmi: 3", "run.yaml:2: unknown setting train.inner.dmi = 3\n  fix: did you mean dim?"),
        ("model:\n  dmi: 3", "run.yaml:2: unknown setting train.model.dmi = 3\n  fix: did you mean dim?"),
        ("steps: 1.5", "run.yaml:1: train.steps = 1.5: should be a valid integer\n  fix: give train.steps a whole number"),
        ("steps: '3'", 'run.yaml:1: train.steps = "3": should be a valid integer\n  fix: give train.steps a whole number'),
        ("steps: true", "run.yaml:1: train.steps = true: should be a valid integer\n  fix: give train.steps a whole number"),
        ("lr: -1", "run.yaml:1: train.lr = -1: should be greater than 0\n  fix: give train.lr a number above 0"),
        ("share: 2", "run.yaml:1: train.share = 2: should be less than 1\n  fix: give train.share a number of at least 0 and below 1"),
        ("inner: {dim: 0}", "run.yaml:1: train.inner.dim = 0: should be greater than or equal to 1\n  fix: give train.inner.dim a whole number of at least 1"),
        ("kinds: [a, c]", "run.yaml:1: train.kinds.1 = \"c\": should be 'a' or 'b'\n  fix: give train.kinds.1 one of: a, b"),
        ("kinds: a", 'run.yaml:1: train.kinds = "a": should be a valid array\n  fix: give train.kinds a list, each member one of: a, b'),
        ("\n\ninner: {kind: gate}", "run.yaml:3: train.inner.kind = \"gate\": should be 'plain' or 'gated'\n  fix: give train.inner.kind one of: plain, gated"),
        ("lr: 1\nlr: 2", "run.yaml:2: lr is given twice\n  fix: keep one"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_with_its_line_its_value_and_the_fix(text: str, message: str) -> None:
    assert problem(text) == message


@pytest.mark.parametrize("text", ["lr: .nan", "freeze: a", "inner: 3", "lr: [1]", "name: 3"])
def test_values_that_cannot_be_are_refused(text: str) -> None:
    assert problem(text).startswith("run.yaml:1: train.")


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2", "just words", "a: !!python/object:os.system x"])
def test_what_is_not_settings_is_refused_with_the_place(text: str) -> None:
    with pytest.raises(ConfigError, match=r"run\.yaml"):
        made(text)


def test_overrides_win_and_are_named_in_errors() -> None:
    tree = override(parse_yaml("lr: 1", "f"), ["lr=1e-4", "inner.dim=5", "freeze=[x]"])
    assert fill(Outer, tree) == Outer(lr=1e-4, inner=Inner(dim=5), freeze=("x",))
    with pytest.raises(ConfigError, match=r"--set inner\.dmi=3: unknown setting inner\.dmi"):
        fill(Outer, override(Tree({}), ["inner.dmi=3"]))
    with pytest.raises(ConfigError, match="is not KEY=VALUE"):
        override(Tree({}), ["lr"])
    with pytest.raises(ConfigError, match="lr is a value, not a group"):
        override(parse_yaml("lr: 1", "f"), ["lr.x=2"])


def test_a_missing_or_binary_file_is_an_error_with_a_fix(tmp_path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_yaml(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match="not a UTF-8"):
        load_yaml(tmp_path / "b.yaml")


def test_on_and_off_are_words_as_they_are_to_people() -> None:
    assert parse_yaml("a: off\nb: on\nc: true\nd: no", "f").data == {
        "a": "off",
        "b": "on",
        "c": True,
        "d": "no",
    }


def test_a_control_character_in_yaml_is_an_error_that_names_the_file() -> None:
    with pytest.raises(ConfigError, match=r"a.yaml is not YAML: unacceptable character"):
        parse_yaml("clean:\n  min_chars: 1\x00\n", "a.yaml")


@dataclass(frozen=True, kw_only=True, slots=True)
class Weighted:
    weights: dict[str, Annotated[float, Field(gt=0)]] = field(default_factory=dict)


def test_the_fix_for_a_wrong_mapping_is_an_example_not_a_type() -> None:
    with pytest.raises(ConfigError) as caught:
        fill(Weighted, parse_yaml("weights: [a]", "x"))
    assert "{name: value, other: value}, each value a number above 0" in caught.value.fix
    assert "dict[" not in str(caught.value) + caught.value.fix
