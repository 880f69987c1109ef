# SPDX-License-Identifier: Apache-2.0
"""Extra DHCP options: which names there are, and how a value becomes bytes.

Promises: `known_option` and `encode_option` are the only judges, at Neutron's door
as well as on the wire, so an option that was accepted is one that is sent.
Names and value forms are dnsmasq's, because that is what Neutron's documentation
tells people to write. Tricky: code 255 stands for `server-ip-address`, which is no
option but the `siaddr` field; and an empty value takes an option away.
"""

import enum
import re
from collections.abc import Callable, Iterable

from buoy.model.address import Address, Prefix, family, packed, parse_address, parse_prefix, split
from buoy.model.errors import InvalidInput
from buoy.model.workload import DhcpOption

SERVER_IP_ADDRESS = 255
"""Not on the wire: dnsmasq's number for the address of the next boot server (RFC 2131, `siaddr`)."""

CLIENT_ID = 61
"""Taken and needing no answer: the port's MAC address identifies the guest whatever client id it sends."""


class Form(enum.Enum):
    """How a value is written by people."""

    ADDRESSES = enum.auto()
    TEXT = enum.auto()
    DOMAINS = enum.auto()
    BYTE = enum.auto()
    SHORT = enum.auto()
    LONG = enum.auto()
    ROUTES = enum.auto()
    BYTES = enum.auto()
    SIP = enum.auto()
    NTP6 = enum.auto()
    STRINGS = enum.auto()
    ANY = enum.auto()


def _names(form: Form, text: str) -> dict[str, tuple[int, Form]]:
    words = text.split()
    return {name: (int(code), form) for code, name in zip(words[::2], words[1::2], strict=True)}


_NAMES4 = (
    _names(
        Form.ADDRESSES,
        "1 netmask 3 router 4 time-server 6 dns-server 7 log-server 9 lpr-server 16 swap-server 21 policy-filter "
        "28 broadcast 32 router-solicitation 33 static-route 41 nis-server 42 ntp-server 44 netbios-ns "
        "45 netbios-dd 48 x-windows-fs 49 x-windows-dm 65 nis+-server 68 mobile-ip-home 69 smtp-server "
        "70 pop3-server 71 nntp-server 74 irc-server 150 tftp-server-address 255 server-ip-address",
    )
    | _names(
        Form.TEXT,
        "12 hostname 15 domain-name 17 root-path 18 extension-path 40 nis-domain 47 netbios-scope 60 vendor-class "
        "61 client-id 64 nis+-domain 66 tftp-server 67 bootfile-name 100 posix-timezone 101 tzdb-timezone",
    )
    | _names(
        Form.BYTE,
        "19 ip-forward-enable 20 non-local-source-routing 23 default-ttl 27 all-subnets-local 31 router-discovery "
        "34 trailer-encapsulation 36 ethernet-encap 37 tcp-ttl 46 netbios-nodetype",
    )
    | _names(Form.SHORT, "13 boot-file-size 22 max-datagram-reassembly 26 mtu")
    | _names(Form.LONG, "2 time-offset 35 arp-timeout 38 tcp-keepalive 51 lease-time 58 T1 59 T2 108 ipv6-only")
    | _names(Form.BYTES, "43 vendor-encap 77 user-class 97 client-machine-id 125 vendor-id-encap")
    | _names(Form.DOMAINS, "119 domain-search")
    | _names(Form.SIP, "120 sip-server")
    | _names(Form.ROUTES, "121 classless-static-route 249 microsoft-classless-static-route")
)

_NAMES6 = (
    _names(Form.ADDRESSES, "22 sip-server 23 dns-server 27 nis-server 28 nis+-server 31 sntp-server")
    | _names(Form.DOMAINS, "21 sip-server-domain 24 domain-search 29 nis-domain 30 nis+-domain")
    | _names(Form.LONG, "32 information-refresh-time")
    | _names(Form.TEXT, "41 posix-timezone 42 tzdb-timezone 59 bootfile-url")
    | _names(Form.STRINGS, "60 bootfile-param")
    | _names(Form.NTP6, "56 ntp-server")
)

_NAMES = {4: {name.lower(): code for name, (code, _) in _NAMES4.items()}}
_NAMES[6] = {name: code for name, (code, _) in _NAMES6.items()}
_FORMS = {4: dict(_NAMES4.values()), 6: dict(_NAMES6.values())}

_OWN = {4: frozenset({0, 50, 52, 53, 54, 55, 56, 57, 80, 81, 82, 90, 118}), 6: frozenset({*range(21), 25, 26, 39, 82})}
"""Codes the protocol itself needs: what a port says about them would break the conversation."""

_LAST = {4: 255, 6: 65535}
_PREFIX = {4: "option:", 6: "option6:"}


def known_option(name: str, version: int) -> int | None:
    """Return the code of an option by its name or number, with or without dnsmasq's ``option:``; None if unknown.

    Options the protocol needs for itself, such as the message type, are unknown here.
    """
    bare = name.strip().lower().removeprefix(_PREFIX.get(version, "option:"))
    if not re.fullmatch(r"[0-9]{1,5}", bare):
        return _NAMES.get(version, {}).get(bare)
    code = int(bare)
    return code if version in _LAST and code <= _LAST[version] and code not in _OWN[version] else None


