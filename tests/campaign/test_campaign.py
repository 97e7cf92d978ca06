"""The campaign in the sizes of `make test`. The seed is the day, so that trials differ and can be repeated."""

from __future__ import annotations

import datetime
import os

import pytest

from campaign import CI, campaign, table
from trial import Result

# Any number; CAMPAIGN_SEED repeats a campaign.
SEED = int(os.environ.get("CAMPAIGN_SEED") or datetime.date.today().toordinal())


PIECES = [(test, store, trials) for test, stores in CI.items() for store, trials in stores.items()]


@pytest.fixture(scope="session")
def results() -> list[Result]:
    found = campaign(PIECES, SEED)
    print("\n" + table(found))
    return found


@pytest.mark.parametrize(("test", "store", "trials"), PIECES)
def test_no_trial_fails(results: list[Result], test: str, store: str, trials: int) -> None:
    result = next(result for result in results if (result.test, result.store) == (test, store))
    assert not result.failures, f"seed {result.seed}: {result.failures}"
    assert result.trials == trials
