# SPDX-License-Identifier: Apache-2.0
"""BGP communities as text: ``aa:nn`` (RFC 1997) and large ones, ``aa:nn:mm`` (RFC 8092).

Promises that a community which passes has one spelling, without leading zeros, so
that equal ones are equal texts. The number of parts alone says which kind it is.
"""

import re

from buoy.model.errors import InvalidInput

_PARTS = re.compile(r"(0|[1-9][0-9]{0,9})(:(0|[1-9][0-9]{0,9})){1,2}")
_PLAIN, _LARGE = 2**16 - 1, 2**32 - 1


def parse_community(text: str, field: str) -> tuple[int, ...]:
    """Return the two or three numbers of a community; raise `InvalidInput` naming `field`."""
    parts = tuple(int(part) for part in text.split(":")) if _PARTS.fullmatch(text) else ()
    if not parts or max(parts) > (_PLAIN if len(parts) == 2 else _LARGE):
        remedy = f"give aa:nn up to {_PLAIN}, or aa:nn:mm up to {_LARGE}, without leading zeros"
        raise InvalidInput(field, text[:64], remedy)
    return parts
