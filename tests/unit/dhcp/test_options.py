# SPDX-License-Identifier: Apache-2.0
"""Extra DHCP options: names and values as Neutron's users write them."""

import pytest

from buoy.model.errors import InvalidInput
from buoy.model.workload import DhcpOption
from buoy.render.dhcp_options import SERVER_IP_ADDRESS, encode_option, known_option


@pytest.mark.parametrize(
    ("name", "version", "code"),
    [
        ("mtu", 4, 26),
        ("MTU", 4, 26),
        ("option:mtu", 4, 26),
        ("T1", 4, 58),
        ("ntp-server", 4, 42),
        ("dns-server", 4, 6),
        ("classless-static-route", 4, 121),
        ("server-ip-address", 4, SERVER_IP_ADDRESS),
        ("252", 4, 252),
        ("dns-server", 6, 23),
        ("option6:dns-server", 6, 23),
        ("59", 6, 59),
        ("4711", 6, 4711),
        ("mtu", 6, None),
        ("option6:mtu", 4, None),
        ("tag:ipxe,67", 4, None),
        ("no-such-option", 4, None),
        ("message-type", 4, None),
        ("53", 4, None),
        ("256", 4, None),
        ("3", 6, None),
        ("65536", 6, None),
        ("mtu", 5, None),
        ("26", 5, None),
        ("", 4, None),
        ("²", 4, None),
    ],
)
def test_known(name: str, version: int, code: int | None) -> None:
    assert code == known_option(name, version)


@pytest.mark.parametrize(
    ("name", "value", "code", "raw"),
    [
        ("router", "192.0.2.1", 3, "c0000201"),
        ("dns-server", "192.0.2.1, 192.0.2.2", 6, "c0000201c0000202"),
        ("router", "", 3, ""),
        ("domain-name", '"example.org"', 15, b"example.org".hex()),
        ("tftp-server", "boot.example.org", 66, b"boot.example.org".hex()),
        ("mtu", "1400", 26, "0578"),
        ("mtu", "0x578", 26, "0578"),
        ("ip-forward-enable", "1", 19, "01"),
        ("time-offset", "-3600", 2, "fffff1f0"),
        ("lease-time", "infinite", 51, "ffffffff"),
        ("classless-static-route", "198.51.100.0/24,192.0.2.1,0.0.0.0/0,192.0.2.2", 121, "18c63364c000020100c0000202"),
        ("249", "10.0.0.0/8,192.0.2.1", 249, "080ac0000201"),
        ("domain-search", "example.org,a.test", 119, b"\7example\3org\0\1a\4test\0".hex()),
        ("sip-server", "192.0.2.1", 120, "01c0000201"),
        ("sip-server", "sip.test", 120, (b"\0" + b"\3sip\4test\0").hex()),
        ("vendor-encap", "1:0a:ff", 43, "010aff"),
        ("server-ip-address", "192.0.2.8", 255, "c0000208"),
        ("252", "http://wpad.test/", 252, b"http://wpad.test/".hex()),
        ("252", "01:02:03", 252, "010203"),
        ("252", "192.0.2.1,192.0.2.2", 252, "c0000201c0000202"),
        ("252", "7", 252, "07"),
        ("252", "300", 252, "012c"),
        ("252", "70000", 252, "00011170"),
        ("252", "4294967296", 252, b"4294967296".hex()),
    ],
)
def test_version_4_values(name: str, value: str, code: int, raw: str) -> None:
    assert (code, bytes.fromhex(raw)) == encode_option(DhcpOption(name=name, value=value))


@pytest.mark.parametrize(
    ("name", "value", "code", "raw"),
    [
        ("dns-server", "[2001:db8::1],2001:db8::2", 23, "20010db8" + "0" * 23 + "120010db8" + "0" * 23 + "2"),
        ("ntp-server", "2001:db8::1", 56, "00010010" + "20010db8" + "0" * 23 + "1"),
        ("bootfile-url", "tftp://[2001:db8::1]/x", 59, b"tftp://[2001:db8::1]/x".hex()),
        ("bootfile-param", "a, bc", 60, (b"\0\1a" + b"\0\2bc").hex()),
        ("information-refresh-time", "600", 32, "00000258"),
    ],
)
def test_version_6_values(name: str, value: str, code: int, raw: str) -> None:
    assert (code, bytes.fromhex(raw)) == encode_option(DhcpOption(name=name, value=value, version=6))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("router", "gateway"),
        ("router", "2001:db8::1"),
        ("mtu", "many"),
        ("mtu", "65536"),
        ("mtu", "-32769"),
        ("mtu", "infinite"),
        ("classless-static-route", "198.51.100.0/24"),
        ("classless-static-route", "2001:db8::/64,192.0.2.1"),
        ("domain-search", "a..b"),
        ("domain-search", ".".join(["a" * 60] * 5)),
        ("vendor-encap", "hello"),
        ("server-ip-address", "192.0.2.1,192.0.2.2"),
        ("bootfile-name", "x" * 1025),
        ("252", "1.2.3"),
    ],
)
def test_a_value_that_does_not_fit_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        encode_option(DhcpOption(name=name, value=value))
    assert f"extra_dhcp_opts[{name}].opt_value" == refusal.value.field


def test_an_unknown_name_is_named() -> None:
    with pytest.raises(InvalidInput) as refusal:
        encode_option(DhcpOption(name="no-such-option", value="1"))
    assert ("extra_dhcp_opts.opt_name", "no-such-option") == (refusal.value.field, refusal.value.value)
