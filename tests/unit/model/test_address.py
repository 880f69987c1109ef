# SPDX-License-Identifier: Apache-2.0
"""Text becomes an address in one place."""

import pytest

from buoy.model import address
from buoy.model.address import Address, Prefix
from buoy.model.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("192.0.2.7", "192.0.2.7"), ("2001:DB8:0::1", "2001:db8::1"), ("::ffff:192.0.2.1", "::ffff:c000:201")],
)
def test_an_address_is_canonical(text: str, canonical: str) -> None:
    parsed = address.parse_address(text)
    assert canonical == parsed
    assert canonical == address.unpacked(address.packed(parsed))
    assert address.is_address(text)


@pytest.mark.parametrize(
    "text",
    ["", "192.0.2", "192.0.2.07", "fe80::1%eth0", "a", " 192.0.2.7", "192.0.2.7\n", "192.0.2.7\0", "\u0661.2.3.4"],
)
def test_what_is_no_address_is_refused_with_its_field(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        address.parse_address(text, "target")
    assert ("target", text) == (refused.value.field, refused.value.value)
    assert not address.is_address(text)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("192.0.2.0/24", "192.0.2.0/24"), ("192.0.2.7", "192.0.2.7/32"), ("2001:DB8::/32", "2001:db8::/32")],
)
def test_a_prefix_is_canonical(text: str, canonical: str) -> None:
    assert canonical == address.parse_prefix(text)


def test_a_prefix_with_host_bits_is_refused() -> None:
    with pytest.raises(InvalidInput, match="host bits set"):
        address.parse_prefix("192.0.2.7/24")


def test_a_mac_is_lower_case_with_colons() -> None:
    assert "fa:16:3e:4d:d5:25" == address.parse_mac(" FA-16-3E-4D-D5-25 ")
    with pytest.raises(InvalidInput, match="give six bytes"):
        address.parse_mac("fa:16:3e")


@pytest.mark.parametrize(
    ("prefix", "inside", "expected"),
    [
        ("192.0.2.0/24", "192.0.2.255", True),
        ("192.0.2.0/24", "192.0.3.0", False),
        ("0.0.0.0/0", "203.0.113.1", True),
        ("::/0", "203.0.113.1", False),
        ("2001:db8::/64", "2001:db8::1", True),
    ],
)
def test_what_a_prefix_contains(prefix: str, inside: str, expected: bool) -> None:
    assert expected is address.contains(Prefix(prefix), Address(inside))


def test_host_prefixes() -> None:
    assert "192.0.2.7/32" == address.host_prefix(Address("192.0.2.7"))
    assert "2001:db8::1/128" == address.host_prefix(Address("2001:db8::1"))
    hosts = ["192.0.2.7/32", "2001:db8::1/128", "192.0.2.0/31", "2001:db8::/32"]
    assert [True, True, False, False] == [address.is_host(Prefix(host)) for host in hosts]
    assert ("192.0.2.0", 24) == address.split(Prefix("192.0.2.0/24"))
    assert [4, 6] == [address.family(Address(text)) for text in ("192.0.2.7", "2001:db8::1")]
