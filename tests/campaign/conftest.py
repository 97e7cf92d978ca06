"""The campaign needs the binary, and says so before it begins."""

import os

import pytest


def pytest_configure():
    if not os.environ.get("BATCH_INFER_BIN"):
        pytest.exit("BATCH_INFER_BIN does not name the binary; run `make test`", returncode=2)
