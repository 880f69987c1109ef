# SPDX-License-Identifier: Apache-2.0
"""The mirror of kube-proxy's maps, where a kernel could not be made to do it."""

import errno
from collections.abc import Iterator

import pytest

from buoy.dataplane import netlink, nft_wire, proxy_wire
from buoy.dataplane.proxy_maps import ProxyMaps
from buoy.model.address import Address, packed
from buoy.model.errors import DataplaneError
from buoy.model.proxied import Proxying, ProxyPort

WEB, SHOP, MAIL = Address("192.0.2.1"), Address("192.0.2.2"), Address("192.0.2.3")
HTTP = Proxying(frozenset({ProxyPort("tcp", 80)}))
SERVICE_IPS = proxy_wire.dump(2, proxy_wire.Map.FORWARDED)


class Kernel:
    """Has the map `service-ips` of `ip kube-proxy`, and tells these addresses at each reading of it, then the last."""

    def __init__(self, *readings: tuple[Address, ...]) -> None:
        self.readings = list(readings)

    def dump(self, request: bytes) -> Iterator[tuple[int, bytes]]:
        if request != SERVICE_IPS:
            raise netlink.Refusal(errno.ENOENT, "")
        told = self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]
        yield nft_wire.NEWELEMENT, elements(*told)


def elements(*addresses: Address) -> bytes:
    keys = (packed(address) + bytes([6, 0, 0, 0, 0, 80, 0, 0]) for address in addresses)
    body = (netlink.attribute(1, netlink.attribute(1, netlink.attribute(1, key))) for key in keys)
    return SERVICE_IPS[16:] + netlink.nested(3, *body)


def heard(kind: int, payload: bytes = b"\0\0\0\0") -> netlink.Heard:
    return netlink.Heard(kind, 0, 0, payload)


NEWGEN = heard(nft_wire.NEWGEN)


def read(*readings: tuple[Address, ...]) -> ProxyMaps:
    maps = ProxyMaps(Kernel(*readings).dump)
    maps.reload()
    maps.changed.clear()
    return maps


def test_of_half_a_transaction_nothing_is_concluded() -> None:
    maps = read((WEB, SHOP))
    maps.heard(heard(nft_wire.DELELEMENT, elements(WEB, SHOP)))
    assert ({WEB: HTTP, SHOP: HTTP}, set()) == (dict(maps.content()), maps.changed)
    maps.heard(heard(nft_wire.NEWELEMENT, elements(SHOP)))
    maps.heard(NEWGEN)
    assert ({SHOP: HTTP}, {WEB}) == (dict(maps.content()), maps.changed)


def test_a_map_that_goes_and_comes_in_one_transaction_was_never_gone() -> None:
    maps = read((WEB,))
    gone = heard(nft_wire.DELSET, SERVICE_IPS[16:])
    maps.heard(gone)
    assert {4} == maps.families
    maps.heard(heard(nft_wire.NEWELEMENT, elements(WEB)))
    maps.heard(NEWGEN)
    assert (frozenset({4}), set()) == (maps.families, maps.changed)
    for event in (gone, NEWGEN):
        maps.heard(event)
    assert (frozenset(), {WEB}) == (maps.families, maps.changed)


def test_a_dump_that_repeats_itself_is_begun_again() -> None:
    assert {WEB, SHOP, MAIL} == read((WEB, SHOP, WEB), (WEB, SHOP, MAIL)).content().keys()


def test_a_dump_that_always_repeats_itself_is_an_error_and_leaves_what_was_known() -> None:
    kernel = Kernel((WEB,), (SHOP, SHOP))
    maps = ProxyMaps(kernel.dump)
    maps.reload()
    with pytest.raises(DataplaneError, match="service-ips grew"):
        maps.reload()
    assert {WEB} == maps.content().keys()


def test_a_refusal_that_does_not_say_that_the_map_is_missing_is_an_error() -> None:
    def refused(request: bytes) -> Iterator[tuple[int, bytes]]:
        raise netlink.Refusal(errno.EPERM, "not you")

    with pytest.raises(netlink.Refusal, match="not you"):
        ProxyMaps(refused).reload()


def test_an_old_notification_that_comes_after_a_newer_reading_takes_nothing_back_for_good() -> None:
    maps = read((WEB,))
    for event in (heard(nft_wire.DELELEMENT, elements(WEB)), heard(nft_wire.NEWELEMENT, elements(WEB)), NEWGEN):
        maps.heard(event)
    assert ({WEB: HTTP}, set()) == (dict(maps.content()), maps.changed)


def test_what_is_seen_cannot_be_changed_by_who_looks() -> None:
    with pytest.raises(TypeError):
        read((WEB,)).content()[SHOP] = HTTP  # type: ignore[index]
