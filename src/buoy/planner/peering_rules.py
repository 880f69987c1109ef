# SPDX-License-Identifier: Apache-2.0
"""Which peers, filters and BGP settings make sense at all, wherever they came from.

Every door asks here: the command line before it writes, a node before it speaks,
for a broken client may have written past the first. The tricky one is the
password: BIRD's configuration has no escape inside quotes, so a double quote
cannot be written at all.
"""

import re
from collections.abc import Container, Iterable, Iterator

from buoy.model.address import Address, Prefix, family, parse_address, parse_prefix, split
from buoy.model.community import parse_community
from buoy.model.errors import InvalidInput
from buoy.model.peer import Bfd, BGPSettings, Filter, FilterRule, Peer

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_PASSWORD = re.compile(r"[ !#-~]{0,80}")
_AS_TRANS = 23456

HIDDEN = "(hidden)"
"""What is printed in place of a password, and never taken for one."""


def check_peer(peer: Peer) -> None:
    """Raise `InvalidInput` for the first field of a peer that cannot work on any node."""
    at = f"peers/{peer.name}"
    _name(f"{at}.name", peer.name)
    _neighbour_address(f"{at}.address", peer.address)
    _asn(f"{at}.asn", peer.asn)
    if peer.local_asn is not None:
        _asn(f"{at}.local_asn", peer.local_asn)
    _between(f"{at}.port", peer.port, 1, 65535)
    _between(f"{at}.connect_retry", peer.connect_retry, 1, 65535)
    _restart_time(at, peer.graceful_restart_time)
    if peer.multihop is not None:
        _between(f"{at}.multihop", peer.multihop, 1, 255)
    _between(f"{at}.allow_local_as", peer.allow_local_as, 0, 255)
    _timers(at, peer.hold_time, peer.keepalive)
    check_password(f"{at}.password", peer.password)
    _one_password(at, peer)
    _bfd(at, peer.bfd)
    if peer.source is not None and family(_canonical(f"{at}.source", peer.source)) != family(peer.address):
        raise InvalidInput(f"{at}.source", peer.source, f"give one of the family of {peer.address}")


def check_filter(document: Filter) -> None:
    """Raise `InvalidInput` for a filter whose name or rules BIRD could not hold."""
    _name(f"filters/{document.name}.name", document.name)
    for position, rule in enumerate(document.rules):
        _check_rule(f"filters/{document.name}.rules[{position}]", rule)


def check_settings(settings: BGPSettings) -> None:
    """Raise `InvalidInput` for BGP settings that cannot work."""
    at = "settings/bgp"
    _asn(f"{at}.asn", settings.asn)
    _between(f"{at}.listen_port", settings.listen_port, 1, 65535)
    _timers(at, settings.hold_time, None)
    _restart_time(at, settings.graceful_restart_time)
    check_password(f"{at}.password", settings.password)
    _one_password(at, settings)
    _bfd(at, settings.bfd)
    for field in ("internal_prefixes", "originate"):
        for prefix in getattr(settings, field):
            _prefix(f"{at}.{field}", prefix)
    for position, tagged in enumerate(settings.communities):
        _prefix(f"{at}.communities[{position}].prefix", tagged.prefix)
        for community in tagged.communities:
            parse_community(community, f"{at}.communities[{position}].communities")
    cluster = settings.cluster_id
    if cluster is not None and family(parse_address(cluster, f"{at}.cluster_id")) != 4:
        raise InvalidInput(f"{at}.cluster_id", cluster, "give four bytes written as an IPv4 address (RFC 4456)")
    if len(set(settings.reflectors)) != len(settings.reflectors):
        raise InvalidInput(f"{at}.reflectors", ",".join(settings.reflectors), "name each node once")


def clashes(settings: BGPSettings, peers: Iterable[Peer], filters: Iterable[Filter]) -> Iterator[InvalidInput]:
    """Yield each reference to a filter that is missing, and what the cluster's AS forbids."""
    names = {each.name for each in filters}
    for peer in peers:
        try:
            check_client(settings, peer)
        except InvalidInput as error:
            yield error
        yield from missing_filters(peer, names)


def check_client(settings: BGPSettings, peer: Peer) -> None:
    """Raise `InvalidInput` for a reflector's client of another AS."""
    local_asn = peer.local_asn or settings.asn
    if peer.reflector_client and local_asn != peer.asn:
        field = f"peers/{peer.name}.reflector_client"
        raise InvalidInput(field, f"AS {peer.asn}", f"a client must be inside AS {local_asn}")


