from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from consumer import durations
from consumer.kafka_settings import from_variable, is_secret
from consumer.mistakes import nearest
from consumer.rules import profile_rules_for
from consumer.settings import (
    FeatureSettings,
    FieldMap,
    InputSettings,
    Limits,
    Settings,
    SettingsError,
    load,
)
from sketches.detection import Ownership

ROOT = Path(__file__).parents[2]
SECRET = "hunter2-do-not-show"  # noqa: S105 - it is none
SMALL = '[kafka]\n"bootstrap.servers" = "h:9092"\n[inputs.flights]\ntopics = ["t"]\n'


def read(
    tmp_path: Path,
    text: str = SMALL,
    flags: Sequence[str] = (),
    environ: dict[str, str] | None = None,
    **needs: bool,
) -> Settings:
    path = tmp_path / "streamgauge.toml"
    path.write_text(text)
    return load(path, flags, environ=environ or {}, **needs)


def mistakes(
    tmp_path: Path,
    text: str = SMALL,
    flags: Sequence[str] = (),
    environ: dict[str, str] | None = None,
) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text, flags, environ)
    shown = str(caught.value)
    assert SECRET not in shown
    assert SECRET not in repr(caught.value)
    return [str(one).replace(f"{tmp_path}/", "") for one in caught.value.mistakes]


def test_defaults(tmp_path: Path) -> None:
    settings = read(tmp_path)
    assert settings.app == settings.group == "streamgauge"
    assert settings.kafka == {"bootstrap.servers": "h:9092"}
    assert settings.start == "earliest"
    (one,) = settings.inputs
    assert (one.name, one.topics, one.format) == ("flights", ("t",), "json")
    assert (one.window, one.lateness) == (10_000_000, 5_000_000)
    assert (one.idle_after, one.stall_limit) == (30_000_000, 300_000_000)
    assert one.fields == FieldMap()
    assert settings.alerts_topic == "streamgauge-alerts"
    assert settings.border_settings(one) == {
        "window": 10_000_000,
        "lateness": 5_000_000,
        "event_time": "",
        "event_time_unit": "auto",
    }
    json.dumps(settings.border_settings(one))


def test_group_follows_app(tmp_path: Path) -> None:
    assert read(tmp_path, "app = 'a'\n" + SMALL).group == "a"
    assert read(tmp_path, "app = 'a'\ngroup = 'g'\n" + SMALL).group == "g"


def test_flags_win_over_variables_over_file_over_defaults(tmp_path: Path) -> None:
    text = SMALL + "window = '1min'\nlateness = '1s'\nidle_after = '1min'\n"
    environ = {
        "STREAMGAUGE_INPUTS__FLIGHTS__WINDOW": "2min",
        "STREAMGAUGE_INPUTS__FLIGHTS__LATENESS": "2s",
    }
    (one,) = read(tmp_path, text, ["inputs.flights.window=3min"], environ).inputs
    assert one.window == 180_000_000
    assert one.lateness == 2_000_000
    assert one.idle_after == 60_000_000
    assert one.stall_limit == 300_000_000
    assert one.topics == ("t",)


def test_later_flags_win(tmp_path: Path) -> None:
    assert read(tmp_path, flags=["app=a", "app=b"]).app == "b"


def test_config_variable_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "other.toml"
    path.write_text("app = 'other'\n" + SMALL)
    assert load(environ={"STREAMGAUGE_CONFIG": str(path)}).app == "other"
    monkeypatch.chdir(tmp_path)
    path.rename(tmp_path / "streamgauge.toml")
    assert load(environ={}).app == "other"


