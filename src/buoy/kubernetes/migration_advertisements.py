# SPDX-License-Identifier: Apache-2.0
"""MetalLB's BGPAdvertisements, held beside what Buoy does with every pool: announce each address by itself, to all.

Promises that what an advertisement restricts or adds is named field by field. The
tricky thing is a pool that no advertisement speaks of: MetalLB keeps it to itself.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from buoy.ipam.eligible import matches
from buoy.kubernetes.bgp_configuration import covering
from buoy.kubernetes.foreign import IPAddressPool
from buoy.kubernetes.inventory import Inventory
from buoy.kubernetes.metallb import selector
from buoy.kubernetes.metallb_objects import (
    BGP_ADVERTISEMENTS,
    COMMUNITIES,
    STRUCTS,
    BGPAdvertisement,
    BGPAdvertisementSpec,
)
from buoy.kubernetes.migration import Finding, Verdict, decoded
from buoy.kubernetes.resources import ADDRESS_POOLS
from buoy.model.address import Prefix
from buoy.model.peer import Tagged
from buoy.model.pool import Pool
from buoy.model.proxied import Advertised, Kind

_MOST = 64
"""Aggregates that are made of one pool; of more each is better written by hand."""


class _Cut(NamedTuple):
    """A network that is told in aggregates of a length."""

    network: ipaddress.IPv4Network | ipaddress.IPv6Network
    length: int

    @property
    def many(self) -> int:
        """How many aggregates that are."""
        return 1 << (self.length - self.network.prefixlen)

    def prefixes(self) -> Iterator[Prefix]:
        """Return the aggregates."""
        return (Prefix(str(each)) for each in self.network.subnets(new_prefix=self.length))


def advertised(objects: Inventory, pools: Sequence[Pool]) -> tuple[tuple[Advertised, ...], list[Finding]]:
    """Return the prefixes to be announced as a whole, and what is said of each advertisement and pool."""
    found, findings = decoded(objects, BGP_ADVERTISEMENTS, BGPAdvertisement)
    aggregates: list[Prefix] = []
    spoken: set[str] = set()
    for name, each in found.items():
        subject, chosen = f"BGPAdvertisement {name}", _chosen(objects, each.spec)
        spoken |= chosen
        told = list(_restrictions(each.spec))
        whole = [cut for pool in pools if pool.name in chosen for cut in _cuts(pool, each.spec)]
        if sum(cut.many for cut in whole) > _MOST:
            many = ", ".join(f"{cut.network} by /{cut.length}" for cut in whole)
            told.append((Verdict.NOT_DONE, f"{many}: address by address instead; see advertise of BGPSettings"))
        elif whole:
            prefixes = [prefix for cut in whole for prefix in cut.prefixes()]
            aggregates += prefixes
            note = "from every node at all times, not only while a Service has an address of it"
            told.append((Verdict.DIFFERS, f"{', '.join(prefixes)}: {note}"))
        if not told:
            told.append((Verdict.SAME, "address by address to every router"))
        findings += (Finding(verdict, subject, note) for verdict, note in told)
    for pool in pools:
        if pool.name not in spoken:
            note = "no BGPAdvertisement speaks of it: MetalLB tells no router of it, Buoy all of them"
            findings.append(Finding(Verdict.DIFFERS, f"IPAddressPool {pool.name}", note))
    unlike = dict.fromkeys(aggregates)
    return tuple(Advertised(prefix=prefix, kinds=(Kind.LOAD_BALANCER,)) for prefix in unlike), findings


def communities(objects: Inventory, pools: Sequence[Pool]) -> tuple[Tagged, ...]:
    """Return with which communities the addresses of pools are announced; names are those of Community objects."""
    named = {
        each.name: each.value
        for found in decoded(objects, COMMUNITIES, STRUCTS[COMMUNITIES])[0].values()
        for each in found.spec.communities or ()
    }
    tagged = []
    for each in decoded(objects, BGP_ADVERTISEMENTS, BGPAdvertisement)[0].values():
        values = tuple(named.get(text, text).removeprefix("large:") for text in each.spec.communities or ())
        chosen = _chosen(objects, each.spec) if values else frozenset()
        prefixes = (prefix for pool in pools if pool.name in chosen for prefix in covering(pool))
        tagged += [Tagged(prefix=prefix, communities=values) for prefix in prefixes]
    return tuple(tagged)


def _chosen(objects: Inventory, spec: BGPAdvertisementSpec) -> set[str]:
    """Return the pools an advertisement speaks of: those named and those selected, all if neither."""
    known, _ = decoded(objects, ADDRESS_POOLS, IPAddressPool)
    if not spec.ip_address_pools and not spec.ip_address_pool_selectors:
        return {name.name for name in known}
    wanted = [selector(each) for each in spec.ip_address_pool_selectors or ()]
    chosen = {
        name.name for name, pool in known.items() if any(matches(each, pool.metadata.labels or {}) for each in wanted)
    }
    return chosen | set(spec.ip_address_pools or ())


def _restrictions(spec: BGPAdvertisementSpec) -> Iterator[tuple[Verdict, str]]:
    if spec.peers:
        note = (
            f"spec.peers: told to every router, not to {', '.join(spec.peers)} alone; give the others an export filter"
        )
        yield Verdict.DIFFERS, note
    if spec.node_selectors:
        yield Verdict.DIFFERS, "spec.nodeSelectors: from every node that is not excluded; label the others so"
    if spec.communities:
        yield Verdict.SAME, f"spec.communities {', '.join(spec.communities)}: communities of BGPSettings"
    if spec.local_pref:
        yield Verdict.NOT_DONE, f"spec.localPref {spec.local_pref}"


def _cuts(pool: Pool, spec: BGPAdvertisementSpec) -> Iterator[_Cut]:
    """Yield what of a pool is told in aggregates, nothing where each address is told by itself."""
    for prefix in covering(pool):
        network = ipaddress.ip_network(prefix)
        length = spec.aggregation_length_v6 if network.version == 6 else spec.aggregation_length
        if length is not None and network.prefixlen <= length < network.max_prefixlen:
            yield _Cut(network, length)
