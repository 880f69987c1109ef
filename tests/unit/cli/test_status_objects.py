# SPDX-License-Identifier: Apache-2.0
"""What `buoy status` says of objects that are not, or not wholly, in force: what stands in their conditions."""

from typing import Any

import msgspec
import pytest

from buoy.cli.status_line import Note
from buoy.cli.status_objects import Judged, lines
from buoy.controller.notices import CONDITION, IGNORES
from buoy.controller.pool_status import DRAINING, FULL
from buoy.kubernetes.resources import BGP_PEERS


def said(status: dict[str, Any]) -> list[tuple[str, str, str]]:
    found = msgspec.convert({"metadata": {"name": "tor"}, "status": status}, Judged)
    return list(lines({BGP_PEERS: (found,)}))


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"message": FULL},
        {"message": DRAINING},
        {"conditions": [{"type": CONDITION, "status": "True", "message": ""}]},
        {"conditions": [{"type": "example.net/Seen", "status": "False", "message": "never"}]},
    ],
)
def test_what_is_as_it_should_be_is_not_told(status: dict[str, Any]) -> None:
    assert [] == said(status)


@pytest.mark.parametrize(
    ("status", "note"),
    [
        ({"message": f"it overlaps; {DRAINING}"}, "it overlaps"),
        ({"conditions": [{"type": CONDITION, "status": "False", "message": "not honoured"}]}, "not honoured"),
    ],
)
def test_what_is_wrong_is_told_in_the_controllers_words(status: dict[str, Any], note: str) -> None:
    assert [("bgppeer tor", "not wholly in force", note)] == said(status)


def test_a_field_that_this_version_does_not_honour_is_noted_and_is_no_fault() -> None:
    condition = {"type": CONDITION, "status": "False", "reason": IGNORES, "message": "spec.bindMode"}
    [noted], [wrong] = said({"conditions": [condition]}), said({"conditions": [condition], "message": "it overlaps"})
    assert (("bgppeer tor", "not wholly in force", "spec.bindMode"), True) == (noted, isinstance(noted, Note))
    assert ("it overlaps; spec.bindMode", False) == (wrong[2], isinstance(wrong, Note))
