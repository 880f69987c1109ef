# SPDX-License-Identifier: Apache-2.0
"""Which prefixes of Services are advertised, and the rest of the cluster's BGP settings, from all who say so.

Promises: of each setting, what Calico's BGPConfiguration says is in force, else what
Buoy's own BGPSettings say; prefixes of Services are those of both, and of the pools,
and communities those of both.
The tricky thing is a pool: it is advertised address by address, and only if no prefix
that one of them names contains it, for that says how its addresses are announced.

Source: projectcalico/calico confd/pkg/backends/calico/routes.go, api bgpconfig.go.
"""

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from buoy.kubernetes.calico_communities import tagged
from buoy.kubernetes.foreign import BGPConfiguration, BGPConfigurationSpec, Block
from buoy.kubernetes.reading import read_asn, read_prefix, read_seconds, secret_file
from buoy.kubernetes.twins import camel
from buoy.model.address import Prefix, contains, family, packed, split
from buoy.model.errors import InvalidInput
from buoy.model.peer import BGPSettings
from buoy.model.pool import Pool
from buoy.model.proxied import Advertised, Kind
from buoy.planner.peering_rules import check_settings

NOT_HONOURED = "is read, and not honoured by this version"
"""What is said of a field without which an object is in force all the same."""
DEFAULT = "default"
"""The name of the BGPConfiguration of the whole cluster."""

_IGNORED = (
    "bind_mode",
    "ignored_interfaces",
    "local_workload_peering_ipv4",
    "local_workload_peering_ipv6",
    "program_cluster_routes",
    "ipv4_normal_route_priority",
    "ipv6_normal_route_priority",
    "extensions",
)
_USUAL = {"bind_mode": "None", "program_cluster_routes": "EnabledNoEncapOnly"}
"""What Calico does where the field says nothing: to say it changes nothing."""


class Configured(NamedTuple):
    """Settings, and what of their sources is not in force, and why."""

    settings: BGPSettings
    notices: tuple[str, ...] = ()


def configure(
    own: BGPSettings | None, found: BGPConfiguration | None, pools: Iterable[Pool], cluster_ips: str = ""
) -> Configured:
    """Return the settings of a cluster; `cluster_ips` is what CALICO_ADVERTISE_CLUSTER_IPS says, "" for nothing.

    A prefix that cannot be read is left out and named; a setting that cannot be read, or that no
    node could work with, is as if it were not there, and named, too.
    """
    reading = _Reading()
    base = own or BGPSettings()
    spec = found.spec if found is not None else BGPConfigurationSpec()
    advertised = list(reading.advertised(spec, cluster_ips))
    ranges = [each.prefix for each in (*base.advertise, *advertised) if Kind.LOAD_BALANCER in each.kinds]
    drawn = sorted({prefix for pool in pools for prefix in covering(pool)}, key=_order)
    advertised += [_alone(prefix) for prefix in drawn if not any(inside(prefix, outer) for outer in ranges)]
    settings = msgspec.structs.replace(
        base,
        **reading.overrides(spec),
        advertise=tuple(dict.fromkeys((*base.advertise, *advertised))),
        communities=tuple(dict.fromkeys((*base.communities, *tagged(spec, reading.notices)))),
    )
    return Configured(settings, (*reading.notices, *ignored(spec, _IGNORED, _USUAL)))


def covering(pool: Pool) -> Iterator[Prefix]:
    """Return the prefixes that are exactly the addresses of a pool, those excluded included."""
    yield from pool.prefixes
    for each in pool.ranges:
        first, last = ipaddress.ip_address(each.first), ipaddress.ip_address(each.last)
        if first.version == last.version and int(first) <= int(last):
            yield from (Prefix(str(network)) for network in ipaddress.summarize_address_range(first, last))


def inside(inner: Prefix, outer: Prefix) -> bool:
    """Tell whether a prefix lies in another one."""
    return contains(outer, split(inner)[0]) and split(inner)[1] >= split(outer)[1]


def ignored(spec: msgspec.Struct, fields: Iterable[str], usual: Mapping[str, object]) -> Iterator[str]:
    """Name the fields of a spec that say something and are not honoured; `usual` says nothing new."""
    names = dict(zip(spec.__struct_fields__, spec.__struct_encode_fields__, strict=True))
    for field in fields:
        value = getattr(spec, field)
        if value not in (None, (), [], {}, "", False) and value != usual.get(field):
            yield f"spec.{names.get(field, camel(field))} {NOT_HONOURED}"


class _Reading:
    """Reads what may be wrong, and notes what is."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def advertised(self, spec: BGPConfigurationSpec, cluster_ips: str) -> Iterator[Advertised]:
        """Yield the prefixes that are named, each with one kind."""
        cluster = spec.service_cluster_ips or ()
        field = "spec.serviceClusterIPs"
        if cluster_ips:
            field = "CALICO_ADVERTISE_CLUSTER_IPS"
            cluster = tuple(Block(cidr=text) for text in cluster_ips.replace(",", " ").split())
        aggregate = spec.service_load_balancer_aggregation != "Disabled"
        yield from self._blocks(cluster, field, Kind.CLUSTER)
        yield from self._blocks(spec.service_external_ips or (), "spec.serviceExternalIPs", Kind.EXTERNAL)
        balancer = self._blocks(spec.service_load_balancer_ips or (), "spec.serviceLoadBalancerIPs", Kind.LOAD_BALANCER)
        yield from (msgspec.structs.replace(each, aggregate=aggregate) for each in balancer)

    def overrides(self, spec: BGPConfigurationSpec) -> dict[str, int | bool | str]:
        """Return the settings that are given."""
        found: dict[str, int | bool | str] = {}
        if spec.node_mesh_password is not None:
            found |= {"password": "", "password_from": secret_file(spec.node_mesh_password)}
        if spec.node_to_node_mesh_enabled is not None:
            found["mesh"] = spec.node_to_node_mesh_enabled
        asn, restart, port = spec.as_number, spec.node_mesh_max_restart_time, spec.listen_port
        if asn is not None:
            found |= self._possible("asn", "spec.asNumber", lambda field: read_asn(asn, field))
        if restart is not None:
            field = "spec.nodeMeshMaxRestartTime"
            found |= self._possible("graceful_restart_time", field, lambda field: read_seconds(restart, field))
        if port is not None:
            found |= self._possible("listen_port", "spec.listenPort", lambda _: port)
        return found

    def _possible(self, name: str, field: str, read: Callable[[str], int]) -> dict[str, int]:
        """Return a setting by its name, or nothing and a note: one that no node can work with would end all BGP."""
        try:
            value = read(field)
            check_settings(msgspec.structs.replace(BGPSettings(), **{name: value}))
        except InvalidInput as error:
            self.notices.append(str(InvalidInput(field, error.value, error.remedy)))
            return {}
        return {name: value}

    def _blocks(self, blocks: Iterable[Block], field: str, kind: Kind) -> Iterator[Advertised]:
        for index, block in enumerate(blocks):
            try:
                yield Advertised(prefix=read_prefix(block.cidr, f"{field}[{index}].cidr"), kinds=(kind,))
            except InvalidInput as error:
                self.notices.append(str(error))


def _alone(prefix: Prefix) -> Advertised:
    return Advertised(prefix=prefix, kinds=(Kind.LOAD_BALANCER,), aggregate=False)


def _order(prefix: Prefix) -> tuple[int, bytes, int]:
    network, length = split(prefix)
    return family(prefix), packed(network), length