def test_no_file_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {
        "STREAMGAUGE_KAFKA__BOOTSTRAP_SERVERS": "h:1",
        "STREAMGAUGE_INPUTS__A__TOPICS": '["x", "^y,{1,2}"]',
        "STREAMGAUGE_INPUTS__B__TOPICS": "p, q",
        "STREAMGAUGE_INPUTS__B__FIELDS__FEATURES": "features",
        "STREAMGAUGE_LEARN_RECORDS": "500",
        "STREAMGAUGE_TOPICS__CREATE": "true",
    }
    settings = load(environ=environ)
    assert [one.topics for one in settings.inputs] == [("x", "^y,{1,2}"), ("p", "q")]
    assert settings.learn_records == 500
    assert settings.topics.create is True


def test_variables_find_names_of_the_file_in_any_case(tmp_path: Path) -> None:
    text = SMALL.replace("flights", "Flights-EU")
    environ = {"STREAMGAUGE_INPUTS__FLIGHTS_EU__WINDOW": "1h"}
    (one,) = read(tmp_path, text, environ=environ).inputs
    assert (one.name, one.window) == ("Flights-EU", durations.HOUR)


def test_kubernetes_service_variables_are_not_settings(tmp_path: Path) -> None:
    environ = dict.fromkeys(
        (
            "STREAMGAUGE_PORT",
            "STREAMGAUGE_SERVICE_HOST",
            "STREAMGAUGE_SERVICE_PORT_HTTP",
            "STREAMGAUGE_PORT_8080_TCP_ADDR",
            "STREAMGAUGE_METRICS_SERVICE_PORT",
            "STREAMGAUGE_METRICS_PORT_9090_TCP",
            "STREAMGAUGE_FAILPOINT",
            "STREAMGAUGE_KAFKA_CACHE",
            "OTHER_APP",
        ),
        "tcp://10.0.0.1:80",
    )
    assert read(tmp_path, environ=environ).app == "streamgauge"


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("SASL_PASSWORD", "sasl.password"),
        ("SASL_PASSWORD_FILE", "sasl.password_file"),
        ("SSL_KEY_PASSWORD_FILE", "ssl.key.password_file"),
        ("BOOTSTRAP_SERVERS", "bootstrap.servers"),
        ("LOG_LEVEL", "log_level"),
        (
            "SASL_OAUTHBEARER_ASSERTION_PRIVATE_KEY_FILE",
            "sasl.oauthbearer.assertion.private.key.file",
        ),
        ("fetch.max.bytes", "fetch.max.bytes"),
    ],
)
def test_variable_names_of_client_settings(variable: str, name: str) -> None:
    assert from_variable(variable) == name


def test_client_settings_pass_through_quoted_or_not(tmp_path: Path) -> None:
    text = (
        "[kafka]\nbootstrap.servers = 'h:1'\nsecurity.protocol = 'SSL'\n"
        "'fetch.max.bytes' = 5\n'check.crcs' = true\n'a.setting.of.next.year' = 1.5\n"
        "[inputs.a]\ntopics = 't'\n"
    )
    assert read(tmp_path, text).kafka == {
        "bootstrap.servers": "h:1",
        "security.protocol": "SSL",
        "fetch.max.bytes": 5,
        "check.crcs": True,
        "a.setting.of.next.year": 1.5,
    }


# --- secrets ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "sasl.password",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.keystore.password",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.assertion.private.key.pem",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.jaas.config",
        "ssl_key",
    ],
)
def test_secrets_are_known_as_such(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name", ["sasl.username", "ssl.certificate.pem", "ssl.key.location", "ssl.ca.pem"]
)
def test_other_settings_are_not_secret(name: str) -> None:
    assert not is_secret(name)


