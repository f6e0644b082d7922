"""The frame of a page: its style, its script, and a policy that lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from luban.report.markup import Html, element

STATIC = Path(__file__).parent / "static"


def document(title: str, body: Html) -> str:
    """Return a page that asks nothing of any network."""
    script, style = _static("page.js"), _static("page.css")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("link", rel="icon", href="data:,"),
        element("style", style),
        element("script", script),
    )
    return "<!doctype html>\n" + element("html", head, body, lang="en")


def _static(name: str) -> Html:
    return Html((STATIC / name).read_text("utf-8"))


def _policy(script: str) -> str:
    """Allow this page's own script and nothing from anywhere else, whatever slipped into the page."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
