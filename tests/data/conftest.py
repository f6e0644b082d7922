"""A small cluster on this machine, started once for all the tests of a process."""

import logging
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """Two workers; engines that are opened meanwhile use them."""
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray warns of its own settings
        for name in ("RAY_USAGE_STATS_ENABLED", "RAY_DATA_DISABLE_PROGRESS_BARS"):
            patch.setenv(name, str(int(name.startswith("RAY_DATA"))))
        patch.setenv("RAY_AUTH_MODE", "disabled")  # else it writes a key to the home folder
        import ray

        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        yield
        ray.shutdown()
