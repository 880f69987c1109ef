# SPDX-License-Identifier: Apache-2.0
"""Everything one guest may hear: DHCPv4, DHCPv6 and router advertisements behind one function.

Promises: `answer` is a pure function of the guest's document, our end of the link
and one frame; for a configuration that passed `check` it never raises.
"""

from buoy.model.address import Address, family, parse_address, parse_mac, parse_prefix
from buoy.model.errors import InvalidInput
from buoy.model.guest import GuestConfig, Offer4, Offer6
from buoy.render import dhcp_options
from buoy.render.dhcp4 import answer4, options4
from buoy.render.dhcp6 import answer6, options6
from buoy.render.dhcp_ra import Station, advertisement, solicited

_SHORTEST_LEASE, _LONGEST_LEASE = 60, 0x7FFFFFFF


def answer(config: GuestConfig, station: Station, frame: bytes) -> bytes | None:
    """Return the frame to send back to the guest, None where silence is the answer."""
    asker = solicited(config, frame)
    if asker is not None:
        return advertisement(config, station, asker)
    return answer4(config, station.mac, frame) or answer6(config, station.mac, station.link_local, frame)


def check(config: GuestConfig) -> tuple[InvalidInput, ...]:
    """Refuse what cannot be answered from; return extra options that are left out because they cannot be written.

    Raises `InvalidInput` naming the field.
    """
    _canonical("mac", config.mac, parse_mac(config.mac, "mac"))
    if not 68 <= config.mtu <= 65535:
        raise InvalidInput("mtu", config.mtu, "give 68 to 65535 bytes")
    if not _SHORTEST_LEASE <= config.lease <= _LONGEST_LEASE:
        raise InvalidInput("lease", config.lease, f"give {_SHORTEST_LEASE} to {_LONGEST_LEASE} seconds")
    if len(config.hostname.encode()) > 255:
        raise InvalidInput("hostname", config.hostname[:40], "give at most 255 bytes")
    if config.domain:
        _check_domain(config.domain)
    if config.offer4 is not None:
        _check_offer4("offer4", config.offer4)
    for number, other in enumerate(config.others4):
        _check_offer4(f"others4[{number}]", other)
    for number, offer in enumerate(config.offers6):
        _check_offer6(f"offers6[{number}]", offer)
    return options4(config)[1] + options6(config)[1] + _other_versions(config)


def _other_versions(config: GuestConfig) -> tuple[InvalidInput, ...]:
    return tuple(
        InvalidInput(f"options[{option.name}].version", option.version, "give 4 or 6")
        for option in config.options
        if option.version not in (4, 6)
    )


def _check_domain(name: str) -> None:
    try:
        dhcp_options.domain(name)
    except ValueError as error:
        raise InvalidInput("domain", name, str(error)) from error


def _check_offer4(name: str, offer: Offer4) -> None:
    _check_prefix(f"{name}.subnet", offer.subnet, 4)
    _check_address(f"{name}.address", offer.address, 4)
    _check_address(f"{name}.server", offer.server, 4)
    if offer.gateway is not None:
        _check_address(f"{name}.gateway", offer.gateway, 4)
    for server in offer.dns_servers:
        _check_address(f"{name}.dns_servers", server, 4)
    for route in offer.routes:
        _check_prefix(f"{name}.routes.prefix", route.prefix, 4)
        _check_address(f"{name}.routes.via", route.via, 4)


def _check_offer6(field: str, offer: Offer6) -> None:
    _check_prefix(f"{field}.subnet", offer.subnet, 6)
    for address in offer.addresses:
        _check_address(f"{field}.addresses", address, 6)
    for server in offer.dns_servers:
        _check_address(f"{field}.dns_servers", server, 6)


def _check_address(field: str, text: Address, version: int) -> None:
    _canonical(field, text, parse_address(text, field))
    if family(text) != version:
        raise InvalidInput(field, text, f"give an IPv{version} address")


def _check_prefix(field: str, text: str, version: int) -> None:
    prefix = parse_prefix(text, field)
    _canonical(field, text, prefix)
    if family(prefix) != version:
        raise InvalidInput(field, text, f"give an IPv{version} prefix")


def _canonical(field: str, given: str, canonical: str) -> None:
    if given != canonical:
        raise InvalidInput(field, given, f"write it as {canonical}")
