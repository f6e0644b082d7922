"""One line per event: plain text for people on stderr, JSON lines on stdout for programs."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Log:
    """Where a library call reports. `Log()` talks to people, `Log(as_json=True)` to programs."""

    as_json: bool = False
    quiet: bool = False

    def say(self, text: str, **fields: Any) -> None:
        """Report progress: `text` for people, or a JSON line with `fields` for programs."""
        if self.quiet:
            return
        if self.as_json:
            self.result({"event": text, **fields})
        else:
            print(text, file=sys.stderr, flush=True)

    def warn(self, text: str, **fields: Any) -> None:
        """Report something that the user should know of, though the work goes on."""
        self.say(f"warning: {text}", **fields)

    def result(self, value: Any) -> None:
        """Print one JSON line to stdout."""
        print(json.dumps(value, ensure_ascii=False, default=str), flush=True)

    @property
    def live(self) -> bool:
        """Whether a moving display makes sense here."""
        return not self.as_json and not self.quiet and sys.stderr.isatty()