def test_secrets_by_file_and_variable_are_never_shown(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text(SECRET + "\n")
    text = SMALL.replace("[inputs", '"sasl.password_file" = "pw"\n[inputs', 1)
    settings = read(tmp_path, text, environ={"STREAMGAUGE_KAFKA__SSL_KEY_PEM": SECRET})
    assert settings.kafka["sasl.password"] == settings.kafka["ssl.key.pem"] == SECRET
    shown = [
        repr(settings),
        str(settings),
        repr(settings.kafka),
        f"{settings.kafka}",
        str(settings.model_dump()),
        settings.model_dump_json(),
    ]
    assert not [text for text in shown if SECRET in text]
    assert "sasl.password" in shown[0]


def test_a_variable_wins_over_the_secret_file_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("old")
    text = SMALL.replace("[inputs", '"sasl.password_file" = "pw"\n[inputs', 1)
    environ = {"STREAMGAUGE_KAFKA__SASL_PASSWORD": "new"}
    assert read(tmp_path, text, environ=environ).kafka["sasl.password"] == "new"


def test_secrets_in_the_open_are_refused_without_showing_them(tmp_path: Path) -> None:
    text = SMALL.replace("[inputs", f'"sasl.password" = "{SECRET}"\n[inputs', 1)
    found = mistakes(tmp_path, text, [f"kafka.ssl.key.password={SECRET}"])
    assert len(found) == 2
    assert "kafka.sasl.password (streamgauge.toml): a secret does not belong in a conf" in found[0]
    assert "STREAMGAUGE_KAFKA__SASL_PASSWORD" in found[0]
    assert "does not belong on the command line" in found[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"kafka = '{SECRET}'", "kafka (streamgauge.toml): is not a table"),
        (f"[kafka]\n'sasl.password' = ['{SECRET}']", "kafka.sasl.password"),
        (f"[kafka]\n'sasl.pasword' = '{SECRET}'", 'did you mean "sasl.password"?'),
        (f"sasl.password = '{SECRET}'", "sasl (streamgauge.toml): unknown setting"),
        ("[kafka]\n'sasl.password_file' = 'none'", "none: No such file"),
        ("[kafka]\n'sasl.password_file' = 'empty'", "empty is empty; write the secret"),
        ("[kafka]\n'sasl.password_file' = 5", "5: No such file"),
    ],
)
def test_wrong_secrets_stay_secret(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "empty").write_text("\n")
    assert any(expected in one for one in mistakes(tmp_path, text))


def test_validation_of_pydantic_itself_hides_input() -> None:
    with pytest.raises(ValueError, match="kafka") as caught:
        Settings(kafka={"sasl.password": [SECRET]})  # type: ignore[dict-item]
    assert SECRET not in str(caught.value)


# --- mistakes ---------------------------------------------------------------------------------

