"""Archives: each member is read as a file of its own, and nothing is ever written under its name."""

from __future__ import annotations

import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import PurePosixPath
from typing import Any

from luban.data.encoding import Unreadable, guess
from luban.data.readers.licences import LICENCE_NAMES, guess_licence
from luban.data.readers.records import Blob, Broken, Counted, Found, Metered, Record, Spent

ReadMember = Callable[[Blob, str, Any], Found]
"""Takes the archive, a member's full name and its bytes."""
_LICENCE_BYTES = 100_000
_UNSAFE = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"^[A-Za-z]:")


def read_zip(blob: Blob, read_member: ReadMember) -> Found:
    """Yield what the members of a zip archive hold, in the order of its directory."""
    with blob.seekable() as stream:
        try:
            archive = zipfile.ZipFile(stream)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as e:
            raise Unreadable(f"broken zip: {e}") from None
        with archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
            names = Names(blob.name)
            licences = _zip_licences(blob, archive, members)
            for info in members:
                name = names.of(_zip_name(info))
                blob.budget.member()
                found = _zip_member(blob, archive, info, name, read_member)
                yield from _with_licence(found, licences, info.filename)


def read_tar(blob: Blob, read_member: ReadMember) -> Found:
    """Yield what the members of a tar archive hold, in order."""
    names = Names(blob.name)
    try:
        archive = tarfile.open(fileobj=blob.stream, mode="r|")  # noqa: SIM115
    except (tarfile.TarError, ValueError) as e:
        raise Unreadable(f"broken tar: {e}") from None
    with archive:
        while True:
            try:
                info = archive.next()
            except (tarfile.TarError, ValueError) as e:
                raise Unreadable(f"broken tar after {blob.budget.members} members: {e}") from None
            if info is None:
                return
            archive.members.clear()  # type: ignore[attr-defined]  # else all names stay in memory
            if info.isdir():
                continue
            name = names.of(info.name)
            blob.budget.member()
            stream = archive.extractfile(info) if info.isreg() else None
            if stream is None:
                yield Broken(name, None, "a link or a device in an archive, which is not followed")
            else:
                yield from read_member(blob, name, BufferedReader(Counted(stream), 1 << 18))


class Names:
    """Gives members names that are safe and different: `..`, drives and roots go, doubles are numbered."""

    def __init__(self, archive: str):
        self._archive = archive
        self._seen: dict[str, int] = {}

    def of(self, name: str) -> str:
        """Return a member's name as a source: archive/member."""
        name = own = safe_name(name)
        while own in self._seen:
            n = self._seen[name] = self._seen[name] + 1
            path = PurePosixPath(name)
            own = str(path.with_name(f"{path.stem}~{n}{path.suffix}"))
        self._seen[own] = 1
        return f"{self._archive}/{own}"


def safe_name(name: str) -> str:
    """Return a name that stays inside its folder.

    safe_name("../../etc/passwd") -> "etc/passwd"; safe_name("C:\\\\a\\\\b.txt") -> "a/b.txt"
    """
    name = _DRIVE.sub("", _UNSAFE.sub("_", name).replace("\\", "/"))
    name = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    return "/".join(parts) or "unnamed"


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Return the member's name; one without the UTF-8 flag is often in the packer's own encoding."""
    if info.flag_bits & 0x800 or info.filename.isascii():
        return info.filename
    try:
        raw = info.filename.encode("cp437")
    except UnicodeEncodeError:
        return info.filename
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode(guess(raw), "replace")


def _zip_member(
    blob: Blob, archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, read_member: ReadMember
) -> Found:
    if info.flag_bits & 1:
        yield Broken(name, None, "encrypted: it cannot be unpacked without its password")
        return
    try:
        stream = archive.open(info)
        meter = Metered(stream, blob.budget, max(info.compress_size, 1))
        yield from read_member(blob, name, meter)
        if isinstance(meter.error, Spent):
            raise meter.error
    except Spent:
        raise
    except (zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, OSError, EOFError) as e:
        yield Broken(name, None, f"cannot be unpacked: {e}")


def _zip_licences(blob: Blob, archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> dict[str, str]:
    found: dict[str, str] = {}
    for info in members[:100_000]:
        path = PurePosixPath(info.filename)
        if path.stem.lower() in LICENCE_NAMES and info.file_size <= _LICENCE_BYTES:
            blob.budget.unpack(info.file_size)
            try:
                text = archive.read(info)[:_LICENCE_BYTES].decode("utf-8", "replace")
            except (zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, OSError, EOFError):
                continue  # it is rejected when its turn comes
            licence = guess_licence(text)
            if licence:
                found.setdefault(str(path.parent), licence)
    return found


def _with_licence(found: Found, licences: dict[str, str], name: str) -> Iterator[Record | Broken]:
    """Add the licence of the nearest licence file above a member, in its row, where it has none."""
    parents = [str(p) for p in PurePosixPath(name).parents]
    licence = next((licences[p] for p in parents if p in licences), None)
    for one in found:
        if licence and isinstance(one, Record) and "licence" not in one.row and "license" not in one.row:
            row: dict[str, Any] = {**one.row, "licence": licence}
            one = Record(one.position, one.text, row, one.extra, one.line, one.file, one.source)
        yield one
