from __future__ import annotations

from consumer.admission import Admission
from consumer.batch import RecordKey
from consumer.settings import Limits


def test_the_first_ones_are_kept_and_the_rest_joins_other() -> None:
    admission = Admission(Limits(models=2, versions=2, segments=1))
    for key, kept, cut in [
        (("a", "1", ""), ("a", "1", ""), ()),
        (("b", "1", "eu"), ("b", "1", "eu"), ()),
        (("c", "1", "eu"), ("other", "", ""), ("models",)),
        (("a", "2", ""), ("a", "2", ""), ()),
        (("a", "3", ""), ("a", "other", ""), ("versions",)),
        (("b", "2", "us"), ("b", "2", "other"), ("segments",)),
        (("a", "3", "us"), ("a", "other", "other"), ("versions", "segments")),
        (("a", "1", ""), ("a", "1", ""), ()),
    ]:
        assert admission.admit(RecordKey(*key)) == (RecordKey(*kept), cut)


def test_keys_without_end_need_no_memory() -> None:
    limits = Limits(models=3, versions=2, segments=2)
    admission = Admission(limits)
    kept = {admission.admit(RecordKey(f"m{i % 50}", f"v{i}", f"s{i}"))[0] for i in range(5_000)}
    assert len(kept) <= limits.models * (limits.versions + 1) * (limits.segments + 1) + 1
