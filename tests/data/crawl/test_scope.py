from __future__ import annotations

from typing import Any

import pytest

from luban.data.crawl.scope import Scope
from luban.data.crawl.settings import CrawlSettings
from luban.data.crawl.urls import parse_url
from luban.errors import ConfigError


def scope(*seeds: str, **settings: Any) -> Scope:
    return Scope(CrawlSettings(**settings), [parse_url(s) for s in seeds or ("http://a.example/",)])


def objection(scope: Scope, url: str, depth: int = 1) -> str:
    found = scope.objection(parse_url(url), depth)
    if not found:
        scope.count(parse_url(url))
    return found


def test_hosts_are_those_of_the_seeds_or_those_named() -> None:
    assert objection(scope(), "http://a.example/x") == ""
    assert objection(scope(), "http://www.a.example/x") == "off host"
    wide = scope(hosts=("*.b.example",))
    assert objection(wide, "http://b.example/") == objection(wide, "http://x.y.b.example/") == ""
    assert objection(wide, "http://xb.example/") == objection(wide, "http://a.example/") == "off host"


def test_a_seed_may_lead_to_its_own_domain_only() -> None:
    wide = scope()
    assert wide.widen("a.example", "www.a.example")
    assert objection(wide, "http://www.a.example/") == ""
    assert not wide.widen("a.example", "evil.example")
    assert not wide.widen("a.example", "example")


def test_ports_are_the_usual_ones_and_those_of_the_seeds() -> None:
    found = scope("http://a.example:8080/")
    assert objection(found, "http://a.example:8080/x") == objection(found, "https://a.example/") == ""
    assert objection(found, "http://a.example:22/") == "port 22"


def test_bounds_on_depth_length_and_form() -> None:
    found = scope(max_depth=2, max_url_chars=100, max_segments=5)
    assert objection(found, "http://a.example/x", depth=3) == "too deep"
    assert objection(found, "http://a.example/" + "x" * 100) == "address too long"
    assert objection(found, "http://a.example/1/2/3/4/5/6") == "path too deep"
    assert objection(found, "http://a.example/a/b/a/a/a") == "path repeats itself"
    assert objection(found, "http://a.example/a/b/a/c/a") == ""


def test_variants_of_a_query_and_of_numbers_are_counted() -> None:
    found = scope(max_query_variants=2, max_number_variants=3)
    assert [objection(found, f"http://a.example/c?d={i}") for i in range(3)] == ["", "", "too many variants"]
    assert objection(found, "http://a.example/d?d=1") == ""
    days = [f"http://a.example/2026/{month}/{day}" for month in (1, 2) for day in (1, 2)]
    assert [objection(found, day) for day in days] == ["", "", "", "too many variants"]


@pytest.mark.parametrize(
    "settings",
    [
        {"include": ("(",)},
        {"exclude": ("[",)},
        {"allow_networks": ("10.0.0.0/99",)},
        {"allow_hosts": ("127.0.0.1:80",)},
        {"hosts": ("http://a.example",)},
    ],
)
def test_patterns_and_networks_that_are_none_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="is no"):
        CrawlSettings(**settings)
