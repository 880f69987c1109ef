# SPDX-License-Identifier: Apache-2.0
"""What foreign objects write as text: prefixes, AS numbers, durations, addresses with a port.

Promises: whatever cannot be read raises `InvalidInput` naming the field as it stands
in the object. Host bits of a prefix are ignored, as Go's net.ParseCIDR does.
"""

import ipaddress
import re

from buoy.kubernetes.foreign import Password
from buoy.model.address import Address, Prefix, parse_address
from buoy.model.errors import InvalidInput

_ASN = 2**32 - 1
_HALF = 2**16 - 1
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")
_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]+)\]:(\d{1,5})")
_QUAD = re.compile(r"([0-9.]+):(\d{1,5})")


def read_prefix(text: str, field: str) -> Prefix:
    """Return a prefix; a bare address is a host prefix."""
    try:
        return Prefix(str(ipaddress.ip_network(text.strip(), strict=False)))
    except ValueError as error:
        raise InvalidInput(field, text, "give a network, such as 192.0.2.0/24") from error


def read_asn(value: int | str, field: str) -> int:
    """Return an AS number written as 65001, "65001" or "1.10" (RFC 5396)."""
    high, dot, low = str(value).partition(".")
    parts = [high, low] if dot else [high]
    if all(part.isascii() and part.isdecimal() for part in parts):
        number = int(high) if not dot else (int(high) << 16) + int(low)
        if 1 <= number <= _ASN and (not dot or max(int(high), int(low)) <= _HALF):
            return number
    raise InvalidInput(field, value, "give an AS number, such as 64512 or 1.10")


def read_seconds(text: str, field: str) -> int:
    """Return a Go duration such as ``2m30s`` in whole seconds."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        raise InvalidInput(field, text, "give a duration, such as 120s or 2m")
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups())
    return round(hours * 3600 + minutes * 60 + seconds + milliseconds / 1000)


def secret_file(password: Password) -> str:
    """Return where agents find a password of a Secret: beneath their `passwords`, where it is mounted by its name."""
    return f"{password.secret_key_ref.name}/{password.secret_key_ref.key}"


def read_endpoint(text: str, field: str, port: int = 179) -> tuple[Address, int]:
    """Return address and port of ``192.0.2.1``, ``192.0.2.1:1179`` or ``[2001:db8::1]:1179``."""
    found = _BRACKETED.fullmatch(text) or _QUAD.fullmatch(text)
    if found is None:
        return parse_address(text, field), port
    number = int(found[2])
    if not 1 <= number <= _HALF:
        raise InvalidInput(field, text, "give a port from 1 to 65535")
    return parse_address(found[1], field), number
