# SPDX-License-Identifier: Apache-2.0
"""A service proxy in memory: tests say what it forwards and refuses, and it tells who has changed.

Promises what `driver.py` says of a `ServiceProxy`. A port is forwarded, refused, or
unknown to it; an address of which it knows nothing is in no answer.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from buoy.model.address import Address, family
from buoy.model.proxied import FAMILIES, Proxying, ProxyMode, ProxyPort


class FakeProxy:
    """Implements `ServiceProxy`; begins with `mode` and no address."""

    def __init__(self, mode: ProxyMode = ProxyMode.NONE) -> None:
        self._mode = mode
        self._families = FAMILIES if mode is not ProxyMode.NONE else frozenset()
        self._proxying: dict[Address, Proxying] = {}
        self._stuck = ""
        self._told: set[Address] = set()
        self._news = False

    def mode(self) -> ProxyMode:
        """Return how it works."""
        return self._mode

    def families(self) -> frozenset[int]:
        """Return for which IP versions it works."""
        return self._families

    def stuck(self) -> str:
        """Return why it is stuck, empty if it lives."""
        return self._stuck

    def proxying(self) -> Mapping[Address, Proxying]:
        """Return what it does with each address; live."""
        return MappingProxyType(self._proxying)

    def forwards(self, address: Address, port: ProxyPort) -> bool:
        """Tell whether it forwards a port."""
        return port in self._proxying.get(address, Proxying()).forwarded

    def become(self, mode: ProxyMode, families: frozenset[int] = FAMILIES) -> None:
        """Come, go (NONE: of both families) or change mode; what it forwarded of a family goes with the family."""
        now = families if mode is not ProxyMode.NONE else frozenset()
        self._news |= (mode, now) != (self._mode, self._families)
        self._mode, self._families = mode, now
        for address in [address for address in self._proxying if family(address) not in now]:
            self._set(address, Proxying())

    def freeze(self, cause: str) -> None:
        """Be stuck, and why; empty: live again."""
        self._news |= cause != self._stuck
        self._stuck = cause

    def forward(self, address: Address, ports: Iterable[ProxyPort]) -> None:
        """Forward these ports of an address from now on, besides what it did."""
        known = self._proxying.get(address, Proxying())
        self._set(address, Proxying(known.forwarded | set(ports), known.refused - set(ports)))

    def refuse(self, address: Address, ports: Iterable[ProxyPort]) -> None:
        """Refuse these ports of an address from now on."""
        known = self._proxying.get(address, Proxying())
        self._set(address, Proxying(known.forwarded - set(ports), known.refused | set(ports)))

    def forget(self, address: Address, ports: Iterable[ProxyPort]) -> None:
        """Neither forward nor refuse these ports any more."""
        known = self._proxying.get(address, Proxying())
        self._set(address, Proxying(known.forwarded - set(ports), known.refused - set(ports)))

    def news(self) -> tuple[frozenset[Address], bool]:
        """Return the addresses that changed since the last call, and whether the mode did."""
        told, news = frozenset(self._told), self._news
        self._told, self._news = set(), False
        return told, news

    def _set(self, address: Address, now: Proxying) -> None:
        if now == self._proxying.get(address, Proxying()):
            return
        self._told.add(address)
        if now == Proxying():
            del self._proxying[address]
        else:
            self._proxying[address] = now
