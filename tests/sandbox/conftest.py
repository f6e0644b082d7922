"""Whether this machine has a sandbox."""

from __future__ import annotations

import shutil

import pytest

from luban.sandbox import run_in_sandbox


@pytest.fixture(scope="session")
def sandbox() -> None:
    """Skip where programs cannot be confined. Nothing of these tests ever runs outside."""
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    outcome = run_in_sandbox({"main.py": ""}, ["main.py"])
    if outcome.verdict != "ok":
        pytest.skip(f"this machine lets nobody make a sandbox: {outcome.problem}")
