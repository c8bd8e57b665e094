"""Which events a target is told, and as which alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import orjson
import pytest

from alerts.alertmanager import Alert, alert, fingerprint, label_set, post_body, webhook_body
from alerts.board import SAID_AGAIN, Board, News, matches
from alerts.drill import opened, resolved
from alerts.events import Event, encode
from alerts.notices import data_back, limit_reached, no_data
from sketches.detection import Severity
from tests.alert_reports import HOUR, MINUTE, SECOND, T0, Told, change, check, missing

NOW = T0 + 11 * MINUTE


@dataclass
class Route:
    models: Sequence[str] = ()
    severities: Sequence[Severity] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


def story() -> list[Event]:
    """An incident: a warning, worse, over; with all that a configuration adds."""
    told = Told()
    told.say(T0 + 10 * MINUTE, missing())
    told.say(T0 + 50 * MINUTE, change())
    told.say(T0 + 26 * HOUR, recovered=(change(), missing()))
    return [
        msgspec.structs.replace(
            event,
            labels={"team": "risk", "severity": "none of theirs", "tier": ""},
            owner="risk-ml",
            runbook="https://wiki.example/runbook",
            dashboard="https://grafana.example/d/risk",
        )
        for event in told.events
    ]


def apply(board: Board, event: Event, at: int = NOW) -> tuple[Alert, ...] | None:
    news = board.apply(event, encode(event), at)
    return None if news is None else news.alerts


def test_the_golden_body_for_alertmanager() -> None:
    event = story()[0]
    (one,) = apply(Board(()), event) or ()
    assert orjson.loads(post_body([one], NOW, 30 * MINUTE)) == [
        {
            "labels": {
                "alertname": "ModelDataChanged",
                "severity": "warning",
                "incident": event.incident,
                "topic": "predictions",
                "model": "credit-risk",
                "cause": "missing",
                "owner": "risk-ml",
                "team": "risk",
            },
            "annotations": {
                "summary": event.summary,
                "description": event.text,
                "runbook_url": "https://wiki.example/runbook",
                "dashboard_url": "https://grafana.example/d/risk",
            },
            "startsAt": "2026-11-24T03:00:00.000Z",
            "endsAt": "2026-11-24T03:41:00.000Z",
            "generatorURL": "https://grafana.example/d/risk",
        }
    ]


def test_the_golden_body_of_a_webhook_as_alertmanager_sends_it() -> None:
    first, _, last = story()
    board = Board(())
    (fires,) = apply(board, first) or ()
    told = orjson.loads(webhook_body([fires], "hook", NOW))
    labels = told["commonLabels"]
    assert labels == label_set(first)
    assert told == {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="ModelDataChanged", incident="{first.incident}"}}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "hook",
        "groupLabels": {"alertname": "ModelDataChanged", "incident": first.incident},
        "commonLabels": labels,
        "commonAnnotations": told["alerts"][0]["annotations"],
        "externalURL": "",
        "alerts": [
            {
                "status": "firing",
                "labels": labels,
                "annotations": told["commonAnnotations"],
                "startsAt": "2026-11-24T03:00:00.000Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "https://grafana.example/d/risk",
                "fingerprint": fingerprint(labels),
            }
        ],
    }
    (over,) = apply(board, last, T0 + 27 * HOUR) or ()
    told = orjson.loads(webhook_body([over], "hook", T0 + 27 * HOUR))
    assert told["status"] == told["alerts"][0]["status"] == "resolved"
    assert told["alerts"][0]["endsAt"] == "2026-11-25T05:00:00.000Z"


def test_a_fingerprint_is_alertmanagers() -> None:
    """As Alertmanager 0.25 answers for these labels."""
    assert fingerprint({}) == "cbf29ce484222325"
    assert fingerprint({"alertname": "A", "severity": "critical"}) == "b807e636403824b5"


def test_other_labels_end_the_alert_under_the_old_ones() -> None:
    first, worse, last = story()
    board = Board(())
    (old,) = apply(board, first) or ()
    gone, new = apply(board, worse) or ()
    assert gone == old._replace(ends=NOW)
    assert (old.labels["severity"], new.labels["severity"]) == ("warning", "critical")
    assert new.ends is None
    assert set(map(str, board.standing(NOW))) == set(map(str, [new, gone]))
    (over,) = apply(board, last, T0 + 27 * HOUR) or ()
    assert over.labels == new.labels
    assert over.ends == T0 + 26 * HOUR


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("https://grafana.example/d/x?var-model=a%20b&from=now#panel", True),
        ("http://[::1]:3000/", True),
        ("https://grafana.example/%zz", False),
        ("https://grafana.example/a b", False),
        ("javascript:alert(1)", False),
        ("https://grafana.example/é", False),
    ],
)
def test_an_address_that_alertmanager_refuses_costs_no_alert(address: str, kept: bool) -> None:
    one = alert(msgspec.structs.replace(story()[0], dashboard=address), NOW)
    assert one is not None
    assert one.source == (address if kept else "")
    assert one.annotations["dashboard_url"] == address


def test_what_stands_is_said_again_and_an_end_for_a_while() -> None:
    first, _, last = story()
    board = Board(())
    (fires,) = apply(board, first) or ()
    assert board.standing(T0 + 1_000 * HOUR) == [fires]
    (over,) = apply(board, last, T0 + 27 * HOUR) or ()
    assert board.standing(T0 + 27 * HOUR + SAID_AGAIN - SECOND) == [over]
    assert board.standing(T0 + 27 * HOUR + SAID_AGAIN) == []


def test_repetitions_and_older_revisions_are_no_news() -> None:
    first, worse, _ = story()
    board = Board(())
    assert apply(board, first)
    assert apply(board, first) is None
    assert apply(board, worse)
    assert apply(board, first) is None


def test_what_nothing_follows_fires_for_an_hour() -> None:
    board = Board(())
    (one,) = apply(board, limit_reached("app", "t", "models", None), NOW) or ()
    assert one.labels["alertname"] == "StreamgaugeLimitReached"
    assert board.standing(NOW + HOUR - SECOND) == [one]
    assert board.standing(NOW + HOUR) == []


def test_silence_and_its_end_are_one_alert() -> None:
    board = Board(())
    (silent,) = apply(board, no_data("app", "t", "fraud", T0, T0 + 10 * MINUTE)) or ()
    (back,) = apply(board, data_back("app", "t", "fraud", T0, T0 + 2 * HOUR), T0 + 2 * HOUR) or ()
    assert silent.labels == back.labels
    assert silent.labels["alertname"] == "ModelDataMissing"
    assert silent.starts == T0


def test_the_end_of_an_incident_never_seen_is_told_under_its_own_labels() -> None:
    _, _, last = story()
    (over,) = apply(Board(()), last, T0 + 27 * HOUR) or ()
    assert over.labels == label_set(last)


def test_event_times_ahead_of_the_clock_do_not_keep_an_alert_alive() -> None:
    """A replay into the future, or a producer's clock: Alertmanager refuses starts after ends."""
    first, _, last = story()
    early = T0 - HOUR
    for event in (first, last):
        one = alert(event, early)
        assert one is not None
        (body,) = orjson.loads(post_body([one], early, 30 * MINUTE))
        assert body["startsAt"] <= "2026-11-24T02:00:00.000Z"
        assert body["startsAt"] <= body["endsAt"]
    assert body["endsAt"] == "2026-11-24T02:00:00.000Z"


