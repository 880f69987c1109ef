# SPDX-License-Identifier: Apache-2.0
"""Entries as a person reads them in `buoy plan` and `buoy audit`: short, and never a dump of everything inside."""

import enum
from typing import Any

import msgspec

from buoy.model.nodestate import Entry, GroupRules

_SHOWN = 3


def entry_text(entry: Entry | None) -> str:
    """Return what an entry says, such as ``interface tap1, preference normal``; ``-`` for none."""
    if entry is None:
        return "-"
    if isinstance(entry, GroupRules):
        return f"{len(entry.rules)} rules"
    fields = msgspec.structs.asdict(entry).items()
    said = [f"{name.replace('_', ' ')} {_value(value)}" for name, value in fields if value not in (None, "", ())]
    return ", ".join(said) or "present"


def _value(value: Any) -> str:  # noqa: ANN401  whatever an entry holds
    match value:
        case enum.Enum():
            return value.name.lower()
        case tuple() if len(value) > _SHOWN:
            return f"{_value(value[:_SHOWN])} and {len(value) - _SHOWN} more"
        case tuple():
            return " + ".join(_value(each) for each in value)
        case msgspec.Struct():
            return " ".join(_value(each) for each in msgspec.structs.astuple(value) if each not in (None, "", ()))
    return str(value)
