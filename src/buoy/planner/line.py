# SPDX-License-Identifier: Apache-2.0
"""One step of an address's way, as `buoy why` prints it."""

import msgspec

from buoy.model.reason import Reason, Withhold


class Line(msgspec.Struct, frozen=True):
    """One step of the way; `reason` is given where it ends or limps, with its remedy in the text."""

    topic: str
    text: str
    ok: bool
    reason: Reason | None = None


def yes(topic: str, text: str) -> Line:
    """Return a step that is as it should be."""
    return Line(topic, text, ok=True)


def no(topic: str, withheld: Withhold) -> Line:
    """Return a step that is not, with what to do about it."""
    return Line(topic, f"{withheld}; {withheld.remedy}", ok=False, reason=withheld.reason)
