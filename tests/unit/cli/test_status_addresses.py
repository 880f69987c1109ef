# SPDX-License-Identifier: Apache-2.0
"""What `buoy status` says of an address that one port has and another asks for: a note, which fails no script."""

from buoy.cli.status_addresses import lines
from buoy.cli.status_line import Note
from buoy.model.address import Address
from buoy.model.documents import path
from buoy.model.reason import Reason
from buoy.model.snapshot import Identity, Snapshot
from buoy.model.status import AddressStatus, State

FIXED = Address("192.0.2.1")


def test_a_pair_that_is_anothers_fixed_ip_is_noted_with_both_ports() -> None:
    owner = AddressStatus(node="compute-1", address=FIXED, state=State.ACTIVE, programmed=True, announced=True)
    rival = AddressStatus(
        node="compute-2",
        address=FIXED,
        state=State.DOWN,
        reason=Reason.PAIR_OWNED,
        details={"address": FIXED, "workload": "vb", "node": "compute-2", "owner": "va"},
    )
    found = Snapshot(Identity("cluster", 1), {path(each): each for each in (owner, rival)}, {}, {})
    note = f"{FIXED}, an allowed address pair of port vb on compute-2, goes to port va, whose fixed IP it is"
    expected = Note(f"address {FIXED}", "asked for by a pair, too", f"{note}; buoy why {FIXED}")
    assert [("addresses", "1 active, 1 down, 0 unbound", ""), expected] == list(lines(found))
    assert isinstance(list(lines(found))[1], Note)