MISTAKES = [
    ("lern_for = '1d'", 'lern_for (streamgauge.toml): unknown setting; did you mean "learn_for"?'),
    (
        "xyzzy = 1",
        "xyzzy (streamgauge.toml): unknown setting; known here: app, bridges, budget, delivery",
    ),
    ("learn_for = 10", "learn_for (streamgauge.toml): 10 is not a duration; write for example"),
    (
        "learn_for = '10'",
        'learn_for (streamgauge.toml): "10" has no unit; write a number and a unit',
    ),
    ("learn_for = '10m'", '"10m" has an unknown unit (did you mean "10min"?)'),
    ("learn_for = '-1s'", '"-1s" is not a duration'),
    (
        "learn_records = 0",
        "learn_records (streamgauge.toml): 0 is not allowed; write a number of at l",
    ),
    ("learn_records = 'many'", '"many" is not allowed; write a whole number'),
    ("learn_records = 1.5", "1.5 is not allowed; write a whole number"),
    (
        "start = 'now'",
        'start (streamgauge.toml): "now" is not allowed; write "earliest", "latest", or',
    ),
    ("start = 5", "start (streamgauge.toml): 5 is not allowed"),
    ("app = 'a b'", '"a b" is not allowed; write letters, digits'),
    ("app = 7", "app (streamgauge.toml): 7 is not allowed; write a text in quotes"),
    ("delivery = 'exactly'", '"exactly" is not allowed; write "at_least_once"'),
    ("health = '8080'", '"8080" is not allowed; write host:port'),
    ("rejects_include_bytes = 'maybe'", '"maybe" is not allowed; write true or false'),
    ("limits = 5", "limits (streamgauge.toml): 5 is not allowed; write a table"),
    (
        "limits.modls = 5",
        'limits.modls (streamgauge.toml): unknown setting; did you mean "models"?',
    ),
    ("limits.nesting = 900", "900 is not allowed; write a number of at most 200"),
    ("budget.critical_per_model_week = 0", "write a number of more than 0"),
    ("budget.critical_per_model_week = nan", "budget.critical_per_model_week"),
    ("budget.warning_per_model_week = inf", "budget.warning_per_model_week"),
    ("topics.replicationfactor = 3", 'did you mean "replication_factor"?'),
    (
        "models.a.features.b.kind = 'categorial'",
        'models.a.features.b.kind (streamgauge.toml): "categ',
    ),
    (
        "models.'*'.features.'a*'.knd = 1",
        'models."*".features."a*".knd (streamgauge.toml): unknown',
    ),
    (
        "models.a.feature.b.kind = 'auto'",
        "models.a.feature (streamgauge.toml): unknown setting; did",
    ),
    ("models.a.features.b.minimum_effect = -1", "-1 is not allowed; write a number of more than 0"),
    (
        "kafka.'group.id' = 'g'",
        "kafka.group.id (streamgauge.toml): streamgauge sets this itself; write gr",
    ),
    ("kafka.'enable.auto.commit' = true", "kafka.enable.auto.commit"),
    ("kafka.'isolation.level' = 'x'", "kafka.isolation.level"),
    ("kafka.'auto.offset.reset' = 'x'", 'write start = "earliest"'),
    ("kafka.'partition.assignment.strategy' = 'x'", "kafka.partition.assignment.strategy"),
    ("kafka.'error_cb' = 'x'", "a callback cannot be written in a configuration"),
    ("kafka.'bootstrap.server' = 'x'", 'unknown client setting; did you mean "bootstrap.servers"?'),
    ("kafka.'ssl.ca.location_file' = 'x'", "only a secret can be given as a file"),
    (
        "kafka.'fetch.max.bytes' = [1]",
        "kafka.fetch.max.bytes (streamgauge.toml): [1] is not allowed",
    ),
    ("inputs.a.window = '1h'", "inputs.a.topics (streamgauge.toml): is missing and has no default"),
    ("inputs.a = 5", "inputs.a (streamgauge.toml): 5 is not allowed; write a table"),
    ("inputs.a.topics = []", "inputs.a.topics (streamgauge.toml): [] is not allowed; write a list"),
    ("inputs.a.topics = [5]", "5 is not a topic; write its name in quotes"),
    ("inputs.a.topics = ['x y']", '"x y" is not a topic\'s name'),
    ("inputs.a.topics = ['pred.*']", 'a regular expression begins with "^"'),
    ("inputs.a.topics = ['^a(']", '"^a(" is not a regular expression: missing )'),
    ("inputs.a.topics = ['u', 'u']", '"u" is named twice; leave one out'),
    ("inputs.a.topics = ['streamgauge-state']", "is a topic of streamgauge itself"),
    (
        "inputs.a = {topics = 'u', widnow = '1h'}",
        "inputs.a.widnow (streamgauge.toml): unknown setting; did",
    ),
    ("inputs.a = {topics = 'u', window = '0s'}", '"0s" is not allowed; write 1ms to 1d'),
    ("inputs.a = {topics = 'u', window = '2d'}", '"2d" is not allowed; write 1ms to 1d'),
    ("inputs.a = {topics = 'u', lateness = '25h'}", '"25h" is not allowed; write 0s to 1d'),
    ("inputs.a = {topics = 'u', format = 'avro'}", '"avro" is not allowed; write "json"'),
    ("inputs.a = {topics = 'u', name = 'b'}", "inputs.a.name (streamgauge.toml): leave it out"),
    (
        "inputs.a = {topics = 'u', fields = {scor = 's'}}",
        "inputs.a.fields.scor (streamgauge.toml): unk",
    ),
    ("inputs.a = {topics = 'u', fields = {score = 'a..b'}}", '"a..b" is not a path'),
    ("inputs.a = {topics = 'u', fields = {features = []}}", "write the path of an object"),
    ("inputs.a = {topics = 'u', fields = {features = [1]}}", "write the path of an object"),
    ("inputs.a = {topics = 'u', fields = {event_time_unit = 'm'}}", 'write "auto", "s", "ms"'),
    ("inputs.a = {topics = 'u', constants = {modl = 'm'}}", 'did you mean "model"?'),
]


