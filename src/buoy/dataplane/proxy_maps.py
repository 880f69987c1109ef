# SPDX-License-Identifier: Apache-2.0
"""What kube-proxy forwards by nftables: a mirror of two maps of each of its two tables.

Promises: it only reads; after every transaction that was heard whole the mirror
equals the kernel, and a change costs what changed. Two things are tricky. A
transaction comes in several datagrams, and kube-proxy may empty a map and fill it
again in one: nothing is concluded before NEWGEN, which ends each, has come. And the
kernel goes on with a dump by counting, so that a hash table which grows meanwhile
hides elements behind others told twice: a dump that repeats itself is begun again.
"""

import errno
import functools
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from buoy.dataplane import netlink, nft_wire, proxy_wire
from buoy.dataplane.proxy_wire import Map
from buoy.model.address import Address, unpacked
from buoy.model.errors import DataplaneError
from buoy.model.proxied import Proxying

Dump = Callable[[bytes], Iterable[tuple[int, bytes]]]
"""Kind and payload of each message that answers a request, as `netlink.Channel.dump` returns them."""

_Ports = dict[bytes, frozenset[bytes]]
"""Protocol and port, as a key ends, by the address it begins with."""

_NONE: frozenset[bytes] = frozenset()


class ProxyMaps:
    """The mirror; `changed` collects the addresses that it sees treated otherwise, for who asks to empty it."""

    def __init__(self, dump: Dump) -> None:
        self._dump = dump
        self._maps: dict[tuple[int, Map], _Ports] = {}
        self._touched: set[tuple[int, bytes]] = set()
        self._content: dict[Address, Proxying] = {}
        self.families: frozenset[int] = frozenset()
        """The IP versions for which kube-proxy has set its maps up; they may be empty."""
        self.changed: set[Address] = set()

    def content(self) -> Mapping[Address, Proxying]:
        """Return what is done with each address, live; an address nothing is done with is not in it."""
        return MappingProxyType(self._content)

    def reload(self) -> None:
        """Read everything afresh."""
        fresh: dict[tuple[int, Map], _Ports] = {}
        for family in proxy_wire.ADDRESS:
            for which in Map:
                found = self._read(family, which)
                if found is not None:
                    fresh[family, which] = found
        self._touch_all()
        self._maps = fresh
        self._touch_all()
        self._conclude()

    def heard(self, event: netlink.Heard) -> None:
        """Take one notification of nf_tables, of whatever table."""
        if event.kind == nft_wire.NEWGEN:
            self._conclude()
        elif proxy_wire.concerns(event.payload) and (which := proxy_wire.named(event.payload)) is not None:
            self._take(event, which)

    def _take(self, event: netlink.Heard, which: Map) -> None:
        family = event.payload[0]
        if event.kind == nft_wire.DELSET:
            # of what was in it nobody tells; it also goes first when its table goes
            self._touched |= {(family, raw) for raw in self._maps.pop((family, which), ())}
            return
        ports = self._maps.setdefault((family, which), {})
        if event.kind not in (nft_wire.NEWELEMENT, nft_wire.DELELEMENT):
            return
        size = proxy_wire.ADDRESS[family]
        for key in proxy_wire.keys(event.payload):
            raw, rest = key[:size], {key[size:]}
            known = ports.pop(raw, _NONE)
            now = known | rest if event.kind == nft_wire.NEWELEMENT else known - rest
            if now:
                ports[raw] = now
            self._touched.add((family, raw))

    def _touch_all(self) -> None:
        self._touched |= {(family, raw) for (family, _), ports in self._maps.items() for raw in ports}

    def _conclude(self) -> None:
        for family, raw in self._touched:
            forwarded, refused = (self._maps.get((family, which), {}).get(raw, _NONE) for which in Map)
            self._set(unpacked(raw), _proxying(forwarded, refused) if forwarded or refused else None)
        self._touched.clear()
        self.families = frozenset(proxy_wire.VERSION[family] for family, which in self._maps if which is Map.FORWARDED)

    def _set(self, address: Address, seen: Proxying | None) -> None:
        if seen == self._content.get(address):
            return
        self.changed.add(address)
        if seen is None:
            del self._content[address]
        else:
            self._content[address] = seen

    def _read(self, family: int, which: Map) -> _Ports | None:
        """Return a map's content, None if there is no such map."""
        size = proxy_wire.ADDRESS[family]
        for _ in range(8):
            try:
                told = [key for _, raw in self._dump(proxy_wire.dump(family, which)) for key in proxy_wire.keys(raw)]
            except netlink.Refusal as refusal:
                if refusal.number != errno.ENOENT:
                    raise
                return None
            if len(once := set(told)) == len(told):
                ports: _Ports = {}
                for key in once:
                    ports[key[:size]] = ports.get(key[:size], _NONE) | {key[size:]}
                return ports
        raise DataplaneError("nft dump", f"kube-proxy's map {which.value} grew during eight readings")


@functools.lru_cache(4096)
def _proxying(forwarded: frozenset[bytes], refused: frozenset[bytes]) -> Proxying:
    """Return what two maps say together: with policy Local, what is dropped here stays in `service-ips`."""
    return Proxying(
        frozenset(proxy_wire.port(rest) for rest in forwarded - refused),
        frozenset(proxy_wire.port(rest) for rest in refused),
    )
