# SPDX-License-Identifier: Apache-2.0
"""A guest's document is checked once, so that no frame can make its answer fail."""

import msgspec
import pytest

from buoy.model.address import Address
from buoy.model.errors import InvalidInput
from buoy.model.guest import GuestConfig
from buoy.render.dhcp import check
from tests.unit.dhcp.packets import CONFIG

GOOD = msgspec.to_builtins(CONFIG)


def test_a_good_document_passes() -> None:
    assert () == check(CONFIG)


def test_a_bare_document_passes() -> None:
    bare = msgspec.structs.replace(CONFIG, offer4=None, offers6=(), domain="")
    assert () == check(bare)


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("mac",), "FA:16:3E:00:00:01", "mac"),
        (("mac",), "none", "mac"),
        (("mtu",), 67, "mtu"),
        (("lease",), 59, "lease"),
        (("hostname",), "x" * 256, "hostname"),
        (("domain",), "a..b", "domain"),
        (("offer4", "address"), "banana", "offer4.address"),
        (("offer4", "address"), "2001:db8::1", "offer4.address"),
        (("offer4", "subnet"), "192.0.2.1/24", "offer4.subnet"),
        (("offer4", "subnet"), "2001:db8::/64", "offer4.subnet"),
        (("offer4", "server"), "", "offer4.server"),
        (("offer4", "gateway"), "192.0.2.256", "offer4.gateway"),
        (("offer4", "dns_servers"), ["2001:db8::1"], "offer4.dns_servers"),
        (("offer4", "routes"), [{"prefix": "x", "via": "192.0.2.1"}], "offer4.routes.prefix"),
        (("offer4", "routes"), [{"prefix": "192.0.2.0/25", "via": "x"}], "offer4.routes.via"),
        (("offers6", 0, "subnet"), "2001:DB8::/64", "offers6[0].subnet"),
        (("offers6", 1, "addresses"), ["192.0.2.1"], "offers6[1].addresses"),
        (("offers6", 1, "dns_servers"), ["192.0.2.1"], "offers6[1].dns_servers"),
    ],
)
def test_what_cannot_be_answered_from_is_refused(path: tuple[str | int, ...], value: object, field: str) -> None:
    document = msgspec.json.decode(msgspec.json.encode(GOOD))
    at = document
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    with pytest.raises(InvalidInput) as refusal:
        check(msgspec.convert(document, GuestConfig))
    assert field == refusal.value.field


def test_an_offer_without_a_gateway_passes() -> None:
    assert CONFIG.offer4 is not None
    offer = msgspec.structs.replace(CONFIG.offer4, gateway=None)
    assert () == check(msgspec.structs.replace(CONFIG, offer4=offer))


def test_another_offer_is_checked_like_the_first() -> None:
    assert CONFIG.offer4 is not None
    wrong = msgspec.structs.replace(CONFIG.offer4, address=Address("2001:db8::1"))
    with pytest.raises(InvalidInput, match=r"others4\[1\]\.address"):
        check(msgspec.structs.replace(CONFIG, others4=(CONFIG.offer4, wrong)))


def test_options_that_are_left_out_are_named() -> None:
    document = GOOD | {
        "options": [
            {"name": "mtu", "value": "x", "version": 4},
            {"name": "mtu", "value": "1", "version": 6},
            {"name": "mtu", "value": "1", "version": 5},
        ]
    }
    wrong = check(msgspec.convert(document, GuestConfig))
    assert ["extra_dhcp_opts[mtu].opt_value", "extra_dhcp_opts.opt_name", "options[mtu].version"] == [
        error.field for error in wrong
    ]