@pytest.mark.parametrize(("line", "expected"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_mistakes_are_named_with_what_is_allowed(tmp_path: Path, line: str, expected: str) -> None:
    text = line + "\n" + SMALL
    if line.startswith(("kafka.", "inputs.")):  # the same tables, written as dotted keys
        text = line + "\nkafka.bootstrap.servers = 'h:1'\ninputs.flights.topics = 't'\n"
    found = mistakes(tmp_path, text)
    assert [one for one in found if expected in one], found
    assert len(found) == 1, found


def test_all_mistakes_at_once_from_all_sources(tmp_path: Path) -> None:
    text = "lern_for = '1d'\n[kafka]\n'group.id' = 'x'\n"
    text += "[inputs.a]\ntopics = ['t', '^(']\nwindow = '1'\n"
    text += "[inputs.b]\ntopics = ['t', 'streamgauge-alerts']\n[limits]\nmodels = 0\n"
    found = mistakes(
        tmp_path, text, ["start=x"], {"STREAMGAUGE_LEARN_RECORDS": "-1", "STREAMGAUGE_X": ""}
    )
    settings = sorted(re.split(r"[ :]", one)[0] for one in found)
    assert settings == [
        "inputs.a.topics",
        "inputs.a.window",
        "inputs.b.topics",
        "inputs.b.topics",
        "kafka.bootstrap.servers",
        "kafka.group.id",
        "learn_records",
        "lern_for",
        "limits.models",
        "start",
        "x",
    ]
    assert any("(STREAMGAUGE_LEARN_RECORDS)" in one for one in found)
    assert any("(--set start)" in one for one in found)
    assert any("(STREAMGAUGE_X)" in one for one in found)


def test_one_topic_for_two_inputs(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, SMALL + "[inputs.b]\ntopics = 't'\n")
    assert '"t" is also named by input "flights"; one input reads a topic' in found


def test_own_topics_follow_app(tmp_path: Path) -> None:
    assert mistakes(tmp_path, SMALL.replace('"t"', '"x-alerts"'), ["app=x"])
    assert read(tmp_path, SMALL.replace('"t"', '"x-alerts"')).inputs[0].topics == ("x-alerts",)


def test_nothing_at_all(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "")
    assert [one.split(":")[0] for one in found] == ["inputs", "kafka.bootstrap.servers"]
    assert read(tmp_path, "", need_inputs=False, need_kafka=False).inputs == ()


def test_lists_of_inputs_are_explained(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, "kafka.bootstrap.servers='h:1'\n[[inputs]]\nname = 'a'\n")
    assert "write one table for each input: [inputs.NAME]" in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("app = \n", "streamgauge.toml, line 1, column 7: is not TOML: invalid value"),
        (
            "app = 'a'\napp = 'b'\n",
            "streamgauge.toml, line 2, column 10: is not TOML: cannot overwrite",
        ),
        ("[kafka\n", "streamgauge.toml, line 1"),
    ],
)
def test_toml_syntax_names_file_and_line(tmp_path: Path, text: str, expected: str) -> None:
    (found,) = mistakes(tmp_path, text)
    assert found.startswith(expected)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: cannot be read: No such file"):
        load(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"app = '\xe4'")
    with pytest.raises(SettingsError, match="is not a text in UTF-8"):
        load(tmp_path / "latin.toml")


