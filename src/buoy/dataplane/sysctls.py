# SPDX-License-Identifier: Apache-2.0
"""What an interface of ours must be set to, and the node once.

Promises: `wrong` judges from what one netlink message tells of an interface;
`write` sets everything. Two things are tricky. A kill may come between two settings,
so one of them is the mark by which a later process knows the interface as ours:
`route_localnet` is set first and taken back last. And proxy ARP on a node without
default route: the kernel answers only for what it can route, so `prepare` adds a rule
and a table that only ARP from our taps reaches (nft marks it, `render/nft.py`).
Main is asked first, therefore a guest is never answered for its own address.
In a container /proc/sys is read-only as a rule: forwarding is then for whoever made the
container to turn on (`packaging/kubernetes/agent.yaml`), and `buoy doctor` says if it is off.
Sources: ip-sysctl (kernel), net/ipv4/arp.c `arp_process`.
"""

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from buoy.dataplane import netlink, rtnl
from buoy.dataplane.rtnl import LinkSeen
from buoy.model.address import Prefix
from buoy.model.errors import DataplaneError
from buoy.model.ownership import ARP_TABLE

_ROOT = Path("/proc/sys/net")
_ENOENT, _ESRCH, _EEXIST = 2, 3, 17
_ALL_BY_LOOPBACK = (Prefix("0.0.0.0/0"), rtnl.Variant(rtnl.UNICAST, 0, 1))

# name, position in the devconf array the kernel sends (linux/ip.h counts from 1, linux/ipv6.h from 0), value
_MARK = ("route_localnet", 25, 1)
_IPV4 = (_MARK, ("forwarding", 0, 1), ("proxy_arp", 2, 1), ("rp_filter", 7, 0))
_IPV6 = (("disable_ipv6", 26, 0), ("forwarding", 0, 1), ("accept_ra", 3, 0), ("proxy_ndp", 22, 1))
_LET_GO = (("ipv4", "proxy_arp"), ("ipv6", "proxy_ndp"), ("ipv4", _MARK[0]))


def wrong(seen: LinkSeen) -> tuple[str, ...]:
    """Return the names of settings that are not what forwarding needs."""
    return (*_differences("ipv4", seen.conf4, _IPV4), *_differences("ipv6", seen.conf6, _IPV6))


def marked(seen: LinkSeen) -> bool:
    """Tell whether we have begun to open this interface, or not yet ended to close it."""
    return bool(seen.conf4) and not _differences("ipv4", seen.conf4, (_MARK,))


def _differences(family: str, conf: bytes, wanted: tuple[tuple[str, int, int], ...]) -> tuple[str, ...]:
    if not conf:
        # IPv6 may be compiled out; IPv4 cannot
        return ("ipv4",) if family == "ipv4" else ()
    values = struct.unpack(f"={len(conf) // 4}i", conf)
    return tuple(f"{family}.{name}" for name, position, value in wanted if values[position] != value)


def write(interface: str) -> None:
    """Set everything on one interface; raise `DataplaneError` naming the file that refused."""
    for name, _, value in _IPV4:
        _put(f"ipv4/conf/{interface}/{name}", value)
    # with the kernel's own delay the first packet of a guest waits up to 0.8 s for an ARP answer
    _put(f"ipv4/neigh/{interface}/proxy_delay", 0)
    if not (_ROOT / "ipv6").exists():
        return
    for name, _, value in _IPV6:
        _put(f"ipv6/conf/{interface}/{name}", value)
    _put(f"ipv6/neigh/{interface}/proxy_delay", 0)


def let_go(interface: str) -> None:
    """Take back what opens an interface; one that is gone is already closed."""
    for family, name in _LET_GO:
        path = f"{family}/conf/{interface}/{name}"
        if (_ROOT / path).exists():
            _put(path, 0)


def forwards() -> bool:
    """Tell whether the node forwards, by each family it has."""
    return not any(_off())


def closed(uplinks: Iterable[str]) -> tuple[str, ...]:
    """Return those of the uplinks that do not forward IPv4 while the node does; IPv6 has no such switch."""
    if _is_off("ipv4/ip_forward"):
        return ()
    return tuple(name for name in uplinks if _is_off(f"ipv4/conf/{name}/forwarding"))


def _off() -> Iterator[str]:
    return filter(_is_off, ("ipv4/ip_forward", "ipv6/conf/all/forwarding"))


def _is_off(path: str) -> bool:
    return (_ROOT / path).exists() and (_ROOT / path).read_text().strip() == "0"


def open_up(uplinks: Iterable[str]) -> Iterator[str]:
    """Let those of the uplinks forward IPv4 that do not; yield the ones that nobody here may write to."""
    for name in closed(uplinks):
        try:
            _put(f"ipv4/conf/{name}/forwarding", 1)
        except DataplaneError:
            yield name


def prepare(channel: netlink.Channel) -> None:
    """Turn on what the node as a whole needs, only where it is off and can be turned on at all."""
    if not _is_sealed():
        for path in _off():
            _put(path, 1)
    answer_all = rtnl.route_message(rtnl.NEWROUTE, netlink.CREATE, ARP_TABLE, *_ALL_BY_LOOPBACK)
    _insist(channel, [answer_all, rtnl.arp_rule_message(rtnl.NEWRULE)], _EEXIST)


def remove(channel: netlink.Channel) -> None:
    """Take back the ARP rule and its table; forwarding stays on, others may need it by now."""
    answer_all = rtnl.route_message(rtnl.DELROUTE, 0, ARP_TABLE, *_ALL_BY_LOOPBACK)
    _insist(channel, [rtnl.arp_rule_message(rtnl.DELRULE), answer_all], _ENOENT, _ESRCH)


def _is_sealed() -> bool:
    return bool(os.statvfs(_ROOT).f_flag & os.ST_RDONLY)


def _insist(channel: netlink.Channel, requests: Sequence[bytes], *harmless: int) -> None:
    for refusal in channel.send(requests).values():
        if refusal.number not in harmless:
            raise refusal


def _put(path: str, value: int) -> None:
    try:
        (_ROOT / path).write_text(str(value))
    except OSError as error:
        raise DataplaneError(f"sysctl net.{path.replace('/', '.')}={value}", str(error)) from error
