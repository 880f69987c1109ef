# SPDX-License-Identifier: Apache-2.0
"""From Calico's BGP to Buoy: what its objects say goes on, what pods need instead, and pools of load balancers.

Promises that what a running Buoy makes of Calico's objects is what is printed here.
The tricky thing is pods: their routes are Calico's business as well as BGP's, and only
a cluster whose pods find each other without BGP can do without Calico's.

Sources: projectcalico/calico api/pkg/apis/projectcalico/v3 ippool.go, bgpconfig.go.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from buoy.kubernetes.addresses import LOAD_BALANCER_CLASS
from buoy.kubernetes.bgp_configuration import DEFAULT, configure
from buoy.kubernetes.foreign import BGPConfiguration
from buoy.kubernetes.inventory import Inventory
from buoy.kubernetes.migration import Finding, Migration, Verdict, classes, decoded
from buoy.kubernetes.objects import Metadata
from buoy.kubernetes.reading import read_prefix
from buoy.kubernetes.resources import BGP_CONFIGURATIONS, BGP_FILTERS, BGP_PEERS, CALICO, NODES
from buoy.kubernetes.structs import STRUCTS
from buoy.kubernetes.translate import Translation
from buoy.model.documents import Document
from buoy.model.errors import InvalidInput
from buoy.model.peer import Filter, Peer
from buoy.model.pool import Pool
from buoy.store.api_names import Resource

IP_POOLS = Resource(CALICO, "v3", "ippools", namespaced=False)
BGP = (BGP_CONFIGURATIONS, BGP_PEERS, BGP_FILTERS)
STORED = {each: each._replace(group="crd.projectcalico.org", version="v1") for each in (*BGP, IP_POOLS)}
"""Where the same objects stand in a cluster without Calico's API server."""
EVERYWHERE = (*STORED, *STORED.values())
"""What is read besides Services and nodes."""

_BECOMES = {BGP_CONFIGURATIONS: "BGPSettings", BGP_PEERS: "a Peer", BGP_FILTERS: "two Filters"}
_BALANCER, _MANUAL = "LoadBalancer", "Manual"


class IPPoolSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Addresses of pods, or of load balancers."""

    cidr: str
    allowed_uses: tuple[str, ...] | None = None
    assignment_mode: str = ""
    disabled: bool = False
    disable_bgp_export: bool = msgspec.field(default=False, name="disableBGPExport")
    ipip_mode: str = ""
    vxlan_mode: str = ""
    namespace_selector: str = ""


class IPPool(msgspec.Struct, frozen=True, kw_only=True):
    """projectcalico.org/v3 IPPool."""

    metadata: Metadata
    spec: IPPoolSpec


def from_calico(objects: Inventory, cluster_ips: str = "") -> Migration:
    """Return what becomes of Calico's objects; `cluster_ips` is what CALICO_ADVERTISE_CLUSTER_IPS says."""
    copied = [resource for resource in STORED if objects.of(STORED[resource]) and not objects.of(resource)]
    for resource in copied:
        for name, each in tuple(objects.of(STORED[resource]).items()):
            objects.put(resource, name, each)
    translation = Translation()
    findings: list[Finding] = []
    for resource in (NODES, *BGP):
        found, broken = decoded(objects, resource, STRUCTS[resource])
        translation.take(resource, found)
        findings += broken
    findings += _read(objects, translation.notices, copied)
    made: list[Document] = [each for each in translation.documents.values() if isinstance(each, Peer | Filter)]
    configured = configure(None, _default(objects), (), cluster_ips).settings
    pools, told = _pools(objects)
    return Migration((*findings, *told, *classes(objects, (LOAD_BALANCER_CLASS,))), (*pools, *made, configured))


def _default(objects: Inventory) -> BGPConfiguration | None:
    found, _ = decoded(objects, BGP_CONFIGURATIONS, BGPConfiguration)
    return next((each for name, each in found.items() if name.name == DEFAULT), None)


def _read(
    objects: Inventory, notices: Mapping[str, tuple[str, ...]], copied: Collection[Resource]
) -> Iterator[Finding]:
    """Say of each object what is not done of it, and whether a running Buoy reads it; of `copied` it reads none."""
    for resource in BGP:
        for name in sorted(objects.of(resource)):
            told = notices.get(f"{resource}/{name}", ())
            subject = f"{objects.of(resource)[name].get('kind', resource.plural)} {name}"
            yield from (Finding(Verdict.NOT_DONE, subject, note) for note in told)
            if resource in copied:
                yield Finding(
                    Verdict.SAME, subject, f"becomes {_BECOMES[resource]}; as {STORED[resource]} nobody reads it"
                )
            elif not told:
                yield Finding(Verdict.SAME, subject, "is read as it is")


def _pools(objects: Inventory) -> tuple[list[Pool], list[Finding]]:
    found, findings = decoded(objects, IP_POOLS, IPPool)
    pools: list[Pool] = []
    for name, each in found.items():
        subject = f"IPPool {name}"
        if _BALANCER in (each.spec.allowed_uses or ()):
            try:
                pools.append(_pool(each))
            except InvalidInput as error:
                findings.append(Finding(Verdict.NOT_DONE, subject, str(error)))
                continue
            findings.append(Finding(Verdict.SAME, subject, f"becomes Pool {name}; Services keep their addresses"))
            if each.spec.namespace_selector:
                findings.append(
                    Finding(Verdict.NOT_DONE, subject, f"spec.namespaceSelector {each.spec.namespace_selector}")
                )
        else:
            findings += (Finding(verdict, subject, note) for verdict, note in _pods(each.spec))
    return pools, findings


def _pool(found: IPPool) -> Pool:
    return Pool(
        name=found.metadata.name,
        prefixes=(read_prefix(found.spec.cidr, "spec.cidr"),),
        automatic=found.spec.assignment_mode != _MANUAL,
        draining=found.spec.disabled,
    )


def _pods(spec: IPPoolSpec) -> Iterator[tuple[Verdict, Any]]:
    """Say what pods of a pool need once BGP is not Calico's any more."""
    modes = {"IPIP": spec.ipip_mode, "VXLAN": spec.vxlan_mode}
    if modes["VXLAN"] not in {"", "Never"}:
        yield Verdict.SAME, "pods reach each other by VXLAN, which needs no BGP"
    elif modes["IPIP"] not in {"", "Never"}:
        yield Verdict.NOT_DONE, "pods reach each other by IPIP, whose routes Calico's BIRD makes: change to VXLAN first"
    else:
        note = "pods reach each other by routes that Calico's BIRD tells; Buoy tells of Node.spec.podCIDRs only"
        yield (
            Verdict.NOT_DONE,
            f"{note}: change to VXLAN first, or nodePrefixes: true of BGPSettings with host-local IPAM",
        )
    if not spec.disable_bgp_export:
        note = "routers hear of Node.spec.podCIDRs, with nodePrefixes: true of BGPSettings, and of no other block of it"
        yield Verdict.DIFFERS, note