@pytest.mark.parametrize("flag", ["x", "=5", "a..b=1", ""])
def test_flags_that_are_none(tmp_path: Path, flag: str) -> None:
    (found,) = mistakes(tmp_path, flags=[flag])
    assert "write --set KEY=VALUE" in found


def test_flags_of_many_forms(tmp_path: Path) -> None:
    flags = [
        "models.*.features.zip.kind=categorical",
        'models."a.b".features."c d".hash=true',
        "kafka.fetch.max.bytes=7",
        'inputs.flights.fields.features=["a", "b.c"]',
        "start=2026-01-31",
    ]
    settings = read(tmp_path, flags=flags)
    assert settings.feature("any", "zip").kind == "categorical"
    assert settings.feature("a.b", "c d").hash is True
    assert settings.kafka["fetch.max.bytes"] == "7"
    assert settings.inputs[0].fields.features == ("a", "b.c")
    assert str(settings.start) == "2026-01-31 00:00:00+00:00"


def test_a_value_and_a_table_of_one_name(tmp_path: Path) -> None:
    found = mistakes(tmp_path, flags=["limits=5", "limits.models=5"])
    assert any("given as a value and as a table" in one for one in found)


# --- what others ask --------------------------------------------------------------------------


def test_which_input_reads_a_topic(tmp_path: Path) -> None:
    text = (
        "[kafka]\nbootstrap.servers = 'h:1'\n[inputs.some]\ntopics = ['^.*']\n"
        "[inputs.more]\ntopics = ['^p-', 'x']\n"
    )
    settings = read(tmp_path, text)

    def name(topic: str) -> str | None:
        one = settings.input_for(topic)
        return one.name if one else None

    assert (name("x"), name("p-1"), name("y")) == ("more", "some", "some")
    assert name("__consumer_offsets") is None
    for part in ("profiles", "alerts", "state", "rejects"):
        assert name(f"streamgauge-{part}") is None
    assert settings.matching(["y", "streamgauge-state", "x"]) == ["x", "y"]


def test_detection_settings(tmp_path: Path) -> None:
    text = SMALL + (
        "[models.m.features.'a*']\ndirection = 'up'\nminimum_effect = 0.5\n"
        "severity_cap = 'warning'\n"
        "[models.'*'.features.b]\ninclude = false\ndetect = false\n"
    )
    settings = read(tmp_path, text, ["budget.critical_per_model_week=2", "learn_for=2d"])
    detection = settings.detection(learn_until=5)
    assert detection.critical_per_model_week == 2.0
    assert (detection.learn_for, detection.learn_until) == (2 * durations.DAY, 5)
    rule = detection.features["m"]["a*"]
    assert (rule.direction, rule.minimum_effect, rule.severity_cap) == ("up", 0.5, "warning")
    assert detection.features["*"]["b"].detect is False
    assert settings.feature("m", "abc").direction == "up"
    assert settings.feature("m", "b").include is False
    assert settings.feature("m", "c").include is True


def test_profile_rules(tmp_path: Path) -> None:
    text = SMALL + "[models.m.features.'z*']\nkind = 'categorical'\nhash = true\n"
    text += "[models.'*'.features.pay]\nwithhold_extremes = true\n"
    rules = profile_rules_for(read(tmp_path, text), "m")
    assert (rules.kind_of("zip"), rules.kind_of("x")) == ("categorical", "auto")
    assert (rules.is_hashed("zip"), rules.is_hashed("x")) == (True, False)
    assert (rules.is_withheld("pay"), rules.is_withheld("zip")) == (True, False)


