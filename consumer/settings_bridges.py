"""``[bridges.NAME]``: targets outside of Kafka that are told of alerts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from alerts.syslog import FACILITIES
from alerts.webhook import signing_key
from consumer.durations import MINUTE, SECOND, short
from consumer.kafka_settings import FILE_SUFFIX, read_secret
from consumer.mistakes import Mistake, SettingsError
from consumer.settings_values import AnswerWithin, Patience, Pattern, Start
from sketches.detection import Severity

Kind = Literal["alertmanager", "webhook", "syslog"]
SECRETS: Final = ("secret", "token", "password", "url")  # each can be given as a file
# A webhook's address may be a secret; where it stands in the open it is taken for none.
_NEVER_OPEN: Final = ("secret", "token", "password")
LONGEST_ATTEMPT: Final = 90 * SECOND  # a group's member that does not read for 120 s is let go
_SCHEMES: Final[dict[str, tuple[str, ...]]] = {
    "alertmanager": ("http", "https"),
    "webhook": ("http", "https"),
    "syslog": ("tls", "tcp", "udp"),
}
_ONLY: Final = {
    "secret": ("webhook",),
    "secret_file": ("webhook",),
    "format": ("webhook",),
    "resend_every": ("alertmanager",),
    "facility": ("syslog",),
    "token": ("alertmanager", "webhook"),
    "token_file": ("alertmanager", "webhook"),
    "username": ("alertmanager", "webhook"),
    "password": ("alertmanager", "webhook"),
    "password_file": ("alertmanager", "webhook"),
}


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _named(value: object) -> object:
    """``[bridges.NAME]`` tables know their names."""
    if not isinstance(value, Mapping):
        return value
    return {
        name: {**table, "name": name} if isinstance(table, Mapping) else table
        for name, table in value.items()
    }


def _facility(value: str) -> str:
    if value not in FACILITIES:
        raise ValueError(f"{short(value)} is not allowed; write one of {', '.join(FACILITIES)}")
    return value


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class RouteSettings(_Table):
    """Events that go to a target; what is left out does not matter."""

    models: Annotated[tuple[Pattern, ...], BeforeValidator(_one_or_more)] = ()
    severities: Annotated[tuple[Severity, ...], BeforeValidator(_one_or_more)] = ()
    labels: dict[str, str] = {}


class BridgeSettings(_Table):
    """One target. Durations are microseconds.

    Attributes:
        name: Name of the table in the file; part of the bridge's consumer group.
        kind: What is spoken there.
        url: Where; several: each replica of one Alertmanager.
        routes: Events that go there; empty: all.
        start: Where its group begins that has never committed.
        timeout: An attempt may take so long.
        retry_at_most: Attempts follow each other no more slowly.
        username: For basic authentication, beside ``password``.
        password: Likewise.
        token: For ``Authorization: Bearer``.
        ca_file: Authorities that are trusted, in place of the system's.
        cert_file: Certificate to show, with its key if ``key_file`` is not given.
        key_file: Its key.
        secret: Webhook: bodies are signed with it.
        format: Webhook: the event itself, or the body that Alertmanager's webhook receivers get.
        resend_every: Alertmanager: what goes on is said again so often.
        facility: Syslog: of all messages.
    """

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,100}$")]
    kind: Kind
    url: Annotated[tuple[str, ...], BeforeValidator(_one_or_more)] = ()
    url_file: Path | None = None
    routes: tuple[RouteSettings, ...] = ()
    start: Start = "latest"
    timeout: AnswerWithin = 10 * SECOND
    retry_at_most: Patience = MINUTE
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    token: SecretStr | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    secret: SecretStr | None = None
    secret_file: Path | None = None
    format: Literal["event", "alertmanager"] = "event"
    resend_every: Patience = MINUTE
    facility: Annotated[str, AfterValidator(_facility)] = "local0"

    @model_validator(mode="after")
    def _fits(self) -> BridgeSettings:
        for setting, kinds in _ONLY.items():
            if setting in self.model_fields_set and self.kind not in kinds:
                raise ValueError(f"{setting} is for {' and '.join(kinds)}; leave it out")
        if bool(self.url) == (self.url_file is not None):
            raise ValueError(f"write where it is, either {_example(self.kind)} or url_file")
        if (self.password or self.password_file) and not self.username:
            raise ValueError("a password is given without username; write both, or token_file")
        if self.kind != "alertmanager" and len(self.url) > 1:
            raise ValueError("url is a list; write one bridge for each target")
        if self.timeout * max(len(self.url), 1) > LONGEST_ATTEMPT:
            raise ValueError("timeout times the number of addresses is over 90s; make it shorter")
        for url in self.url:
            if (text := url_mistake(self.kind, url)) is not None:
                raise ValueError(text)
        return self

    def group(self, base: str) -> str:
        """Its consumer group.

        Args:
            base: ``group`` of the settings.
        """
        return f"{base}-bridge-{self.name}"


Bridges = Annotated[dict[str, BridgeSettings], BeforeValidator(_named)]


def _example(kind: Kind) -> str:
    examples = {
        "alertmanager": 'url = "http://alertmanager:9093"',
        "webhook": 'url = "https://host/path"',
        "syslog": 'url = "tls://host:6514" (or tcp://, udp://)',
    }
    return examples[kind]


def url_mistake(kind: Kind, url: str) -> str | None:
    """What is wrong with an address, without showing it: it may hold a secret."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return f"url cannot be read; write {_example(kind)}"
    if parts.username is not None or parts.password is not None:
        return "url holds a user or a password; write username and password_file instead"
    plain = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in _SCHEMES[kind] or not host or not plain:
        return f"url does not fit; write {_example(kind)}"
    if kind == "syslog" and port is None:
        return f"url names no port; write {_example(kind)}"
    return None


