"""``[bridges.NAME]``: what is refused, in whose words, and that no secret is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumer.settings import Settings, SettingsError, load
from consumer.settings_bridges import BridgeSettings, with_secrets
from consumer.targets import target

ROOT = Path(__file__).parents[2]
SECRET = "hunter2-do-not-show"  # noqa: S105 - it is none
KAFKA = '[kafka]\n"bootstrap.servers" = "h:9092"\n'


def read(tmp_path: Path, table: str, environ: dict[str, str] | None = None) -> Settings:
    path = tmp_path / "streamgauge.toml"
    path.write_text(f"{KAFKA}[bridges.b]\n{table}")
    return load(path, environ=environ or {}, need_inputs=False)


def mistakes(tmp_path: Path, table: str, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, table, environ)
    assert SECRET not in str(caught.value)
    return str(caught.value).replace(f"{tmp_path}/", "")


def one(settings: Settings) -> BridgeSettings:
    return settings.bridges["b"]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("url = 'http://h'", "bridges.b.kind (streamgauge.toml): is missing and has no default"),
        ("kind = 'mail'\nurl = 'http://h'", 'bridges.b.kind (streamgauge.toml): "mail" is not'),
        ("kind = 'webhook'", "write where it is, either url ="),
        ("kind = 'webhook'\nurl = 'http://h'\nurl_file = 'u'", "write where it is, either url ="),
        ("kind = 'webhook'\nurl = ['http://a', 'http://b']", "write one bridge for each target"),
        ("kind = 'webhook'\nurl = 'ftp://h'", 'url does not fit; write url = "https://host/path"'),
        ("kind = 'syslog'\nurl = 'tls://h'", "url names no port"),
        ("kind = 'syslog'\nurl = 'tls://h:x'", "url cannot be read"),
        ("kind = 'syslog'\nurl = 'udp://h:1'\ntoken_file = 't'", "token_file is for alertmanager"),
        ("kind = 'syslog'\nurl = 'udp://h:1'\nfacility = 'x'", '"x" is not allowed; write one of'),
        ("kind = 'webhook'\nurl = 'http://h'\nsecert_file = 'x'", 'did you mean "secret_file"?'),
        ("kind = 'webhook'\nurl = 'http://h'\ntimeout = '5min'", "write 100ms to 30s"),
        (
            "kind = 'alertmanager'\nurl = ['http://a', 'http://b', 'http://c', 'http://d']\n"
            "timeout = '30s'",
            "timeout times the number of addresses is over 90s",
        ),
        ("kind = 'webhook'\nurl = 'http://h'\npassword_file = 'p'", "without username; write both"),
        (
            "kind = 'webhook'\nurl = 'http://h'\n[models.m]\nlabels = {test = 'x'}",
            '"test" marks the alerts of streamgauge test-alert',
        ),
        (f"kind = 'webhook'\nurl = 'http://u:{SECRET}@h'", "url holds a user or a password"),
        (
            f"kind = 'webhook'\nurl = 'http://h'\nsecret = '{SECRET}'",
            "bridges.b.secret (streamgauge.toml): a secret does not belong in a configuration file",
        ),
        (
            f"kind = 'webhook'\nurl = 'http://h'\ntoken = '{SECRET}'",
            'write its file (token_file = "/path") or set a variable',
        ),
    ],
)
def test_mistakes(tmp_path: Path, table: str, expected: str) -> None:
    assert expected in mistakes(tmp_path, table)


def test_secrets_come_from_files_beside_the_configuration_and_from_variables(
    tmp_path: Path,
) -> None:
    (tmp_path / "url").write_text(f"https://hooks.example/{SECRET}\n")
    environ = {"STREAMGAUGE_BRIDGES__B__SECRET": SECRET}
    settings = read(tmp_path, "kind = 'webhook'\nurl_file = 'url'", environ)
    whole = with_secrets(one(settings))
    assert whole.url == (f"https://hooks.example/{SECRET}",)
    assert whole.secret is not None
    assert whole.secret.get_secret_value() == SECRET
    assert SECRET not in repr(settings)
    assert SECRET not in settings.model_dump_json()


def test_a_worker_needs_no_secret_of_a_bridge(tmp_path: Path) -> None:
    settings = read(tmp_path, "kind = 'webhook'\nurl_file = 'none'\nsecret_file = 'none'")
    with pytest.raises(SettingsError, match=r"bridges\.b\.secret_file: cannot read .*/none"):
        with_secrets(one(settings))


@pytest.mark.parametrize(
    ("setting", "text", "expected"),
    [
        ("url_file", f"http://u:{SECRET}@h", "bridges.b.url_file: url holds a user"),
        ("secret_file", f"whsec_{SECRET}!", "bridges.b.secret: is not base64"),
    ],
)
def test_what_a_file_holds_is_not_shown(
    tmp_path: Path, setting: str, text: str, expected: str
) -> None:
    (tmp_path / "f").write_text(text)
    url = "" if setting == "url_file" else "url = 'http://h'\n"
    settings = read(tmp_path, f"kind = 'webhook'\n{url}{setting} = 'f'")
    with pytest.raises(SettingsError) as caught:
        with_secrets(one(settings))
    assert expected in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("no certificate")
    for line, expected in (
        ("ca_file = 'none'", "bridges.b.ca_file: .*/none: No such file"),
        ("ca_file = 'bad'", "bridges.b.ca_file: .*/bad: "),
        ("cert_file = 'bad'", "bridges.b.cert_file: .*/bad: "),
    ):
        settings = read(tmp_path, f"kind = 'webhook'\nurl = 'https://h'\n{line}")
        with pytest.raises(SettingsError, match=expected):
            target(one(settings), "app")


def test_groups_are_of_the_app_and_the_bridge(tmp_path: Path) -> None:
    settings = read(tmp_path, "kind = 'syslog'\nurl = 'udp://h:514'")
    assert one(settings).group(settings.group) == "streamgauge-bridge-b"


def test_the_example_shows_every_setting() -> None:
    shown = (ROOT / "streamgauge.example.toml").read_text()
    shown = shown[shown.index("[bridges.pager]") :]
    hidden = {"name", "password", "token", "secret"}
    for name in BridgeSettings.model_fields.keys() - hidden:
        assert f"\n# {name} = " in shown, name
