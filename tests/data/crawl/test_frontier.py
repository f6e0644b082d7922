from __future__ import annotations

import time
from pathlib import Path

from luban.data.crawl.frontier import Frontier, Outcome, monotonic_clock, wall_clock
from luban.data.crawl.hosts import Hosts
from luban.data.crawl.urls import Url, parse_url


def url(number: int, host: str = "a.example") -> Url:
    return parse_url(f"http://{host}/{number}")


def test_nothing_counts_before_it_is_committed_and_everything_after(tmp_path: Path) -> None:
    frontier = Frontier(tmp_path / "f.sqlite")
    entry = frontier.add(url(1), "page", 0, 0, 0)
    assert frontier.is_known(url(1).key)
    assert Frontier(tmp_path / "f.sqlite").state_of(url(1).key) is None
    frontier.start(entry)
    frontier.commit(committed=(0, 10))
    frontier.finish(entry, Outcome("fetched", "stored", digest="d", fetched="t"), attempts=1)
    assert Frontier(tmp_path / "f.sqlite").state_of(url(1).key) == (1, "in flight", "")
    assert frontier.state_of(url(1).key) == (1, "fetched", "stored")
    assert frontier.first_with("d") == ("http://a.example/1", "t")
    frontier.commit(committed=(0, 20))
    again = Frontier(tmp_path / "f.sqlite")
    assert again.counts() == {("fetched", "stored"): 1}
    assert again.mark("committed") == (0, 20)
    assert again.first_with("d") == ("http://a.example/1", "t")
    assert again.add(url(2), "page", 0, 0, 0).id == 2


def test_pace_outlives_the_process_but_not_a_clock_that_jumped() -> None:
    soon = time.monotonic() + 5
    assert abs(monotonic_clock(wall_clock(soon), longest=60) - soon) < 0.5
    assert monotonic_clock(time.time() + 1e6, longest=60) <= time.monotonic() + 60


def test_hosts_take_turns_and_load_what_does_not_fit_in_memory(tmp_path: Path) -> None:
    frontier = Frontier(tmp_path / "f.sqlite")
    hosts = Hosts(frontier, 1, frontier.commit)
    for i in range(1200):
        hosts.add(frontier.add(url(i), "page", 0, 0, 0))
    hosts.add(frontier.add(url(0, "b.example"), "page", 0, 0, 0))
    assert [h.name for h in hosts.turns()] == ["a.example", "b.example"]
    host = hosts.get("a.example")
    assert len(host.queue) == 500
    taken = []
    while (entry := hosts.take(host)) is not None:
        frontier.start(entry)
        taken.append(entry.url.text)
    assert taken == [url(i).text for i in range(1200)]


def test_a_host_waits_for_its_time_and_for_its_new_tries(tmp_path: Path) -> None:
    frontier = Frontier(tmp_path / "f.sqlite")
    hosts = Hosts(frontier, 1, frontier.commit)
    entry = frontier.add(url(1), "page", 0, 0, 0)
    hosts.retry(entry, time.monotonic() + 0.05)
    assert list(hosts.turns()) == []
    assert hosts.take(hosts.get("a.example")) is None
    time.sleep(0.06)
    assert [h.name for h in hosts.turns()] == ["a.example"]
    assert hosts.take(hosts.get("a.example")) == entry
    assert not hosts.has_work()
