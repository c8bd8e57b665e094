"""Windows too small to be tested by themselves that show what chance does not.

A block waits until there are enough records to test soft signals. What a fault does shows in fewer:
a window of a dozen records of which half are null is one in a million. Such a window is a block of
its own: the fault is not thinned out by the windows before it, and two such windows are two blocks,
which is what it takes to tell a change. Nothing is told by this alone.

Of n records of which a share p is expected to have a property, a share q or more has it with a
probability of exp(-n KL(q, p)) at most, where records are independent; what a stream adds to the
variance (over-dispersion) counts as if there were fewer of them.

Sources: Chernoff, Annals of Mathematical Statistics 23 (1952); effective sizes of over-dispersed
counts as in McCullagh and Nelder, "Generalized Linear Models" (1989).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from .blocks import Block
from .residuals import Noise
from .signals import measure, measure_model
from .stream import Stream
from .table import FloatArray, IntArray

# Windows of a signal among which chance has at most one that stands out. It is no false alarm but
# makes a block shorter.
_RARE: Final = 1_000.0
_LEAST: Final = 10  # records that it takes, as to speak of a stuck value or a typical one
# What values do by themselves, now and then, is left out; so is the volume, of which the noise is
# known over blocks, that even out the edges of a day.
_ASKED: Final = (
    "missing",
    "kind",
    "non_finite",
    "stuck",
    "magnitude",
    "unseen",
    "rejects",
)


def strikes(stream: Stream, block: Block) -> bool:
    """Whether a window shows by itself what only a fault does.

    Args:
        stream: Watched, or not yet.
        block: The window alone.
    """
    baseline, watch, gates = stream.baseline, stream.watch, stream.gates
    if baseline is None or watch is None or gates is None or block.messages < _LEAST:
        return False
    values = measure_model(block)
    if baseline.reference is not None:
        values = measure(baseline.reference, block.profile())[0]
    asked = baseline.layout.is_signal(*_ASKED) & gates.tested
    asked[watch.changed] = False
    expected = watch.expectation.ahead((block.start + block.end) // 2)
    far = np.abs(values - expected) > np.where(values > expected, *gates.warning)
    at = np.flatnonzero(asked & far)
    if not len(at):
        return False
    found = surprise(values[at], expected[at], float(block.messages), watch.noise, at)
    return bool((found > math.log(_RARE)).any())


def is_full(stream: Stream, block: Block, enough: int) -> bool:
    """Whether a block has enough records, or a model as a whole has had the time for as many.

    Were a lull to wait for its records, it would be told the later the deeper it is.
    """
    if block.messages >= enough:
        return True
    span = block.by_hour()
    return stream.watch is not None and stream.watch.expectation.records(span) >= enough


def surprise(
    values: FloatArray, expected: FloatArray, records: float, noise: Noise, signals: IntArray
) -> FloatArray:
    """By how many nats what is seen is less likely than what is expected.

    Args:
        values: Shape (N,), shares, or logarithms of sizes.
        expected: Shape (N,).
        records: Behind them.
        noise: Of the baseline.
        signals: Shape (N,), their numbers.

    Returns:
        Shape (N,); chance has it as large with a probability of exp(-it) at most.
    """
    white, more = noise.white[signals], noise.extra[0, signals] + noise.uncertainty[signals]
    effective = 1 / (1 / records + more / white) / noise.factor[signals] ** 2
    least = np.minimum(white, 0.5)  # about p of a rare p; what was never seen may still be
    of_share = bernoulli(values, np.clip(expected, least, 1 - least))
    of_size = (values - expected) ** 2 / (2 * white)
    found: FloatArray = effective * np.where(noise.shares[signals], of_share, of_size)
    return found


def bernoulli(share: FloatArray, expected: FloatArray) -> FloatArray:
    """Kullback-Leibler divergence of one record, shape (N,), in nats; ``expected`` in (0, 1)."""
    q = np.clip(share, 0.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ones = np.where(q > 0, q * np.log(q / expected), 0.0)
        others = np.where(q < 1, (1 - q) * np.log((1 - q) / (1 - expected)), 0.0)
    found: FloatArray = ones + others
    return found