def missing_filters(peer: Peer, names: Container[str]) -> Iterator[InvalidInput]:
    """Yield what is wrong with each filter that a peer names and that is none of these."""
    for field in ("export_filter", "import_filter"):
        name = getattr(peer, field)
        if name and name not in names:
            remedy = f"nothing passes until there is such a filter: {_making(peer, name)}"
            yield InvalidInput(f"peers/{peer.name}.{field}", name, remedy)


def _making(peer: Peer, name: str) -> str:
    """Return what makes a filter that a peer names; one of our own would hide the BGPFilter that a BGPPeer names."""
    whole = name.rpartition(".")[0]
    if (peer.export_filter, peer.import_filter) == (f"{whole}.export", f"{whole}.import"):
        return f"kubectl apply a BGPFilter {whole}"
    return f"buoy filter add {name} RULE"


def length_bounds(rule: FilterRule) -> tuple[int, int]:
    """Return the shortest and the longest prefix length a rule matches."""
    low, host = split(rule.prefix)[1], 128 if family(rule.prefix) == 6 else 32
    return (low if rule.low is None else rule.low, host if rule.high is None else rule.high)


def _check_rule(at: str, rule: FilterRule) -> None:
    _prefix(f"{at}.prefix", rule.prefix)
    own, host = split(rule.prefix)[1], 128 if family(rule.prefix) == 6 else 32
    low, high = length_bounds(rule)
    if not own <= low <= high <= host:
        raise InvalidInput(at, f"{rule.prefix} {low}..{high}", f"lengths must satisfy {own} <= low <= high <= {host}")


def _name(field: str, value: str) -> None:
    if not _NAME.fullmatch(value):
        raise InvalidInput(field, value, "use 1 to 63 letters, digits, dots, dashes and underscores")


def _neighbour_address(field: str, value: Address) -> None:
    address = _canonical(field, value)
    if address.startswith(("fe8", "fe9", "fea", "feb")):
        raise InvalidInput(field, value, "give a global address: a link-local one names no node of its own")
    if address in ("0.0.0.0", "::") or address.startswith(("127.", "ff")) or address == "::1":
        raise InvalidInput(field, value, "give the address of another router")


def _canonical(field: str, value: Address) -> Address:
    address = parse_address(value, field)
    if address != value:
        raise InvalidInput(field, value, f"write it as {address}")
    return address


def _prefix(field: str, value: Prefix) -> None:
    prefix = parse_prefix(value, field)
    if prefix != value:
        raise InvalidInput(field, value, f"write it as {prefix}")


def _asn(field: str, value: int) -> None:
    if not 1 <= value <= 4294967295 or value == _AS_TRANS:
        raise InvalidInput(field, value, "give an AS number from 1 to 4294967295 other than 23456 (RFC 6793)")


def _between(field: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InvalidInput(field, value, f"give {low} to {high}")


def _timers(at: str, hold_time: int, keepalive: int | None) -> None:
    if hold_time != 0 and not 3 <= hold_time <= 65535:
        raise InvalidInput(f"{at}.hold_time", hold_time, "give 0 (never) or 3 to 65535 seconds (RFC 4271)")
    if keepalive is not None and (keepalive < 1 or keepalive * 2 > hold_time):
        raise InvalidInput(f"{at}.keepalive", keepalive, f"give 1 to half the hold time of {hold_time} seconds")


def _restart_time(at: str, seconds: int) -> None:
    """Twelve bits carry it (RFC 4724, 3)."""
    _between(f"{at}.graceful_restart_time", seconds, 1, 4095)


def _one_password(at: str, said: Peer | BGPSettings) -> None:
    if said.password and said.password_from:
        raise InvalidInput(f"{at}.password_from", said.password_from, "give password or password_from, not both")


def check_password(field: str, value: str) -> None:
    """Raise `InvalidInput`, which does not repeat it, for a password that BIRD's configuration cannot hold."""
    if value == HIDDEN:
        raise InvalidInput(field, value, "this stands for a password: print the document with --show-password")
    if not _PASSWORD.fullmatch(value):
        remedy = "use up to 80 printable ASCII characters without the double quote: BIRD cannot hold others"
        raise InvalidInput(field, HIDDEN, remedy)


def _bfd(at: str, bfd: Bfd | None) -> None:
    if bfd is None:
        return
    _between(f"{at}.bfd.interval", bfd.interval, 10, 60000)
    _between(f"{at}.bfd.multiplier", bfd.multiplier, 2, 255)
