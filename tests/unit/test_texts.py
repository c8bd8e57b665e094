"""Complete texts, as a person reads them at 3 a.m."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from alerts.notices import data_back, data_loss, limit_reached, no_data
from alerts.texts import phrase, printable, short, subject
from alerts.units import between, duration, moment, number, numbers, rates, rfc3339, share
from sketches.detection import Change
from tests.alert_reports import HOUR, MINUTE, SECOND, T0, Told, change, check, missing

AT = T0 + 10 * MINUTE


def texts(*changes: Change, **facts: Any) -> tuple[str, str]:
    (event,) = Told(**facts).say(AT, *changes)
    return event.summary, event.text


def test_a_mean_that_fell() -> None:
    spread = change(
        signal="spread",
        severity="warning",
        before=15_000.0,
        after=3_400.0,
        effect=1.484,
        effect_unit="ratio",
    )
    summary, text = texts(change(), missing(onset=T0 - 20 * MINUTE), spread, watched=40)
    assert summary == (
        "credit-risk v3: income down 52,000 → 18,000 (mean, -1.8 sd) since 03:00Z; +1 more feature"
    )
    assert text == (
        "credit-risk v3 has changed (critical): the mean of income is 18,000 (-1.8 sd); with no "
        "change it would be 52,000. That is from 3,200 records since 2026-11-24T03:00Z, against "
        "a baseline of 10,000 (b1f29c0d77aa…). PageHinkley saw it at 2026-11-24T03:10Z, at 2.4 "
        "times its threshold. Also changed: income spread down 15,000 → 3,400 (×0.23); age "
        "missing 0.2 % → 48 % (+48 points). Most likely missing values: look at the source or "
        "the join that fills them. Evidence: topic predictions, partition 0 offsets 998800 to "
        "1000599, partition 1 offsets 1998800 to 2000599."
    )


def test_a_mix_that_changed() -> None:
    mix = change(
        "carrier",
        "distance",
        direction="up",
        severity="warning",
        before=0.041,
        after=0.312,
        unit="distance",
        effect=0.271,
        effect_unit="distance",
        detector="ADWIN",
        top=(("AA", 0.1, 0.45), ("UA", 0.3, 0.1), ("", 0.0, 0.02), ("B6\x1b[2J", 0.2, 0.19)),
    )
    summary, text = texts(mix)
    assert summary == (
        "credit-risk v3: carrier mix changed (JS distance 0.31) since 03:00Z: AA 10 % → 45 %, "
        "UA 30 % → 10 %, (empty) 0 % → 2 %"
    )
    assert text == (
        "credit-risk v3 has changed (warning): the values of carrier are mixed otherwise than in "
        "the baseline: Jensen-Shannon distance 0.31; with no change it would be 0.041. That is "
        "from 3,200 records since 2026-11-24T03:00Z, against a baseline of 10,000 "
        "(b1f29c0d77aa…). Moved most: AA 10 % → 45 %, UA 30 % → 10 %, (empty) 0 % → 2 %, "
        "B6\\x1b[2J 20 % → 19 %. ADWIN saw it at 2026-11-24T03:10Z, at 2.4 times its threshold. "
        "Evidence: topic predictions, partition 0 offsets 1000000 to 1000599, partition 1 "
        "offsets 2000000 to 2000599."
    )


def test_many_features_at_once_point_upstream() -> None:
    summary, text = texts(
        *(missing(f"f{at:02}", score=9 - at / 10) for at in range(18)), watched=40
    )
    assert summary == (
        "credit-risk v3: f00 missing 0.2 % → 48 % (+48 points) since 03:00Z; 18 of 40 features "
        "moved together: look upstream"
    )
    assert (
        "Also changed: f01 missing 0.2 % → 48 % (+48 points); f02 missing 0.2 % → 48 % (+48 "
        "points); f03 missing 0.2 % → 48 % (+48 points); f04 missing 0.2 % → 48 % (+48 points); 13 "
        "more. 18 of 40 features moved together, so look upstream first: a join, a schema, a unit, "
        "a source. Most likely missing values: look at the source or the join that fills them. "
        "Evidence:"
    ) in text
    assert "together" not in texts(missing("a"), missing("b"), watched=4)[0]
    assert "together" not in texts(missing("a"), missing("b"), missing("c"))[0]


def test_the_story_of_an_incident() -> None:
    told = Told()
    told.say(AT, missing())
    told.say(AT + MINUTE, missing("zip"))
    told.say(AT + 40 * MINUTE, missing(severity="critical"))
    told.say(AT + 80 * MINUTE, missing(effect=97.0, after=0.97))
    told.say(AT + 120 * MINUTE, missing(effect=97.0, after=0.97, direction="down"))
    told.say(AT + 26 * HOUR, recovered=(missing(), missing("zip")))
    told.say(AT + 26 * HOUR + MINUTE, missing(onset=AT + 26 * HOUR))
    told.say(AT + 90 * HOUR, settled=(missing(),))
    assert [event.summary for event in told.events] == [
        "credit-risk v3: age missing 0.2 % → 48 % (+48 points) since 03:00Z",
        "credit-risk v3: now 2 features: age missing 0.2 % → 48 % (+48 points) since 03:00Z; +1 "
        "more feature",
        "credit-risk v3: now critical: age missing 0.2 % → 48 % (+48 points) since 03:00Z; +1 more "
        "feature",
        "credit-risk v3: larger: age missing 0.2 % → 97 % (+97 points) since 03:00Z; +1 more "
        "feature",
        "credit-risk v3: turned: age missing 0.2 % → 97 % (-97 points) since 03:00Z; +1 more "
        "feature",
        "credit-risk v3: recovered after 26 h; it was age missing 0.2 % → 97 % (-97 points); +1 "
        "more feature",
        "credit-risk v3: again: age missing 0.2 % → 48 % (+48 points) since 05:10Z",
        "credit-risk v3: taken as the new normal after 3.8 d: age missing 0.2 % → 48 % (+48 "
        "points)",
    ]
    assert told.events[2].text.startswith(
        "credit-risk v3 (critical): the change is more severe than first told. Now age is missing "
        "in 48 % (+48 points) of the records; with no change it would be 0.2 %. That is"
    )
    assert told.events[5].text.startswith(
        "credit-risk v3: resolved at 2026-11-25T05:10Z, 26 h after its onset; all is as before. "
        "Last seen: age is missing in 97 % (-97 points) of the records; with no change it would be "
        "0.2 %."
    )


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        (
            {"signal": "volume", "before": 120, "after": 55, "unit": "per_second", "effect": 0.78},
            "traffic down 120/s → 55/s (-54 %)",
        ),
        (
            {
                "signal": "volume",
                "direction": "up",
                "before": 40 / 3600,
                "after": 400 / 3600,
                "unit": "per_second",
                "effect": math.log(10),
            },
            "traffic up 0.667/min → 6.67/min (×10)",
        ),
        (
            {"signal": "volume", "before": 2, "after": 0, "unit": "per_second", "effect": math.inf},
            "traffic down 2/s → 0/s",
        ),
        (
            {"signal": "late", "direction": "up", "before": 0.001, "after": 0.3, "effect": 29.9},
            "late records 0.1 % → 30 % (+30 points)",
        ),
        (
            {"signal": "rejects", "direction": "up", "before": 0.0, "after": 1e-7, "effect": 1e-5},
            "rejected records 0 % → <0.0001 % (+1e-05 points)",
        ),
        (
            {"signal": "errors", "direction": "up", "before": 0.0, "after": 0.07, "effect": 7.0},
            "failed predictions 0 % → 7 % (+7 points)",
        ),
        (
            {
                "feature": "c",
                "signal": "distance",
                "before": -0.02,
                "after": 0.3,
                "unit": "distance",
            },
            "c mix changed (JS distance 0.3)",
        ),
        (
            {"feature": "@score", "signal": "unseen", "before": 0, "after": 0.12, "effect": 12},
            "score unseen values 0 % → 12 % (-12 points)",
        ),
        (
            {"feature": "@@id", "before": 1e9, "after": 1e9 + 4},
            "@id down 1,000,000,000 → 1,000,000,004",
        ),
        (
            {"feature": "a{b}", "signal": "new{x}", "unit": "?", "effect_unit": "grams"},
            "a{b} new{x} down 52,000 → 18,000 (-1.8 grams)",
        ),
        (
            {"before": math.nan, "after": 0.00001234},
            "income down unknown → 1.234e-05 (mean, -1.8 sd)",
        ),
    ],
)
def test_one_change_in_a_few_words(facts: dict[str, Any], line: str) -> None:
    units = {
        "volume": ("per_second", "ratio"),
        "late": ("share", "points"),
        "rejects": ("share", "points"),
        "errors": ("share", "points"),
        "unseen": ("share", "points"),
    }
    unit, effect_unit = units.get(facts.get("signal", ""), ("value", "sd"))
    feature = facts.pop("feature", "income" if "signal" not in facts else "")
    (event,) = Told().say(
        AT, change(feature, **({"unit": unit, "effect_unit": effect_unit} | facts))
    )
    assert phrase(event.changes[0]).startswith(line)


def test_whom_it_is_about() -> None:
    assert subject("t", "m") == "m"
    assert subject("t", "") == "topic t"
    assert subject("t", "m", ("v3",)) == "m v3"
    assert subject("t", "m", ("2024-01", ""), ("eu",)) == "m v2024-01, segment eu"
    assert subject("t", "m", ("champion",)) == "m version champion"
    assert subject("t", "m", ("1", "2"), ("a", "b", "c")) == "m, 2 versions, 3 segments"
    summary, _ = texts(change("", "volume", version="4", segment="eu"), missing())
    assert summary.startswith("credit-risk, 2 versions, segment eu: traffic down ")
    assert " in v4, eu since 03:00Z; +1 more feature" in summary


def test_silence() -> None:
    silent = no_data("app", "predictions", "credit-risk", T0, AT)
    assert silent.summary == "credit-risk: no data since 2026-11-24T03:00Z (10 min)"
    assert silent.text == (
        "credit-risk: no readable record since 2026-11-24T03:00Z, 10 min at the time of this "
        "event; that is longer than usual. Nothing about it can be seen now, so what is open stays "
        "open. Look at whether it still serves, and whether its records still reach topic "
        "predictions."
    )
    back = data_back("app", "predictions", "credit-risk", T0, T0 + 3 * HOUR)
    assert back.summary == "credit-risk: data again after 3 h without any"


LOSS = {
    "topic": "predictions",
    "partition": 3,
    "time": T0,
    "start": None,
    "stop": None,
    "since": None,
    "until": None,
    "expected": None,
    "found": None,
}


@pytest.mark.parametrize(
    ("reason", "facts", "summary"),
    [
        (
            "offsets",
            {"start": 100, "stop": 250},
            "150 offsets never read, 100 to 249",
        ),
        ("gap", {"since": T0, "until": T0 + HOUR}, "the watermark of some windows never came"),
        (
            "profiles",
            {"expected": 12, "found": 11},
            "11 of 12 profiles of some windows found, or others",
        ),
        (
            "conflict",
            {"start": 500, "stop": 490},
            "two workers closed the same windows at different offsets, 490 and 500",
        ),
        ("rewound", {"start": 10, "stop": 900}, "offsets went back from 900 to 10"),
        ("unreadable", {}, "profiles of a window cannot be read by this release"),
        ("memory", {}, "too many profiles waited for their watermark and were let go"),
        ("other{}", {"time": None}, "data may be lost (other{})"),
    ],
)
def test_lost_data(reason: str, facts: dict[str, Any], summary: str) -> None:
    event = data_loss("app", SimpleNamespace(**LOSS | {"reason": reason} | facts))
    check(event)
    assert event.summary == f"topic predictions partition 3: {summary}"
    assert event.text.startswith(event.summary)


def test_lost_data_in_full() -> None:
    offsets = SimpleNamespace(**LOSS, reason="offsets")
    offsets.start, offsets.stop = 100, 250
    assert data_loss("app", offsets).text == (
        "topic predictions partition 3: 150 offsets never read, 100 to 249; "
        "seen at 2026-11-24T03:00Z. Those records were not watched. They were deleted "
        "before: give the topic a longer retention, or find out why the worker was behind. Or "
        "somebody set the offset of the consumer group past them."
    )
    gap = SimpleNamespace(**LOSS, reason="gap")
    gap.since, gap.until = T0, T0 + HOUR
    assert data_loss("app", gap).text.startswith(
        "topic predictions partition 3: the watermark of some windows never came (windows after "
        "2026-11-24T03:00Z up to 2026-11-24T04:00Z); seen at 2026-11-24T03:00Z. What is there"
    )
    unread = SimpleNamespace(**LOSS, reason="unreadable")
    unread.since, unread.until = T0 - HOUR, T0
    assert data_loss("app", unread).text == (
        "topic predictions partition 3: profiles of a window cannot be read by this release "
        "(windows after 2026-11-24T02:00Z up to 2026-11-24T03:00Z); seen at 2026-11-24T03:00Z. Its "
        "other profiles have been judged. A newer worker writes such profiles: upgrade this one, "
        "or find out what else writes into the profiles log; the records themselves can be "
        "replayed while the topic holds them."
    )


def test_a_limit() -> None:
    event = limit_reached("app", "predictions", "versions", T0, "credit-risk")
    check(event)
    assert event.summary == (
        "credit-risk: limit versions reached; further versions are watched together as “other”"
    )
    assert event.text == (
        "credit-risk: limit versions reached; further versions are watched together as “other”; "
        "seen at 2026-11-24T03:00Z. This is said once. Either the records hold something that does "
        "not belong there (an id as a name, say), or limits.versions in the configuration should "
        "be higher."
    )
    assert limit_reached("app", "t", "event_time_unreadable", None).text == (
        "topic t: event times that cannot be read; their records count by their Kafka timestamp. "
        "This is said once. See whether fields.event_time and fields.event_time_unit of the input "
        "fit its records."
    )
    assert limit_reached("app", "t", "new", None).summary == (
        "topic t: limit new reached; what is over it is counted, and not watched"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (18_000.0, "18,000"),
        (1_234_567.0, "1,235,000"),
        (999.96, "1,000"),
        (12.345, "12.35"),
        (0.5, "0.5"),
        (0.000123456, "0.0001235"),
        (1.5e-9, "1.5e-09"),
        (-2.5e20, "-2.5e+20"),
        (1e308, "1e+308"),
        (5e-324, "4.941e-324"),
        (math.nan, "unknown"),
        (None, "unknown"),
    ],
)
def test_numbers_as_people_write_them(value: float | None, text: str) -> None:
    assert number(value) == text


def test_two_numbers_show_their_difference() -> None:
    assert numbers(52_000, 18_000) == ("52,000", "18,000")
    assert numbers(1_795_489_200_123.0, 1_795_489_260_123.0) == (
        "1,795,489,200,000",
        "1,795,489,260,000",
    )
    assert numbers(1.0, 1.0) == ("1", "1")
    assert numbers(1e300, -1e300) == ("1e+300", "-1e+300")
    assert numbers(1.7e308, -1.7e308) == ("1.7e+308", "-1.7e+308")
    assert numbers(None, 2.0) == ("unknown", "2")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.002, "0.2 %"),
        (0.4777, "48 %"),
        (0.0312, "3.1 %"),
        (0.9997, "99.97 %"),
        (0.5, "50 %"),
        (1e-9, "<0.0001 %"),
        (1 - 1e-9, ">99.9999 %"),
        (None, "unknown"),
    ],
)
def test_shares(value: float | None, text: str) -> None:
    assert share(value) == text


def test_rates_share_a_unit() -> None:
    assert rates(120, 55.04) == ("120/s", "55/s")
    assert rates(0.5, 0.0001) == ("30/min", "0.006/min")
    assert rates(1e-9, None) == ("8.64e-05/d", "unknown")
    assert rates(0, 0) == ("0/s", "0/s")


def test_times() -> None:
    assert rfc3339(T0) == "2026-11-24T03:00:00.000Z"
    assert rfc3339(T0 + 1_999) == "2026-11-24T03:00:00.001Z"
    assert rfc3339(2**63) == "9999-12-31T23:59:59.999Z"
    assert rfc3339(-(2**63)) == "0001-01-01T00:00:00.000Z"
    assert rfc3339(-62_000_000_000_000_000) == "0005-04-19T09:46:40.000Z"
    assert moment("2026-11-24T03:00:00.000Z") == "2026-11-24T03:00Z"
    assert moment("2026-11-24T03:00:20.000Z") == "2026-11-24T03:00:20Z"
    assert moment("2026-11-24T03:00:00.500Z") == "2026-11-24T03:00:00.500Z"
    assert moment("2026-11-24T03:00:00.000Z", beside="2026-11-24T23:00:00.000Z") == "03:00Z"
    assert (
        moment("2026-11-24T03:00:00.000Z", beside="2026-11-25T03:00:00.000Z")[:10] == "2026-11-24"
    )
    assert [
        duration(each)
        for each in (90 * MINUTE, 150 * MINUTE, SECOND, 59 * SECOND, 14 * 24 * HOUR, 5_000, 0)
    ] == [
        "90 min",
        "2.5 h",
        "1 s",
        "59 s",
        "14 d",
        "0.005 s",
        "0 s",
    ]
    assert between(rfc3339(T0), rfc3339(T0 + 10 * MINUTE)) == "10 min"


def test_names_cannot_play_tricks() -> None:
    assert printable("naïve 日本 💥 \\") == "naïve 日本 💥 \\"
    assert printable("a\x1b[31m\r\n\x9b\x7f\u202e\u2066\u200b\u2028\ue000\ud800") == (
        "a\\x1b[31m\\r\\n\\x9b\\x7f\\u202e\\u2066\\u200b\\u2028\\ue000\\ud800"
    )
    assert short("x" * 60) == "x" * 60
    assert short("x" * 300) == "x" * 59 + "…"
    assert len(short("\x1b" * 300)) == 60
    summary, text = texts(change("in\u202ecome\x1b[0m", version="1\n2", segment="\x00"))
    assert (summary + text).isprintable()
    assert "in\\u202ecome\\x1b[0m down" in summary


def test_hard_faults_in_their_own_units() -> None:
    share: dict[str, Any] = {
        "unit": "share",
        "effect_unit": "points",
        "direction": "up",
        "before": 0.0,
    }
    told = {
        "magnitude": change(
            signal="magnitude",
            direction="up",
            before=52.0,
            after=52_000.0,
            effect=math.log(1000),
            effect_unit="ratio",
        ),
        "stuck": change(signal="stuck", after=1.0, effect=100.0, **share),
        "outside": change(signal="outside", after=0.12, effect=12.0, **share),
        "vanished": change(signal="vanished", after=0.2, effect=20.0, **share),
        "kind": change(signal="kind", after=0.4, effect=40.0, **share),
        "shape": change(
            signal="shape",
            direction="up",
            before=-0.01,
            after=0.31,
            effect=0.32,
            unit="distance",
            effect_unit="distance",
            top=(("below 0", 0.1, 0.4),),
        ),
    }
    lines = {signal: texts(one)[0].partition(": ")[2] for signal, one in told.items()}
    assert lines == {
        "magnitude": "income off by a factor 52 → 52,000 (unit?, ×1,000) since 03:00Z",
        "stuck": "income stuck 0 % → 100 % (+100 points) since 03:00Z",
        "outside": "income outside its range 0 % → 12 % (+12 points) since 03:00Z",
        "vanished": "income usual values gone 0 % → 20 % (share they had, +20 points) since 03:00Z",
        "kind": "income of another type 0 % → 40 % (+40 points) since 03:00Z",
        "shape": "income shape changed (JS distance 0.31) since 03:00Z: below 0: 10 % → 40 %",
    }
    assert "made up 20 % (+20 points) of the baseline do not occur" in texts(told["vanished"])[1]
    assert "its unit may be another one" in texts(told["magnitude"])[1]


def test_a_fault_seen_while_learning_says_so() -> None:
    early = change(
        signal="kind",
        detector="FirstLook",
        direction="up",
        before=0.0,
        after=1.0,
        unit="share",
        effect=100.0,
        effect_unit="points",
        sample=120,
        baseline_sample=2_400,
        baseline="",
    )
    _, text = texts(early)
    assert "have a JSON type that its past never had" in text
    assert "against the 2,400 before, while learning: there is no baseline yet." in text
