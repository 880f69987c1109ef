# SPDX-License-Identifier: Apache-2.0
"""The notations in which people write pools and addresses into annotations.

Promises a value or a cause that names where it stands, what stands there and what
to write instead; never an exception. The tricky one is Contrail's dictionary, which
is JSON in some clusters and a Python literal in others, and as an environment
variable sometimes has quotes of its own around it.
"""

import ast
import json
from collections.abc import Mapping
from typing import TypeAlias

from buoy.model.address import Address, family, parse_address
from buoy.model.errors import InvalidInput
from buoy.model.refusal import AllocationReason, Cause

Addresses: TypeAlias = Mapping[int, Address]
"""At most one address of each family."""

_PARTS = ("domain", "project", "network", "name")
_LONGEST = 1024
_DICTIONARY = '{"domain": "default-domain", "project": "k8s-dev", "network": "vn-dev", "name": "pool-dev"}'
_LIST = '["192.0.2.7"]'
_COMMAS = "192.0.2.7, or 192.0.2.7,2001:db8::7"


def full_name(said: str, text: str) -> str | Cause:
    """Return a pool's name in Contrail's form, ``domain:project:network:name``, of a dictionary of these four."""
    found = _literal(text)
    if isinstance(found, str):
        found = _literal(found)
    if not isinstance(found, dict):
        return _malformed(said, text, "it is no dictionary", _DICTIONARY)
    parts = {part: found.get(part) for part in _PARTS}
    wrong = [part for part, value in parts.items() if not isinstance(value, str) or not value.strip() or ":" in value]
    if wrong:
        return _malformed(said, text, f"it has no proper {', '.join(wrong)}", _DICTIONARY)
    return ":".join(str(value).strip() for value in parts.values())


def is_nothing(text: str) -> bool:
    """Tell whether a text says nothing: it is blank, or an empty dictionary as Contrail's default is."""
    return not text.strip() or _literal(text) == {}


def words(said: str, text: str) -> tuple[str, ...] | Cause:
    """Return the names between commas."""
    found = tuple(word.strip() for word in text.split(","))
    if not all(found):
        return _malformed(said, text, "a name between the commas is empty", "a name, or names with commas between them")
    return found


def listed(said: str, text: str) -> tuple[str, ...] | Cause:
    """Return the names of a JSON list."""
    found = _literal(text)
    if not isinstance(found, list) or not found or not all(isinstance(item, str) and item for item in found):
        return _malformed(said, text, "it is no list of names", '["pool-dev"]')
    return tuple(found)


def addresses(said: str, text: str) -> Addresses | Cause:
    """Return the addresses between commas, one of a family at most."""
    return _of_texts(said, text, [part.strip() for part in text.split(",")], _COMMAS)


def listed_addresses(said: str, text: str) -> Addresses | Cause:
    """Return the addresses of a JSON list, one of a family at most."""
    found = _literal(text)
    if not isinstance(found, list) or not found:
        return _malformed(said, text, "it is no list of addresses", _LIST)
    return _of_texts(said, text, [str(item) for item in found], _LIST)


def _of_texts(said: str, text: str, texts: list[str], expected: str) -> Addresses | Cause:
    found: dict[int, Address] = {}
    for each in texts:
        try:
            address = parse_address(each)
        except InvalidInput:
            return _malformed(said, text, f"{each[:_SHOWN] or 'nothing'} is no address", expected)
        if found.setdefault(family(address), address) != address:
            return _malformed(said, text, f"it has two addresses of IPv{family(address)}", expected)
    return found


_SHOWN = 120


def _malformed(said: str, text: str, error: str, expected: str) -> Cause:
    value = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    details = {"said": said, "value": repr(value), "error": error, "expected": expected}
    return Cause(AllocationReason.MALFORMED, details)


def _literal(text: str) -> object:
    """Return what a text is as JSON, else as a Python literal; None if it is neither."""
    # Longer than anything meant, and short enough that no nesting of brackets exhausts a parser.
    if len(text) > _LONGEST:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
