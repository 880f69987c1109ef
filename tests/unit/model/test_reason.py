# SPDX-License-Identifier: Apache-2.0
"""Every *no* has a sentence and a remedy, and errors say who must act."""

import pytest

from buoy.model.address import Address
from buoy.model.errors import Conflict, DataplaneError, InvalidInput
from buoy.model.nodestate import Change, Dnat, Key, Table
from buoy.model.reason import Reason, Withhold


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_sentence_and_a_remedy(reason: Reason) -> None:
    assert reason.sentence
    assert reason.remedy


def test_a_withhold_fills_in_its_details_and_leaves_others_readable() -> None:
    withheld = Withhold(Reason.TAP_DOWN, {"interface": "tap1"})
    assert "tap1 on NODE is down" == str(withheld)
    assert "ip link set tap1 up; is the VM running?" == withheld.remedy


def test_errors_read_as_sentences() -> None:
    assert "mtu: 9 is not valid: give more" == str(InvalidInput("mtu", 9, "give more"))
    assert "ip route: File exists" == str(DataplaneError("ip route", "File exists\n"))
    assert "read again" == str(Conflict("read again"))


def test_the_reverse_of_a_change_undoes_it() -> None:
    key = Key(Table.DNAT, ("198.51.100.1",))
    change = Change(key, None, Dnat(Address("192.0.2.1")))
    assert Change(key, Dnat(Address("192.0.2.1")), None) == change.reverse
    assert change == change.reverse.reverse
