# SPDX-License-Identifier: Apache-2.0
"""What `buoy status` says of claims that the store had lost: one line, and nothing without any."""

from buoy.cli.status_losses import lines
from buoy.model.address import Address
from buoy.model.service_ip import ServiceIP
from buoy.model.snapshot import Identity, Snapshot


def snapshot(*claims: ServiceIP) -> Snapshot:
    return Snapshot(Identity("cluster", 1), {f"service-ips/{each.address}": each for each in claims}, {}, {})


def test_they_are_counted_and_the_first_ones_named() -> None:
    kept = ServiceIP(address=Address("192.0.2.9"))
    lost = [ServiceIP(address=Address(f"192.0.2.{number}"), lost=True) for number in range(1, 5)]
    assert [] == list(lines(snapshot(kept)))
    assert [("claims", "1 lost by the store, and kept", "192.0.2.1; buoy why 192.0.2.1")] == list(
        lines(snapshot(kept, lost[0]))
    )
    [(_, value, note)] = lines(snapshot(*lost))
    assert ("4 lost by the store, and kept", "192.0.2.1, 192.0.2.2, 192.0.2.3, …; buoy why 192.0.2.1") == (value, note)
