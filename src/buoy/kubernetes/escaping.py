# SPDX-License-Identifier: Apache-2.0
"""Addresses as parts of object names, and back.

Promises that each address has one name and each name one address. An object's name
is a DNS subdomain (RFC 1123): it holds no colon, and no part of it begins or ends
with a dash, so an address that begins or ends with ``::`` gets a zero there.
"""

import re

from buoy.model.address import Address, parse_address
from buoy.model.errors import InvalidInput

_QUAD = re.compile(r"(\d+\.\d+\.\d+\.\d+)(?:\.(.+))?")
_GROUPS = re.compile(r"([0-9a-f]+(?:-[0-9a-f]*)+)(?:\.(.+))?")


def escape(address: Address) -> str:
    """Return an address as an object's name: ``192.0.2.7``, ``2001-db8--1``."""
    text = address.replace(":", "-")
    if ":" not in address:
        return text
    return f"{'0' if text.startswith('-') else ''}{text}{'0' if text.endswith('-') else ''}"


def unescape(name: str) -> tuple[Address, str]:
    """Return the address a name begins with, and what follows after a dot.

    Raises `InvalidInput` if it begins with none, or with one that is not written as `escape` does.
    """
    if found := _QUAD.fullmatch(name):
        text = found[1]
    elif found := _GROUPS.fullmatch(name):
        text = found[1].replace("-", ":")
    else:
        raise InvalidInput("metadata.name", name, "name it after an address, such as 192.0.2.7 or 2001-db8--1")
    address = parse_address(text, "metadata.name")
    if escape(address) != found[1]:
        raise InvalidInput("metadata.name", name, f"name it {escape(address)}: an address has one name")
    return address, found[2] or ""
