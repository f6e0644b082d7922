"""Processes that the tests of several ranks share."""

from collections.abc import Iterator

import pytest

from tests.train.crew import Crew


@pytest.fixture(scope="session")
def crew() -> Iterator[Crew]:
    made = Crew()
    yield made
    made.close()
