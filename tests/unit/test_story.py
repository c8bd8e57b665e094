"""What a person sees of incidents on a terminal of 80 columns, and what the profiles log adds."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from alerts.bars import bars, course, heights
from alerts.event_parts import Acknowledged
from alerts.events import Event, Opened, Resolved, to_message
from alerts.notices import limit_reached, no_data
from alerts.overview import Pending, table
from alerts.read import Incident, as_it_stands, read
from alerts.story import Seen, replays, story
from consumer.incident_profiles import Held, Span, Windows, compared, gathered, span, wanted
from consumer.incidents import NoSuchIncidentError, named
from consumer.plot import draw
from sketches import codec
from sketches.before_after import Comparison, compare
from sketches.profile import Profile, profile_table
from sketches.table import Table
from tests.alert_reports import HOUR, MINUTE, T0, Told, change, missing
from tests.fold_logs import W, profile

MIX = change(
    "carrier",
    "distance",
    direction="up",
    severity="warning",
    before=0.04,
    after=0.31,
    unit="distance",
    effect=0.27,
    effect_unit="distance",
    top=(("AA", 0.1, 0.45),),
)


def history() -> list[Event]:
    told = Told(watched=40)
    early = missing(onset=T0 - 20 * MINUTE)
    told.say(T0 + 10 * MINUTE, change(), early)
    told.say(T0 + 50 * MINUTE, MIX)
    told.say(T0 + 26 * HOUR, recovered=(change(), early, MIX))
    whom = {"owner": "risk-ml", "labels": {"team": "risk"}, "runbook": "https://wiki/credit-risk"}
    return [msgspec.structs.replace(event, **whom) for event in told.events]


def others() -> dict[str, Incident]:
    other = Told("fraud")
    other.say(T0 + 5 * MINUTE, change("amount", onset=T0 - 5 * MINUTE))
    told = [
        *history()[:2],
        *other.events,
        no_data("app", "predictions", "fraud", T0, T0 + HOUR),
        limit_reached("app", "predictions", "versions", None),
    ]
    return {each.id: each for each in read(to_message(event, "app") for event in told)}


def measured(income: float, aa: float, records: int = 500) -> Profile:
    values = income + np.linspace(-1.0, 1.0, records)[:, None] * 1_000
    many = round(aa * records)
    carriers: list[str | None] = ["AA" if at < many else "UA" for at in range(records)]
    return profile_table(
        Table(
            length=records,
            number_names=("income",),
            numbers=values,
            text_names=("carrier",),
            texts=(carriers,),
        )
    )


def test_a_table_of_incidents_fits_a_terminal() -> None:
    lines = table(others().values())
    assert [line.partition("#")[0] for line in lines] == lines
    assert lines[0] == "ID       SEVERITY STATE    CAUSE        SINCE             OWNER"
    rows = [line for line in lines[1:] if not line.startswith(" ")]
    assert [line[8:] for line in rows] == [
        " critical open     missing      2026-11-24T02:40Z risk-ml",
        " critical open     shift        2026-11-24T02:55Z -",
        " warning  open     volume       2026-11-24T03:00Z -",
        " warning  told     -            -                 -",
    ]
    assert lines[2:4] == [
        "  credit-risk v3: now 3 features: income down 52,000 → 18,000 (mean, -1.8 sd)",
        "    since 03:00Z; +2 more features",
    ]
    assert max(map(len, lines)) <= 80
    assert table([]) == ["no incidents"]


def test_a_table_has_colours_when_asked_only() -> None:
    plain, coloured = table(others().values()), table(others().values(), colour=True)
    assert not any("\x1b" in line for line in plain)
    assert coloured[1][8:].startswith(" \x1b[1;31mcritical open    \x1b[0m ")
    assert [re.sub("\x1b\\[[0-9;]*m", "", line) for line in coloured] == plain


def test_what_may_become_an_incident_is_listed_last_and_marked() -> None:
    changes = (missing(score=0.4), change(score=0.623), change(version="4", score=0.2), MIX)
    pending = Pending("predictions", "credit-risk", changes[:2])
    lines = table(others().values(), 80, [pending])
    assert [line.rstrip() for line in lines[-3:]] == [
        "-        -        pending  missing      2026-11-24T03:00Z -",
        "  credit-risk v3: income down 52,000 → 18,000 (mean, -1.8 sd), 62 % of what it",
        "    takes; age missing 0.2 % → 48 % (+48 points), 40 % of what it takes",
    ]
    more = " ".join(table([], 80, [pending._replace(changes=changes)])[1:])
    assert "credit-risk, 2 versions: carrier mix changed" in more
    assert "in v3, 62 % of what it" in more
    assert more.endswith("1 more")


def test_who_looks_after_it_and_that_nobody_is_to_be_called() -> None:
    opened = history()[0]
    assert isinstance(opened, Opened)
    said = Acknowledged(by="ana", why="looking", at="2026-11-24T03:20:00.000Z")
    acked = msgspec.structs.replace(opened, acknowledged=said)
    silenced = msgspec.structs.replace(acked, silenced="0" * 20)
    rows = [table([as_it_stands(event)])[1].split()[2] for event in (opened, acked, silenced)]
    assert rows == ["open", "acked", "silenced"]
    assert "acked     by ana at 2026-11-24T03:20Z: looking" in story([acked], [], Seen({}), [])


def test_the_story_of_one() -> None:
    before, after = measured(52_000, 0.1), measured(18_000, 0.45)
    found = {f: compare(before, after, f) for f in ("income", "carrier")}
    seen = Seen(
        {("3", "", f): one for f, one in found.items() if one is not None},
        "a note",
        [("2026-11-24T02:30:10.000Z", "4")],
        lengths=(HOUR, 24 * HOUR),
    )
    told = history()
    last = told[-1]
    again = replays(last, seen, "app", timedelta(days=1))
    lines = story(told, others().values(), seen, again)
    assert max(len(line) for line in lines if "streamgauge replay" not in line) <= 80
    text = "\n".join(lines)
    assert (
        f"#{last.incident}, critical, resolved, cause: missing\n"
        "likely    missing values: look at the source or the join that fills them\n"
        "against   baseline b1f29c0d77aa… of 10,000 records\n"
    ) in text
    assert "owner     risk-ml\nlabels    team=risk\nrunbook   https://wiki/credit-risk\n" in text
    assert (
        "TIME LINE\n"
        "2026-11-24T02:40Z onset      estimated; its changes begin 2026-11-24T02:40Z to\n"
        "                             2026-11-24T03:00Z; seen 30 min later\n"
        "2026-11-24T03:10Z opened     critical: income down 52,000 → 18,000 (mean,\n"
        "                             -1.8 sd); 2 changes in 2 of 40 features\n"
        "2026-11-24T03:50Z updated    critical: more features; income down 52,000 →\n"
        "                             18,000 (mean, -1.8 sd); 3 changes in 3 of 40\n"
        "                             features\n"
        "2026-11-25T05:00Z resolved   recovered, 26 h after its onset\n"
    ) in text
    assert (
        "income down 52,000 → 18,000 (mean, -1.8 sd), ended\n"
        "  PageHinkley at 2.4 times its threshold, 3,200 records since 2026-11-24T03:00Z\n"
        "    before                               ▇█ 500 records\n"
    ) in text.replace("▁", " ").replace("▂", " ")
    assert "(pictures: records of 60 min before the onset and of 24 h after it)" in text
    assert "    before 500 records; after 500 records\n" in text
    assert "    UA                    90 % ███████████████████" in text
    assert "    AA                    10 % → 45 %\n" in text
    assert "(a note)" in text
    assert (
        "WHAT ELSE CHANGED THEN\n2026-11-24T02:30:10Z first records of version 4\n"
        "2026-11-24T02:55Z #"
    ) in text
    assert "fraud: no data since 2026-11-24T03:00Z" in text
    assert "partition 1, offsets 1998800 to 2000599" in text
    assert lines[-2:] == [
        "  streamgauge replay topic:predictions@2026-11-23T02:40:00Z..2026-11-24T03:20:00Z "
        "--baseline-until 2026-11-24T02:40:00Z",
        "  streamgauge replay --log topic:app-profiles",
    ]
    old = replays(
        last, seen._replace(sent_again=True), "app", timedelta(days=1), ["-c", "a b.toml"]
    )
    assert old[0] == (
        "streamgauge replay topic:predictions --baseline-until 2026-11-24T02:40:00Z -c 'a b.toml'"
    )


def test_traffic_over_time_in_the_story_of_one_that_changed_it() -> None:
    told = Told()
    fall = change("", "volume", version="", before=0.5, after=0.1, unit="per_second", effect=1.6)
    told.say(T0 + 10 * MINUTE, msgspec.structs.replace(fall, effect_unit="ratio"))
    ends = [T0 + at * MINUTE for at in range(-10, 11)]
    seen = Seen({}, traffic={end: 100 if end <= T0 else 20 for end in ends})
    lines = story(told.events, [], seen, [])
    at = lines.index("traffic down 30/min → 6/min (-80 %)")
    assert lines[at + 2 : at + 4] == [
        f"    {'█' * 11}{'▂' * 10}",
        f"    {' ' * 10}↑ onset; each character 60 s",
    ]
    assert course([T0], [1.0], T0, 80) == []


@pytest.mark.parametrize("at", range(2, 5))
def test_the_story_of_a_silence_a_limit_and_of_what_has_no_pictures(at: int) -> None:
    known = others()
    one = list(known.values())[at - 1]
    lines = story(
        [one.event], known.values(), Seen({}), replays(one.event, Seen({}), "a", timedelta(0))
    )
    assert "TIME LINE" in lines
    assert max(len(line) for line in lines if "streamgauge replay" not in line) <= 80


def test_heights_and_bars() -> None:
    assert heights([0.0, 0.001, 0.5, 1.0]) == " ▁▅█"
    assert heights([0.0, 0.0]) == "  "
    same = measured(5.0, 1.0)
    found = compare(same, same, "carrier")
    assert found is not None
    assert bars(found, 60)[0] == "before 500 records; after 500 records"
    assert bars(found, 60)[1].split() == ["AA", "100", "%", "█" * 11, "100", "%", "█" * 11]


def test_a_comparison_has_the_same_cells_before_and_after() -> None:
    before, after = measured(52_000, 0.1), measured(18_000, 0.45)
    found = compare(before, after, "income")
    assert found is not None
    assert found.before.sum() == pytest.approx(1.0)
    assert found.after.sum() == pytest.approx(1.0)
    assert np.flatnonzero(found.after).max() < np.flatnonzero(found.before).min()
    assert compare(before, after, "nothing") is None
    gone = compare(before, Profile(records=10), "carrier")
    assert gone is not None
    assert (gone.missing, gone.records) == ((0.0, 1.0), (500, 10))
    many = profile_table(
        Table(
            length=400,
            number_names=(),
            numbers=np.zeros((400, 0)),
            text_names=("t",),
            texts=([f"v{at % 20:02}" for at in range(400)],),
        )
    )
    rest = compare(many, many, "t")
    assert rest is not None
    assert rest.names == tuple(f"v{at:02}" for at in range(8))
    assert list(rest.rest) == pytest.approx([0.6, 0.6])


def kept_windows() -> tuple[Windows, dict[int, int], Span]:
    """Two partitions, ten windows each, parts of profiles apart, some of it twice."""
    when = Span(0, 5 * W, 10 * W)
    records = []
    for partition in (0, 1):
        for end in range(W, 11 * W, W):
            old = end <= when.onset
            one = measured(52_000 if old else 18_000, 0.1 if old else 0.5)
            parts = codec.encode(one, 400)
            assert len(parts) > 1
            named_as = {"partition": partition, "parts": len(parts), "version": "3"}
            records += [
                profile(end, "credit-risk", payload, part=at, **named_as)
                for at, payload in enumerate(parts)
            ]
    records += records[:7]
    records.append(profile(W, "credit-risk", b"no profile", partition=7, version="3"))
    parts_wanted = [("3", "", "income"), ("3", "", "carrier")]
    return *gathered(records, parts_wanted, whole=True), when


def test_windows_of_the_profiles_log_count_once() -> None:
    found, traffic, when = kept_windows()
    assert traffic == dict.fromkeys(range(W, 11 * W, W), 1_000)
    assert list(found) == [("3", "")]
    assert sorted(found["3", ""]) == list(range(W, 11 * W, W))
    assert {each.records for each in found["3", ""].values()} == {1_000}
    told = compared(found, [("3", "", "income"), ("3", "", "gone")], when.onset)
    assert list(told) == [("3", "", "income")]
    assert told["3", "", "income"].records == (5_000, 5_000)


def test_the_span_of_an_incident() -> None:
    opened, _, resolved = history()
    assert isinstance(opened, Opened)
    assert isinstance(resolved, Resolved)
    onset = T0 - 20 * MINUTE
    assert span(opened) == (onset - HOUR, onset, onset + 24 * HOUR)
    assert span(resolved) == (onset - HOUR, onset, onset + 24 * HOUR)
    assert [part[2] for part in wanted(resolved)] == ["income", "carrier", "age"]


def test_the_beginning_of_an_id_is_enough() -> None:
    known = ["a1b2", "a1c3", "d4e5"]
    assert named("#D4", known, "t") == "d4e5"
    assert named("a1b2", known, "t") == "a1b2"
    with pytest.raises(NoSuchIncidentError, match=r"2 incidents begin with 'a1' \(a1b2, a1c3\)"):
        named("a1", known, "t")
    for wrong in ("f", "", "#"):
        with pytest.raises(NoSuchIncidentError, match="no incident of topic t begins with"):
            named(wrong, known, "t")


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_picture(tmp_path: Path, suffix: str) -> None:
    last = history()[-1]
    assert isinstance(last, Resolved)
    found, traffic, when = kept_windows()
    held = Held(found, {}, True, traffic)
    parts = wanted(last)
    told: dict[tuple[str, str, str], Comparison] = compared(found, parts, when.onset)
    assert len(told) == 2
    draw(tmp_path / f"a{suffix}", last, held, parts, told)
    draw(tmp_path / f"b{suffix}", last, held, parts, told)
    draw(tmp_path / f"none{suffix}", last, Held({}, {}, True), parts, {})
    content = (tmp_path / f"a{suffix}").read_bytes()
    assert content.startswith(b"\x89PNG" if suffix == ".png" else b"<?xml")
    assert len(content) > 10_000
    assert (tmp_path / f"b{suffix}").read_bytes() == content