def test_a_test_says_so_everywhere() -> None:
    test = opened("app", "m", "critical", {"team": "risk"}, T0, "1")
    board = Board(())
    (fires,) = apply(board, test) or ()
    (over,) = apply(board, resolved(test, T0, NOW)) or ()
    assert fires.labels == over.labels
    assert fires.labels["alertname"] == "StreamgaugeTest"
    assert (fires.labels["test"], fires.labels["team"]) == ("true", "risk")
    assert "test" in fires.annotations["summary"]
    for event in (test, resolved(test, T0, NOW)):
        check(event)  # by the schema


def test_routes() -> None:
    event = story()[0]
    assert matches((), event)
    for route, wanted in (
        (Route(), True),
        (Route(models=["credit-*"]), True),
        (Route(models=["fraud", "credit-risk"]), True),
        (Route(models=["Credit-*"]), False),
        (Route(severities=["critical"]), False),
        (Route(severities=["critical", "warning"]), True),
        (Route(labels={"team": "r*"}), True),
        (Route(labels={"team": "r*", "tier": "1"}), False),
        (Route(models=["credit-*"], labels={"team": "x"}), False),
    ):
        assert matches([route], event) is wanted, route
    assert matches([Route(models=["none"]), Route(labels={"team": "risk"})], event)


def test_an_incident_once_told_is_told_to_its_end() -> None:
    first, worse, last = story()
    board = Board([Route(severities=["critical"])])
    assert apply(board, first) is None
    assert apply(board, worse)
    mild = msgspec.structs.replace(last, severity="warning")
    assert apply(board, mild)
    assert apply(Board([Route(severities=["critical"])]), mild) is None


def test_news_carry_the_bytes_of_the_topic() -> None:
    first = story()[0]
    later = orjson.dumps(orjson.loads(encode(first)) | {"new_field": 1})
    news = Board(()).apply(first, later, NOW)
    assert isinstance(news, News)
    assert news.value == later
