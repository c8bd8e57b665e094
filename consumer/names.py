"""Names out of records, made safe to keep: bounded, and apart from our own."""

from __future__ import annotations

import hashlib

_HASH_CHARACTERS = 16  # 64 bits: two long names of one stream do not meet


def shortened(name: str, limit: int) -> str:
    """The name, or its beginning and a hash of all of it if it has more than ``limit`` bytes.

    The same name gives the same result everywhere. Control characters stay: whoever shows a name
    escapes it.

    Args:
        name: Any text without lone surrogates.
        limit: UTF-8 bytes; shorter than the hash: part of the hash is left.
    """
    if len(name) * 4 <= limit:
        return name
    encoded = name.encode()
    if len(encoded) <= limit:
        return name
    tail = f"~{hashlib.sha256(encoded).hexdigest()[:_HASH_CHARACTERS]}"[:limit]
    return encoded[: limit - len(tail)].decode(errors="ignore") + tail


def feature_name(key: str, limit: int) -> str:
    """The name that a feature is kept under.

    ``@`` begins the names of a record's own fields, so that a feature's own ``@`` is doubled; the
    empty name, which stands for the whole model elsewhere, is ``@empty``.
    """
    if key.startswith("@"):
        key = f"@{key}"
    return shortened(key, limit) if key else "@empty"
