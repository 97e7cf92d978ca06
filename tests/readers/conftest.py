"""Runs each job in `jobs/` once for the whole session; every test file then opens the same output."""

import os

import pytest

from published import JOB_FILES, Published


def pytest_configure():
    if not os.environ.get("BATCH_INFER_BIN"):
        pytest.exit("BATCH_INFER_BIN does not name the binary; run `make test`", returncode=2)


@pytest.fixture(scope="session", params=JOB_FILES, ids=lambda file: file.stem)
def published(request, tmp_path_factory):
    """A job's output, below a folder of its own."""
    return Published(request.param, tmp_path_factory.mktemp(request.param.stem))
