"""The binary is named by the Makefile, as for the other tests in Python."""

import os

import pytest


def pytest_configure():
    if not os.environ.get("BATCH_INFER_BIN"):
        pytest.exit("BATCH_INFER_BIN does not name the binary; run `make test`", returncode=2)


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A folder for what a test session compiles once."""
    return tmp_path_factory.mktemp("built")
