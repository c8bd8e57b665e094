"""A new version of a model starts from its parent's baseline, until an operator gives it another.

What is different from its first window on came with the version and not with time, so it wakes
nobody: it is told, as a warning, beside the version that brought it. Faults of the inputs that no
version brings on purpose stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from .baseline import Baseline
from .budget import Thresholds
from .changed import Finding
from .expectation import Expectation
from .prior import Prior
from .stream import GIVEN, Name, Stream
from .telling import Telling
from .watch import Watch

SWITCH: Final = 3_600_000_000  # microseconds: what begins so soon after a version came with it


def inherited(
    streams: Mapping[Name, Stream],
    name: tuple[str, str],
    start: int,
    prior: Prior | None,
    thresholds: Callable[[Baseline], tuple[Thresholds, Thresholds]],
) -> Stream | None:
    """The stream of a new version as its parent's goes on; None: it has none.

    The parent is the version of the same segment that had data last, compared with the same given
    baseline if there is one. The noise and the expectation are the parent's too, and no detector
    has seen anything.

    Args:
        streams: All of the model.
        name: Version and segment.
        start: Start of the version's first window, microseconds.
        prior: The given baseline that holds for it.
        thresholds: From the budget.
    """
    found: list[tuple[int, bool, str]] = []
    for other, stream in streams.items():
        if other is None or other[1] != name[1] or other[0] == name[0]:
            continue
        if stream.watch is None or stream.baseline is None or stream.baseline.reference is None:
            continue
        if prior is None or stream.baseline.id == prior.id:
            found.append((stream.end, other[2:] == (GIVEN,), other[0]))
    if not found:
        return None
    _, given, version = max(found)
    parent = streams[(version, name[1], GIVEN) if given else (version, name[1])]
    if parent.watch is None or parent.baseline is None:
        return None
    stream = Stream(start, True)
    stream.learner, stream.parent = None, version
    stream.source = (parent.source or version) if prior is None else None
    stream.baseline = baseline = parent.baseline
    stream.telling = Telling(baseline.layout)
    expectation = Expectation.restore(parent.watch.expectation.state())
    expectation.days.begin()
    stream.watch = Watch(
        parent.watch.noise,
        expectation,
        baseline.by_records,
        baseline.layout.is_hard(),
        thresholds(baseline),
        baseline.block_length,
    )
    return stream


def tempered(stream: Stream, finding: Finding) -> Finding:
    """The finding; of a version's own making a warning at most."""
    if stream.parent is None or stream.baseline is None or not finding.critical:
        return finding
    layout = stream.baseline.layout
    own = layout.features[finding.signal].startswith("@")
    soft = not layout.is_hard()[finding.signal]
    if finding.onset < stream.since + SWITCH and (own or soft):
        return finding._replace(critical=False)
    return finding
