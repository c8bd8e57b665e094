"""What stands out in a small window is as rare as promised, beside exact tails."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sketches.striking import bernoulli


def binomial_tail(records: int, least: int, share: float) -> float:
    """Chance of ``least`` or more."""
    return math.fsum(
        math.comb(records, k) * share**k * (1 - share) ** (records - k)
        for k in range(least, records + 1)
    )


@given(st.integers(1, 60), st.data())
def test_a_share_is_no_more_likely_than_its_divergence_allows(
    records: int, data: st.DataObject
) -> None:
    share = data.draw(st.floats(1e-6, 0.9))
    count = data.draw(st.integers(math.ceil(share * records), records))
    seen = np.array([count / records])
    nats = records * float(bernoulli(seen, np.array([share]))[0])
    assert binomial_tail(records, count, share) <= math.exp(-nats) * (1 + 1e-9) + 1e-300
    # The other side is the same with the rest.
    other = records * float(bernoulli(1 - seen, np.array([1 - share]))[0])
    assert math.isclose(nats, other, rel_tol=1e-6, abs_tol=1e-9)