def encode_option(option: DhcpOption) -> tuple[int, bytes]:
    """Return code and bytes of an option; empty bytes: do not send it.

    Raises `InvalidInput` naming the option for an unknown name or a value that does not fit.
    """
    code = known_option(option.name, option.version)
    if code is None:
        raise InvalidInput(
            "extra_dhcp_opts.opt_name",
            option.name,
            f"give a DHCPv{option.version} option as dnsmasq names it, or a number",
        )
    value = option.value.strip()
    if not value:
        return code, b""
    form = _FORMS[option.version].get(code, Form.ANY)
    try:
        raw = _encode(form, value, option.version)
    except ValueError as error:
        raise InvalidInput(f"extra_dhcp_opts[{option.name}].opt_value", option.value, str(error)) from error
    return code, _sized(option, code, raw)


def _sized(option: DhcpOption, code: int, raw: bytes) -> bytes:
    if code == SERVER_IP_ADDRESS and option.version == 4 and len(raw) != 4:
        raise InvalidInput(f"extra_dhcp_opts[{option.name}].opt_value", option.value, "give one IPv4 address")
    if len(raw) > 1024:
        raise InvalidInput(f"extra_dhcp_opts[{option.name}].opt_value", option.value[:40], "give at most 1024 bytes")
    return raw


def addresses(values: Iterable[Address]) -> bytes:
    """Return addresses one after the other."""
    return b"".join(map(packed, values))


def domain(name: str) -> bytes:
    """Return a domain name in the uncompressed form of RFC 1035; raise `ValueError` if it is none."""
    labels = [label.encode("idna") for label in name.rstrip(".").split(".")]
    raw = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    if len(raw) > 255 or b"" in labels:
        raise ValueError("give domain names such as example.org, joined by commas")
    return raw


def routes(pairs: Iterable[tuple[Prefix, Address]]) -> bytes:
    """Return prefixes with their next hops as RFC 3442 writes them: only the significant bytes of a prefix."""
    raw = b""
    for prefix, via in pairs:
        network, length = split(prefix)
        raw += bytes([length]) + packed(network)[: (length + 7) // 8] + packed(via)
    return raw


def _encode(form: Form, value: str, version: int) -> bytes:
    match form:
        case Form.BYTE | Form.SHORT | Form.LONG:
            return _integer(value, {Form.BYTE: 1, Form.SHORT: 2, Form.LONG: 4}[form])
        case Form.ADDRESSES:
            return addresses(_address(word, version) for word in value.split(","))
        case Form.ROUTES:
            return _route_pairs(value)
        case Form.SIP:
            return _sip(value)
        case Form.NTP6:
            # RFC 5908: each server is a suboption of its own
            return b"".join(b"\0\x01\0\x10" + packed(_address(word, 6)) for word in value.split(","))
        case _:
            return _TEXTUAL[form](value)


def _route_pairs(value: str) -> bytes:
    words = [word.strip() for word in value.split(",")]
    if len(words) % 2:
        raise ValueError("give pairs of prefix and next hop, such as 198.51.100.0/24,192.0.2.1")
    pairs = zip(words[::2], words[1::2], strict=True)
    return routes((_prefix4(prefix), _address(via, 4)) for prefix, via in pairs)


def _prefix4(text: str) -> Prefix:
    prefix = parse_prefix(text)
    if family(prefix) != 4:
        raise ValueError("give IPv4 prefixes")
    return prefix


def _sip(value: str) -> bytes:
    """RFC 3361: a first byte tells addresses (1) from names (0)."""
    if re.fullmatch(r"[0-9., ]+", value):
        return b"\x01" + addresses(_address(word, 4) for word in value.split(","))
    return b"\0" + _domains(value)


def _address(word: str, version: int) -> Address:
    address = parse_address(word.strip().strip("[]"))
    if family(address) != version:
        raise ValueError(f"give IPv{version} addresses, joined by commas")
    return address


def _integer(value: str, size: int) -> bytes:
    if value.lower() == "infinite" and size == 4:
        return b"\xff" * 4
    if not re.fullmatch(r"-?(0x[0-9a-fA-F]+|[0-9]+)", value):
        raise ValueError("give a whole number")
    number = int(value, 0) if "x" in value else int(value)
    if not -(1 << (8 * size - 1)) <= number < 1 << (8 * size):
        raise ValueError(f"give a number that fits into {size} bytes")
    return (number % (1 << (8 * size))).to_bytes(size)


def _text(value: str) -> bytes:
    quoted = len(value) > 1 and value[0] == value[-1] == '"'
    return (value[1:-1] if quoted else value).encode()


def _domains(value: str) -> bytes:
    return b"".join(domain(word.strip()) for word in value.split(","))


def _bytes(value: str) -> bytes:
    if not re.fullmatch(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2})*", value):
        raise ValueError("give bytes in hexadecimal, joined by colons, such as 01:0a:ff")
    return bytes(int(byte, 16) for byte in value.split(":"))


def _strings(value: str) -> bytes:
    """RFC 5970: each parameter with its length in two bytes."""
    words = [word.strip().encode() for word in value.split(",")]
    return b"".join(len(word).to_bytes(2) + word for word in words)


def _any(value: str) -> bytes:
    """Read the value of an option known by number only as dnsmasq does: by what it looks like."""
    if re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2})+", value):
        return _bytes(value)
    if re.fullmatch(r"[0-9.]+(,\s*[0-9.]+)*", value) and "." in value:
        return addresses(_address(word, 4) for word in value.split(","))
    if re.fullmatch(r"[0-9]+", value) and int(value) < 1 << 32:
        return _integer(value, 1 if int(value) < 1 << 8 else 2 if int(value) < 1 << 16 else 4)
    return _text(value)


_TEXTUAL: dict[Form, Callable[[str], bytes]] = {
    Form.TEXT: _text,
    Form.DOMAINS: _domains,
    Form.BYTES: _bytes,
    Form.STRINGS: _strings,
    Form.ANY: _any,
}
