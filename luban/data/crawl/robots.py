"""What robots.txt allows (RFC 9309), and for how long its answer holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MAX_BYTES = 500 * 1024
"""Longest part of a robots.txt that is read (RFC 9309, section 2.5)."""


@dataclass(frozen=True, slots=True)
class Robots:
    """The rules of one origin."""

    text: str
    read_at: float
    """Unix seconds."""
    unreachable: str = ""
    """Why everything is disallowed for now (RFC 9309, section 2.3.1.4)."""
    again_at: float = 0.0
    """Unix seconds after which to try again, for a copy that is held because no newer one could be read."""
    _rules: list[Any] = field(default_factory=list, compare=False)

    def allows(self, url: str, agent: str) -> bool:
        """Whether the crawler named `agent` may fetch the address."""
        return not self.unreachable and (not self.text or self.rules.can_fetch(url, agent))

    def delay(self, agent: str) -> float:
        """Seconds asked for between two requests (Crawl-delay), 0 if none."""
        return float((self.rules.crawl_delay(agent) or 0) if self.text else 0)

    def sitemaps(self) -> list[str]:
        """Return the addresses of the sitemaps named, as they are written."""
        return list(self.rules.sitemaps) if self.text else []

    @property
    def rules(self) -> Any:
        """The parsed rules."""
        if not self._rules:
            from protego import Protego

            self._rules.append(Protego.parse(self.text))
        return self._rules[0]


def read_robots(body: bytes) -> str:
    """Return the text of a robots.txt, cut at the limit behind a whole line."""
    if len(body) > MAX_BYTES:
        body = body[:MAX_BYTES]
        body = body[: max(body.rfind(b"\n"), body.rfind(b"\r")) + 1]
    return body.decode("utf-8-sig", errors="replace")


def agent_token(user_agent: str) -> str:
    """Return the name that robots.txt lines are compared with.

    agent_token("Luban/1.0 (+https://example.org)") -> "Luban"
    """
    return user_agent.partition("/")[0].split(" ")[0]
