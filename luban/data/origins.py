"""Where files come from: licences, names and languages that a SOURCES.yaml gives by file pattern.

A SOURCES.yaml beside raw files::

    "*.html": {licence: GPL-2+, source: Debian Reference, language: en}
    "novels/*": {licence: public domain, source: novels printed before 1900}
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from luban.config import fill, load_yaml
from luban.data.readers.licences import read_licence

ORIGINS_FILE = "SOURCES.yaml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """What is known of a file besides its text."""

    licence: str | None = None
    """Licence of the text, as an SPDX identifier where there is one."""
    source: str | None = None
    """Name of the source for people."""
    language: str | None = None
    """ISO 639-1 code; left out, the language is detected."""


@dataclass(slots=True)
class Origins:
    """Finds a file's origin: the nearest SOURCES.yaml at or above it, its first pattern that fits."""

    root: Path
    _licences: dict[Path, str | None] = field(default_factory=dict)
    _read: dict[Path, list[tuple[str, Origin]]] = field(default_factory=dict)

    def of(self, path: Path) -> Origin:
        """Return the origin of a file below the root.

        Where no pattern gives a licence, the nearest licence file at or above it does.
        """
        origin = self._named(path)
        return origin if origin.licence else replace(origin, licence=self._licence(path.parent))

    def _licence(self, folder: Path) -> str | None:
        if folder not in self._licences:
            above = folder != self.root and folder != folder.parent
            self._licences[folder] = read_licence(folder) or (self._licence(folder.parent) if above else None)
        return self._licences[folder]

    def _named(self, path: Path) -> Origin:
        folder = path.parent
        while True:
            for pattern, origin in self._patterns(folder):
                relative = path.relative_to(folder).as_posix()
                if fnmatch(relative, pattern) or PurePosixPath(relative).match(pattern):
                    return origin
            if folder == self.root or folder == folder.parent:
                return Origin()
            folder = folder.parent

    def _patterns(self, folder: Path) -> list[tuple[str, Origin]]:
        if folder not in self._read:
            path = folder / ORIGINS_FILE
            tree = load_yaml(path) if path.is_file() else None
            self._read[folder] = (
                [(glob, fill(Origin, tree.branch(glob), f"{path}: {glob}")) for glob in tree.data]
                if tree
                else []
            )
        return self._read[folder]