def with_secrets(bridge: BridgeSettings) -> BridgeSettings:
    """The same with what stands in files read from there.

    Raises:
        SettingsError: With every file that cannot be read, or does not hold what it should.
    """
    found: list[Mistake] = []
    read: dict[str, str] = {}
    for name in SECRETS:
        path: Path | None = getattr(bridge, f"{name}{FILE_SUFFIX}")
        if path is None:
            continue
        try:
            read[name] = read_secret(path)
        except ValueError as error:
            found.append(Mistake(f"bridges.{bridge.name}.{name}{FILE_SUFFIX}", str(error)))
    url = read.pop("url", None)
    if url is not None and (text := url_mistake(bridge.kind, url)) is not None:
        found.append(Mistake(f"bridges.{bridge.name}.url_file", text))
    secrets = {name: SecretStr(text) for name, text in read.items()}
    changed = {"url": (url,)} if url is not None else {}
    whole = bridge.model_copy(update={**secrets, **changed})
    if whole.secret is not None:
        try:
            signing_key(whole.secret.get_secret_value())
        except ValueError as error:
            found.append(Mistake(f"bridges.{bridge.name}.secret", str(error)))
    if found:
        raise SettingsError(found)
    return whole


def take_bridges(data: dict[str, object], folder: Path, visible: str | None) -> list[Mistake]:
    """Refuse secrets that stand where others read them, and make paths of files whole.

    Args:
        data: Tables of the source; changed in place.
        folder: Where relative paths begin.
        visible: Where others can read the values; None: they cannot.
    """
    found: list[Mistake] = []
    bridges = data.get("bridges")
    for name, table in bridges.items() if isinstance(bridges, Mapping) else ():
        if not isinstance(table, dict):
            continue
        for setting, value in list(table.items()):
            if setting in _NEVER_OPEN and visible is not None:
                del table[setting]
                text = (
                    f"a secret does not belong {visible}; write its file "
                    f'({setting}{FILE_SUFFIX} = "/path") or set a variable'
                )
                found.append(Mistake(f"bridges.{name}.{setting}", text))
            elif setting.endswith(FILE_SUFFIX) and isinstance(value, str):
                table[setting] = str(folder / value)
    return found
