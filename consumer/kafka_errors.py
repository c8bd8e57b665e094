"""What a Kafka error means for the person who sees it, and what to do.

The client says in its calls only that something failed; the cause stands in the texts that it gives
to its error callback. Texts and codes as seen with librdkafka 2.14 to 2.16.
"""

from __future__ import annotations

import re
from typing import Final


class KafkaProblem(Exception):  # noqa: N818 - not only errors: some pass
    """Kafka refused or did not answer.

    Attributes:
        code: Name of the error, such as ``_TRANSPORT`` or ``TOPIC_AUTHORIZATION_FAILED``.
        text: The client's own words.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{text} ({code})")
        self.code, self.text = code, text


_ADDRESS = re.compile(r"(?:\w+://)?(?P<address>(?:\[[0-9A-Fa-f:]+\]|[\w.-]+):\d+)/")
_RESOLVE = re.compile(r"resolve '?(?P<address>[\w.-]+:\d+)'?")

# The first row whose code (empty: any) and words (empty: any) are found wins.
_MEANING: Final[tuple[tuple[str, str, str], ...]] = (
    (
        "",
        "plaintext broker listener",
        "{at} does not speak TLS; set security.protocol to PLAINTEXT or SASL_PLAINTEXT, or use the "
        "port of the TLS listener",
    ),
    (
        "",
        "ssl connection closed by peer",
        "{at} ends the TLS handshake; most often it does not speak TLS: set security.protocol to "
        "PLAINTEXT or SASL_PLAINTEXT, or use the port of the TLS listener",
    ),
    (
        "",
        "certificate required",
        "{at} wants a client certificate; set ssl.certificate.location and ssl.key.location",
    ),
    (
        "",
        "certificate verify failed",
        "the certificate of {at} is not trusted, is for another host name, or has expired; set "
        "ssl.ca.location to the file of its authority, and name the host as in the certificate",
    ),
    (
        "",
        "no provider for sasl mechanism",
        "the client does not know this SASL mechanism; set sasl.mechanism, for example to "
        "SCRAM-SHA-512",
    ),
    (
        "",
        "handshake not supported",
        "the listener {at} has no SASL; use its SASL port, or take sasl.* and SASL_ out of the "
        "settings",
    ),
    (
        "",
        "unsupported sasl mechanism",
        "{at} does not offer this SASL mechanism; set sasl.mechanism to one that it offers",
    ),
    ("_AUTHENTICATION", "", "{at} refused the user or the password: {text}"),
    ("SASL_AUTHENTICATION_FAILED", "", "{at} refused the user or the password: {text}"),
    (
        "_RESOLVE",
        "",
        "the host name {at} is unknown; check the spelling of bootstrap.servers, and if another "
        "host is named there, the broker's advertised.listeners",
    ),
    (
        "",
        "connection refused",
        "no Kafka at {at}; check bootstrap.servers and that the broker runs",
    ),
    (
        "",
        "disconnected while requesting apiversion",
        "{at} closes the connection at once; the port may need TLS: set security.protocol to SSL "
        "or SASL_SSL",
    ),
    (
        "",
        "connection reset",
        "{at} closes the connection; the port may need TLS: set security.protocol to SSL or "
        "SASL_SSL",
    ),
    (
        "",
        "network is unreachable",
        "there is no way to {at}; check the network and bootstrap.servers",
    ),
    (
        "",
        "no route to host",
        "there is no way to {at}; check the network and bootstrap.servers",
    ),
    (
        "",
        "timed out",
        "{at} does not answer; check bootstrap.servers and firewalls",
    ),
    (
        "_ALL_BROKERS_DOWN",
        "",
        "no broker answers at {at}; check bootstrap.servers and that a broker runs. If one runs, "
        "the port may need TLS: set security.protocol to SSL or SASL_SSL",
    ),
    (
        "",
        "same group.instance.id",
        "another process took this one's place in the group: it has the same group.instance.id; "
        "give every process its own",
    ),
    (
        "",
        "instance id is still used",
        "another process of the group has the same group.instance.id; end it, or give every "
        "process its own",
    ),
    (
        "",
        "no such configuration property",
        "the client does not know a setting in [kafka]: {text}",
    ),
    ("_INVALID_ARG", "", "the client refuses a setting in [kafka]: {text}"),
    (
        "CLUSTER_AUTHORIZATION_FAILED",
        "",
        "this user may not do that to the cluster (CREATE and DESCRIBE_CONFIGS make topics); let "
        "somebody who may run `streamgauge topics create`",
    ),
    (
        "TOPIC_AUTHORIZATION_FAILED",
        "",
        "this user may not use the topic; allow READ and DESCRIBE on topics with predictions, "
        "READ, WRITE and DESCRIBE on streamgauge's own: {text}",
    ),
    (
        "GROUP_AUTHORIZATION_FAILED",
        "",
        "this user may not use the consumer group; allow READ on it: {text}",
    ),
    (
        "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
        "",
        "this user may not write in transactions; allow WRITE and DESCRIBE on the transactional "
        'ids that begin with the app\'s name and -, or set delivery = "at_least_once": {text}',
    ),
    (
        "INVALID_TRANSACTION_TIMEOUT",
        "",
        "the broker does not allow transactions that long; set transaction.timeout.ms in [kafka] "
        "to at most the broker's transaction.max.timeout.ms",
    ),
    (
        "UNKNOWN_TOPIC_OR_PART",
        "",
        "the topic does not exist; name another one, or make it: {text}",
    ),
    (
        "_UNKNOWN_TOPIC",
        "",
        "the topic does not exist; name another one, or make it: {text}",
    ),
    (
        "_UNKNOWN_PARTITION",
        "",
        "the topic or the partition does not exist any more: {text}",
    ),
    (
        "MSG_SIZE_TOO_LARGE",
        "",
        "a message is larger than allowed; raise message.max.bytes in [kafka] and "
        "max.message.bytes of the topic: {text}",
    ),
    (
        "INVALID_RECORD",
        "",
        "the broker refused a record, for instance one without a key on a compacted topic: {text}",
    ),
    (
        "INVALID_REPLICATION_FACTOR",
        "",
        "there are fewer brokers than copies asked for; set replication_factor in [topics] to at "
        "most the number of brokers",
    ),
    (
        "POLICY_VIOLATION",
        "",
        "a policy of the cluster does not allow this: {text}",
    ),
    (
        "_AUTO_OFFSET_RESET",
        "",
        "the log does not hold the offset any more: records were deleted before they were read",
    ),
    (
        "_TRANSPORT",
        "",
        "{at} cannot be reached; check bootstrap.servers, security.protocol and that the broker "
        "runs: {text}",
    ),
)


def explain(code_name: str, text: str) -> str:
    """One sentence: what is wrong and what to do.

    Args:
        code_name: Name of the client's error code, such as ``_TRANSPORT``.
        text: Its text, best the last one of the error callback.
    """
    lower = text.lower()
    for code, words, meaning in _MEANING:
        if (not code or code == code_name) and words in lower:
            return meaning.format(at=address(text) or "the broker", text=_one_line(text))
    return f"{_one_line(text) or 'Kafka gave no reason'} ({code_name})"


def address(text: str) -> str | None:
    """The ``host:port`` that a text of the client is about."""
    found = _RESOLVE.search(text) or _ADDRESS.search(text)
    return found["address"] if found else None


def _one_line(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= 300 else f"{line[:297]}..."
