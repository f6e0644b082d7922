"""What two folders of documents differ in: documents that came, went, changed, moved or were renamed."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luban.data.documents import document_files
from luban.data.engine import ORDER, Engine, Table, open_engine, starts
from luban.data.extras import load_extra
from luban.data.language import is_unspaced
from luban.data.reading import ReadColumns, Unit
from luban.data.settings import WorkSettings
from luban.data.steps import folder_units
from luban.errors import DataError
from luban.files import Manifest

FIELDS = ("split", "language", "licence", "label", "source", "cluster")
"""What a document may change besides its text."""
KEY, TEXT = "key", "text_key"
DIFF_TOKENS = 4000  # of a long text only so much is compared word by word
CONTEXT = 4  # tokens shown around a change
_TOKEN = re.compile(r"\w+|\W")


@dataclass(frozen=True, slots=True)
class Difference:
    """How B differs from A."""

    counts: dict[str, int]
    """Documents of each kind: same, only in A, only in B, text, renamed, and each of the fields."""
    moves: dict[str, dict[str, int]]
    """Field → "before → after" → documents."""
    samples: dict[str, list[dict[str, Any]]]
    tables: dict[str, dict[str, list[int]]]
    """Language, licence, source, split → value → documents in A and in B."""
    settings: dict[str, list[Any]]
    """What the manifests say of how they were made: setting or input → in A, in B."""

    @property
    def is_empty(self) -> bool:
        """Whether the documents are the same."""
        return not any(n for kind, n in self.counts.items() if kind != "same")


def diff_folders(
    a: Path, b: Path, scratch: Path, settings: WorkSettings | None = None, *, n_samples: int = 3
) -> Difference:
    """Compare two documents folders by their ids, and what is left by its text.

    Texts are read once and compared by hash; `scratch` is a folder for what has to be sorted.
    """
    folders = (a, b)
    with open_engine(settings or WorkSettings(), scratch) as engine:
        matched = _Matched(engine, folders)
        counts, moves, places = matched.count(n_samples)
        samples = {
            kind: [_sample(folders, *pair) for pair in pairs] for kind, pairs in places.items() if pairs
        }
    tables = {
        name: _side_by_side(name, folders) for name in ("split", "language", "licence", "source")
    }  # fmt: skip
    return Difference(counts, moves, samples, {k: v for k, v in tables.items() if v}, _making(a, b))


@dataclass(frozen=True, slots=True)
class ReadKeys:
    """Reads what is compared of a row group: hashes of id and text, and some fields."""

    fields: tuple[str, ...]

    def __call__(self, unit: tuple[int, Unit]) -> Iterator[Table]:
        """Yield tables; `order` is the row's place in its folder, doubled, and 1 more in B."""
        pa = load_extra("pyarrow")
        side, rows = unit
        have = [name for name in self.fields if name in _columns(Path(rows[0]))]
        for table in ReadColumns(("id", "text", *have))(rows):
            columns = {
                KEY: pa.array(map(_hash, table.column("id").to_pylist()), pa.binary()),
                TEXT: pa.array(map(_hash, table.column("text").to_pylist()), pa.binary()),
                ORDER: pa.array([2 * order + side for order in table.column(ORDER).to_pylist()], pa.int64()),
            }
            for name in FIELDS:
                values = table.column(name).to_pylist() if name in have else [None] * table.num_rows
                columns[name] = pa.array([None if v is None else str(v) for v in values], pa.string())
            yield pa.table(columns)


@dataclass(frozen=True, slots=True)
class Match:
    """Brings together the rows of A and of B that have one key, as pairs in their order."""

    key: str

    def __call__(self, table: Table) -> Table:
        """Return a row for each pair, and one for each row that is alone."""
        pa = load_extra("pyarrow")
        rows = table.to_pylist()
        begins = [*starts(table, self.key).tolist(), len(rows)]
        pairs: list[dict[str, Any]] = []
        for begin, end in zip(begins, begins[1:], strict=False):
            sides: tuple[list[Any], list[Any]] = ([], [])
            for row in rows[begin:end]:
                sides[row[ORDER] % 2].append(row)
            n = min(map(len, sides))
            pairs += [_pair(one, other) for one, other in zip(*(side[:n] for side in sides), strict=True)]
            pairs += [_pair(row, None) for row in sides[0][n:]] + [_pair(None, row) for row in sides[1][n:]]
        kinds = {"a": pa.int64(), "b": pa.int64(), TEXT: pa.binary(), "changed": pa.string()}
        kinds |= {f"{name}_{side}": pa.string() for name in FIELDS for side in "ab"}
        return pa.table({name: pa.array([p.get(name) for p in pairs], kind) for name, kind in kinds.items()})


