import pytest

from luban.native import tensors as native


@pytest.fixture
def kernels(own_home):
    """Built and loaded, or the test is skipped."""
    if not native.is_available():
        pytest.skip("there is no C++ compiler here")
