"""The campaign in the sizes of `make test`. The seed is the day, so that trials differ and can be repeated."""

from __future__ import annotations

import datetime
import os

import pytest

from campaign import CI, campaign, shares, table
from trial import Result

# Any number; CAMPAIGN_SEED repeats a campaign.
SEED = int(os.environ.get("CAMPAIGN_SEED") or datetime.date.today().toordinal())


@pytest.fixture(scope="session")
def results() -> list[Result]:
    found = campaign(CI, SEED, ["local", "s3"])
    print("\n" + table(found))
    return found


@pytest.mark.parametrize(("test", "store"), [(test, store) for test, store, _ in sorted(shares(CI, ["local", "s3"]))])
def test_no_trial_fails(results: list[Result], test: str, store: str) -> None:
    result = next(result for result in results if (result.test, result.store) == (test, store))
    assert result.trials >= CI[test] // 2
    assert not result.failures, f"seed {result.seed}: {result.failures}"