@dataclass(frozen=True, slots=True)
class Alone:
    """Keeps the rows of A or B that have no partner with their key on the other side."""

    def __call__(self, table: Table) -> Table:
        """Return the later rows of the side that has more of a key."""
        orders = table.column(ORDER).to_pylist()
        begins = [*starts(table, KEY).tolist(), len(orders)]
        keep: list[int] = []
        for begin, end in zip(begins, begins[1:], strict=False):
            sides: tuple[list[int], list[int]] = ([], [])
            for place in range(begin, end):
                sides[orders[place] % 2].append(place)
            n = min(map(len, sides))
            keep += sides[0][n:] + sides[1][n:]
        return table.take(load_extra("pyarrow").array(keep, "int64"))


def _pair(one: dict[str, Any] | None, other: dict[str, Any] | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for side, row in (("a", one), ("b", other)):
        if row is not None:
            found[side] = row[ORDER] // 2
            found |= {f"{name}_{side}": row[name] for name in FIELDS}
    if one and other:
        changed = [name for name in FIELDS if one[name] != other[name]]
        found["changed"] = " ".join([*(["text"] if one[TEXT] != other[TEXT] else []), *changed])
    else:
        found[TEXT] = (one or other or {})[TEXT]
    return found


@dataclass(frozen=True, slots=True)
class _Matched:
    engine: Engine
    folders: tuple[Path, Path]

    def count(
        self, n_samples: int
    ) -> tuple[dict[str, int], dict[str, dict[str, int]], dict[str, list[tuple[int | None, int | None]]]]:
        """Match by id, then what is alone by text; count kinds and moves, and choose samples."""
        units = [(side, unit) for side, folder in enumerate(self.folders) for unit in folder_units(folder)]
        counts: Counter[str] = Counter(same=0)
        moves: dict[str, Counter[str]] = {name: Counter() for name in FIELDS if name != "cluster"}
        places: dict[str, list[tuple[int | None, int | None]]] = {}

        def tell(kind: str, row: Mapping[str, Any]) -> None:
            counts[kind] += 1
            if kind != "same":
                chosen = places.setdefault(kind, [])
                chosen.append((row["a"], row["b"]))
                chosen.sort(key=lambda pair: [-1 if place is None else place for place in pair])
                del chosen[n_samples:]

        read = self.engine.read(units, ReadKeys(self._shared_fields()))
        for row in _rows(read.group(KEY, Match(KEY))):
            if row["changed"] is None:
                continue  # alone: matched by its text below
            changed = row["changed"].split()
            for kind in changed or ["same"]:
                tell(kind, row)
            for name in set(changed) & set(moves):
                moves[name][f"{row[f'{name}_a']} → {row[f'{name}_b']}"] += 1
        for row in _rows(read.group(KEY, Alone()).group(TEXT, Match(TEXT))):
            if row["changed"] is not None:
                tell("renamed", row)
            else:
                tell("only in A" if row["b"] is None else "only in B", row)
        return (
            dict(counts),
            {name: dict(found.most_common(20)) for name, found in moves.items() if found},
            places,
        )

    def _shared_fields(self) -> tuple[str, ...]:
        """Fields that both folders have: a column that came with a stage changes no document."""
        schemas = [
            {name for path in document_files(folder) for name in _columns(path)} for folder in self.folders
        ]
        return tuple(name for name in FIELDS if all(name in schema for schema in schemas))


def _columns(path: Path) -> list[str]:
    return list(load_extra("pyarrow.parquet").read_schema(path).names)


def _rows(tables: Any) -> Iterator[dict[str, Any]]:
    for table in tables:
        yield from table.to_pylist()


def _hash(value: str | None) -> bytes:
    return hashlib.blake2b((value or "").encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _sample(folders: tuple[Path, Path], a: int | None, b: int | None) -> dict[str, Any]:
    """Return one change as a person wants to see it."""
    rows = [row_at(folder, place) for folder, place in zip(folders, (a, b), strict=True)]
    one, other = rows
    known = one or other or {}
    shown = {"id": known.get("id"), "source": known.get("source")}
    if one and other:
        if one["id"] != other["id"]:
            shown["id"] = f"{one['id']} → {other['id']}"
        for name in FIELDS:
            if one.get(name) != other.get(name):
                shown[name] = f"{one.get(name)} → {other.get(name)}"
        if one["text"] != other["text"]:
            shown["text"] = changed_words(one["text"], other["text"])
            return shown
    return {**shown, "text": known.get("text", "")[:200]}


def row_at(folder: Path, place: int | None) -> dict[str, Any] | None:
    """Return the document at a place of a folder, counted from 0."""
    if place is None:
        return None
    pq = load_extra("pyarrow.parquet")
    for path, group, first in reversed(folder_units(folder)):
        if place >= first:
            with pq.ParquetFile(path) as parquet:
                table = parquet.read_row_group(group).slice(place - first, 1)
            return dict(table.to_pylist()[0])
    raise DataError(f"{folder} has no document {place}", fix="the folder changed while it was read")


def changed_words(one: str, other: str, limit: int = 3) -> str:
    """Return the first changes of a text, words or characters, in their surroundings.

    changed_words("a b c", "a x c") -> "a [-b-]{+x+} c"
    """
    split = list if is_unspaced(one) else _TOKEN.findall
    left, right = split(one)[:DIFF_TOKENS], split(other)[:DIFF_TOKENS]
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    parts: list[str] = []
    for kind, i, end_i, j, end_j in matcher.get_opcodes():
        if kind == "equal":
            continue
        if len(parts) == limit:
            parts.append("")
            break
        gone, come = "".join(left[i:end_i])[:80], "".join(right[j:end_j])[:80]
        before, after = "".join(left[max(0, i - CONTEXT) : i]), "".join(left[end_i : end_i + CONTEXT])
        mark = (f"[-{gone}-]" if gone else "") + (f"{{+{come}+}}" if come else "")
        parts.append(f"{before}{mark}{after}")
    return " … ".join(parts) or "(a change beyond the part that is compared)"


def _side_by_side(name: str, folders: Sequence[Path]) -> dict[str, list[int]]:
    """Documents of each value of a column, in A and in B."""
    found: dict[str, list[int]] = {}
    for side, folder in enumerate(folders):
        manifest = Manifest.read(folder)
        facts = manifest.facts if manifest else {}
        table = facts.get({"split": "splits"}.get(name, f"{name}s"), {})
        for value, n in table.items():
            row = found.setdefault(value, [0, 0])
            row[side] = n if isinstance(n, int) else n.get("documents", 0)
    return {value: row for value, row in found.items() if row[0] != row[1]}


def _making(a: Path, b: Path) -> dict[str, list[Any]]:
    """What differs in how the folders were made."""
    one, other = Manifest.read(a), Manifest.read(b)
    if one is None or other is None:
        return {}
    found: dict[str, list[Any]] = {}
    if one.stage != other.stage:
        found["stage"] = [one.stage, other.stage]
    else:
        mine, its = _flat(one.settings), _flat(other.settings)
        for name in sorted(mine.keys() | its.keys()):
            if mine.get(name) != its.get(name):
                found[name] = [mine.get(name), its.get(name)]
    for name in sorted(one.inputs.keys() | other.inputs.keys()):
        entries = [m.inputs.get(name, {}) for m in (one, other)]
        if entries[0].get("key") != entries[1].get("key"):
            found[f"input {name}"] = [entry.get("path") for entry in entries]
    if one.code != other.code and one.stage == other.stage:
        found["code"] = [one.code[:8], other.code[:8]]
    return found


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested settings by dotted names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{before}{name}.")
        else:
            found[before + name] = value
    return found