def test_code_says_microseconds_and_reads_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_APP", "other")
    one = InputSettings(name="a", topics=("t",), window=5_000)
    settings = Settings(inputs=(one,))
    assert settings.app == "streamgauge"
    assert settings.inputs[0].window == 5_000


def test_settings_are_frozen(tmp_path: Path) -> None:
    settings = read(tmp_path)
    with pytest.raises(ValueError, match="frozen"):
        settings.app = "x"


def test_example_is_valid_and_its_comments_too(tmp_path: Path) -> None:
    path = ROOT / "streamgauge.example.toml"
    assert load(path, environ={}) == Settings(
        kafka={"bootstrap.servers": "localhost:9092"},
        inputs=(InputSettings(name="predictions", topics=("predictions",)),),
    )
    lines = path.read_text().splitlines()
    assert not [line for line in lines if len(line) > 100]
    setting = re.compile(r"""# (["\w.]+ = .*|\[.*)""")
    shown = [found[1] if (found := setting.fullmatch(line)) else line for line in lines]
    every: dict[str, Any] = tomllib.loads("\n".join(shown))
    assert set(every) == set(Settings.model_fields)
    (tmp_path / "password").write_text("x")
    uncommented = "\n".join(shown).replace("/run/secrets/kafka-password", "password")
    settings = read(tmp_path, uncommented)
    assert settings.limits == Limits()
    assert settings.inputs[0].window == InputSettings(name="a", topics=("t",)).window
    assert set(every["inputs"]["predictions"]["fields"]) == set(FieldMap.model_fields)
    assert set(every["models"]["*"]["features"]["zip*"]) == set(FeatureSettings.model_fields)
    assert every["limits"] == Limits().model_dump()


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("10s", 10_000_000),
        ("1.5h", 5_400_000_000),
        ("250ms", 250_000),
        ("0s", 0),
        (" 31 d ", 31 * 86_400_000_000),
    ],
)
def test_durations(text: str, microseconds: int) -> None:
    assert durations.parse_duration(text) == microseconds
    assert durations.parse_duration(durations.format_duration(microseconds)) == microseconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-02", 86_400),
        ("1970-01-01T00:00:01Z", 1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:59:59", -1),
    ],
)
def test_times(text: str, seconds: int) -> None:
    assert durations.to_microseconds(durations.parse_time(text)) == seconds * 1_000_000


def test_times_of_any_size_can_be_shown() -> None:
    assert durations.format_time(1_500_000) == "1970-01-01T00:00:01.500000Z"
    assert durations.format_time(10**18) == "1000000000000000000 us since 1970"


def test_nearest_name() -> None:
    assert nearest("Lern-For", ["learn_for", "app"]) == "learn_for"
    assert nearest("zzz", ["learn_for", "app"]) is None


def test_whom_the_events_of_a_model_concern(tmp_path: Path) -> None:
    table = (
        "[models.delay]\nowner = 'flight-ml'\nrunbook = 'https://wiki/delay'\n"
        "labels = { team = 'flights' }\n[models.'*'.features.'zip*']\ndetect = false\n"
    )
    settings = read(tmp_path, SMALL + table)
    assert settings.detection().owners == {
        "delay": Ownership({"team": "flights"}, "flight-ml", "https://wiki/delay")
    }
    table = (
        "[models.delay]\nowner = \"a\\nb\"\nrunbook = 'wiki'\n"
        "labels = { 'a-b' = 'x' }\n[models.m.labels]\nteam = 7\n"
    )
    found = mistakes(tmp_path, SMALL + table)
    assert len(found) == 4
    assert any('"a-b" is not a label\'s name' in each for each in found)
    assert any("models.delay.owner" in each and "one line" in each for each in found)
    assert any('"wiki" is not an address' in each for each in found)
    many = "".join(f"l{at} = ''\n" for at in range(9))
    assert "has 9 labels" in mistakes(tmp_path, f"{SMALL}[models.m.labels]\n{many}")[0]
