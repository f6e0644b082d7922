"""Which licence a licence file is: an SPDX identifier, told by phrases that only that licence has."""

from __future__ import annotations

import re
from pathlib import Path

LICENCE_NAMES = frozenset(("license", "licence", "copying", "unlicense", "license-mit", "license-apache"))
"""Names of licence files, in lower case and without a suffix."""
_BYTES = 100_000
_SPDX = re.compile(r"SPDX-License-Identifier:\s*([A-Za-z0-9.+-]+(?: (?:OR|AND|WITH) [A-Za-z0-9.+-]+)*)")
# The first that has all its phrases; text in lower case, white space as one space.
_PHRASES = (
    ("AGPL-3.0", ("gnu affero general public license", "version 3")),
    ("LGPL-3.0", ("gnu lesser general public license", "version 3")),
    ("LGPL-2.1", ("gnu lesser general public license", "version 2.1")),
    ("GPL-3.0", ("gnu general public license", "version 3, 29 june 2007")),
    ("GPL-2.0", ("gnu general public license", "version 2, june 1991")),
    ("Apache-2.0", ("apache license", "version 2.0")),
    ("MPL-2.0", ("mozilla public license", "2.0")),
    ("EPL-2.0", ("eclipse public license", "2.0")),
    ("MulanPSL-2.0", ("mulan", "v2")),
    ("BSL-1.0", ("boost software license",)),
    ("CC0-1.0", ("cc0 1.0 universal",)),
    ("CC-BY-NC-SA-4.0", ("attribution-noncommercial-sharealike 4.0",)),
    ("CC-BY-NC-ND-4.0", ("attribution-noncommercial-noderivatives 4.0",)),
    ("CC-BY-NC-4.0", ("attribution-noncommercial 4.0",)),
    ("CC-BY-SA-4.0", ("attribution-sharealike 4.0",)),
    ("CC-BY-SA-3.0", ("attribution-sharealike 3.0",)),
    ("CC-BY-ND-4.0", ("attribution-noderivatives 4.0",)),
    ("CC-BY-4.0", ("attribution 4.0 international",)),
    ("Unlicense", ("this is free and unencumbered software released into the public domain",)),
    ("WTFPL", ("do what the fuck you want to public license",)),
    (
        "Zlib",
        ("in no event will the authors be held liable", "altered source versions must be plainly marked"),
    ),
    ("BSD-3-Clause", ("redistribution and use in source and binary forms", "neither the name")),
    ("BSD-2-Clause", ("redistribution and use in source and binary forms",)),
    ("ISC", ("permission to use, copy, modify, and", "distribute this software for any purpose")),
    ("MIT", ("permission is hereby granted, free of charge", "without restriction")),
    ("PSF-2.0", ("python software foundation license",)),
)


def read_licence(folder: Path) -> str | None:
    """Return the licence that a folder's licence file gives, as far as it is known."""
    try:
        paths = sorted(p for p in folder.iterdir() if p.stem.lower() in LICENCE_NAMES and p.is_file())
        texts = [path.read_bytes()[:_BYTES].decode("utf-8", "replace") for path in paths]
    except OSError:
        return None  # reading the folder will tell
    return next((licence for text in texts if (licence := guess_licence(text))), None)


def guess_licence(text: str) -> str | None:
    """Return the SPDX identifier of a licence's text; None if it is not known.

    guess_licence("Permission is hereby granted, free of charge, ... without restriction") -> "MIT"
    """
    named = _SPDX.search(text)
    if named:
        return named[1]
    flat = " ".join(text.lower().split())
    return next((name for name, phrases in _PHRASES if all(p in flat for p in phrases)), None)
