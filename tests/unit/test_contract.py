"""The files of the contract: as the code says, valid by official tools, CloudEvents as such."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
import yaml
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from jsonschema import Draft202012Validator

from alerts.events import EVENT_TYPES, EventFormatError, event_type, to_message
from alerts.read import Message, events
from alerts.schema import DIALECT
from consumer.asyncapi import SCHEMA_FILE, document, files
from consumer.batch import Reject
from consumer.rejects import JSON_SYNTAX, reject_message
from consumer.settings import Settings
from consumer.topics import specs
from tests.golden_events import every_type
from tests.unit.test_rejects import raw

ALERTS = Path(__file__).parents[2] / "alerts"


@pytest.mark.parametrize("name", files())
def test_a_committed_file_is_what_the_code_says(name: str) -> None:
    assert (ALERTS / name).read_text() == files()[name], "run make contract"


def test_the_committed_schema_is_valid_by_its_meta_schema() -> None:
    committed = orjson.loads((ALERTS / SCHEMA_FILE).read_bytes())
    assert committed["$schema"] == DIALECT == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(committed)


def test_every_topic_and_every_type_of_event_is_in_the_document() -> None:
    told = yaml.safe_load((ALERTS / "asyncapi.yaml").read_text())
    assert told == orjson.loads(orjson.dumps(document()))
    addresses = {each["address"].format(app="streamgauge") for each in told["channels"].values()}
    assert addresses == {spec.name for spec in specs(Settings())}
    assert list(told["channels"]["alerts"]["messages"]) == [event_type(s) for s in EVENT_TYPES]


def test_a_message_is_a_cloud_event_to_the_official_library() -> None:
    messages = document()["components"]["messages"]
    for event in every_type():
        key, value, headers = to_message(event, "my app")
        read = from_binary(KafkaMessage(dict(headers), key, value), JSONFormat())
        assert (read.get_id(), read.get_specversion()) == (event.id, "1.0")
        parts = ["", "streamgauge", "my%20app", event.topic, event.model]
        assert read.get_source() == "/".join(parts).rstrip("/")
        assert read.get_subject() == event.incident
        assert read.get_datacontenttype() == "application/json"
        time = read.get_time()
        if time is not None and event.time is not None:  # the library makes up one that is missing
            assert time.isoformat(timespec="milliseconds").replace("+00:00", "Z") == event.time
        assert read.get_data() == orjson.loads(value)
        told = messages[event_type(event)]
        assert told["name"] == read.get_type()
        names = {name: text.decode() for name, text in headers}
        Draft202012Validator(told["headers"] | {"additionalProperties": False}).validate(names)


def test_rejects_are_as_the_document_says() -> None:
    told = document()["components"]["messages"]["reject"]
    reject = Reject(0, JSON_SYNTAX, 1, "unexpected")
    for with_bytes in (False, True):
        message = reject_message(raw(b"{secret"), reject, with_bytes)
        payload = told["payload"] | {"additionalProperties": False}
        Draft202012Validator(payload).validate(orjson.loads(message.value))
        names = {name: text.decode() for name, text in message.headers}
        Draft202012Validator(told["headers"]).validate(names)


def test_a_type_of_a_later_release_is_left_alone_and_damage_is_not() -> None:
    opened = to_message(every_type()[0], "app")
    later: Message = (b"x", orjson.dumps({"v": 1, "type": "muted", "incident": "x"}), [])
    assert [event.incident for event in events([later, opened])] == [opened[0].decode()]
    with pytest.raises(EventFormatError):
        list(events([(b"x", b'{"v":1,"type":"opened"}', [])]))
