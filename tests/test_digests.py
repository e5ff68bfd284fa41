"""The same bits as before: counts, vectors, answers, optimizer steps and state dictionaries against stored digests."""

from __future__ import annotations

import json

import digests
import numpy as np
import pytest

STORED = json.loads(digests.STORED.read_text("utf-8"))


@pytest.fixture(scope="module")
def found():
    return digests.local()


def test_what_is_read_and_counted_is_the_same_bytes_on_every_machine():
    assert digests.portable() == STORED["portable"]


@pytest.mark.parametrize("name", STORED["numbers"])
def test_a_result_is_what_it_was(found, name):
    """To the bit where this processor's digest is stored; everywhere to the digits that another order of sums leaves alone."""
    digest, numbers = found[name]
    assert numbers == pytest.approx(STORED["numbers"][name], rel=1e-2, abs=1e-3)
    assert np.isfinite(numbers).all()
    assert digest == STORED["hosts"].get(digests.host(), {}).get(name, digest)


def test_every_result_that_was_stored_is_still_made(found):
    assert set(found) == set(STORED["numbers"])
    assert all(set(kept) == set(found) for kept in STORED["hosts"].values())
