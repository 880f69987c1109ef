# SPDX-License-Identifier: Apache-2.0
"""Names of nft chains and sets, and back: a stranger reads from a name whose it is.

Promises: `identity(name(kind, id)) == (kind, id)` for every id. The tricky
thing: nft takes letters, digits, dot, dash and underscore only, so every other
byte is written as an underscore and two hexadecimal digits.
"""

import re

from buoy.model.errors import InvalidInput
from buoy.model.group import Side

_PLAIN = re.compile(rb"[A-Za-z0-9.-]")
_ESCAPE = re.compile(r"_([0-9a-f]{2})")
_KINDS = ("m4", "m6", "n4", "n6", "gi", "ge", "ci", "ce")
_LONGEST = 100


def name(kind: str, identifier: str) -> str:
    """Return the name of one object of a group or combination; raise `InvalidInput` if the id is too long."""
    raw = identifier.encode()
    text = "".join(chr(byte) if _PLAIN.match(bytes([byte])) else f"_{byte:02x}" for byte in raw)
    if not raw or len(text) > _LONGEST:
        raise InvalidInput("id", identifier, f"give an id of 1 to {_LONGEST} letters and digits")
    return f"{kind}-{text}"


def identity(text: str) -> tuple[str, str] | None:
    """Return kind and id of a name, or None for one of the static objects."""
    kind, dash, rest = text.partition("-")
    if not dash or kind not in _KINDS:
        return None
    raw = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), rest).encode("latin-1", errors="replace")
    return kind, raw.decode(errors="replace")


def group_chain(side: Side, group: str) -> str:
    """Return the chain with a group's rules of one side."""
    return name("gi" if side is Side.INGRESS else "ge", group)


def combination_chain(side: Side, combination: str) -> str:
    """Return the chain that jumps to each group of a combination."""
    return name("ci" if side is Side.INGRESS else "ce", combination)


def member_set(group: str, family: int, *, host: bool) -> str:
    """Return the set of a group's members: hosts in a hash set, prefixes in an interval set."""
    return name(f"{'m' if host else 'n'}{family}", group)
