"""A device that is not there is refused in words, before anything is computed."""

from __future__ import annotations

import pytest
import torch

from luban.device import choose_device
from luban.errors import ConfigError
from luban.plan.memory import room

ABSENT = "mps" if torch.cuda.is_available() else "cuda"


@pytest.mark.parametrize("name", [ABSENT, f"{ABSENT}:7", "potato", "meta", ""])
def test_a_device_that_is_not_there_is_refused_with_what_is_there(name: str) -> None:
    for choose in (choose_device, room):
        with pytest.raises(ConfigError, match=f"device = {name} is not on this machine") as refused:
            choose(name)
        assert "auto, cpu" in refused.value.fix


def test_a_number_beyond_the_accelerators_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    assert choose_device().type == "cuda"
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ConfigError) as refused:
        choose_device("cuda:2")
    assert refused.value.fix == "use one of: auto, cpu, cuda, cuda:0, cuda:1"


def test_the_cpu_is_always_there() -> None:
    assert choose_device("cpu") == torch.device("cpu")
