# SPDX-License-Identifier: Apache-2.0
"""Whose a pod is, which pod of an owner has its floating IP, and where that leads to."""

from typing import Any

import msgspec
import pytest

from buoy.kubernetes.pods import Pod, chosen, endpoints, is_candidate, owner_of, parse_mappings
from buoy.kubernetes.resources import PODS
from buoy.kubernetes.translate import Translation, TranslationSettings
from buoy.model.address import Address
from buoy.model.errors import InvalidInput
from buoy.model.service_ip import Attachment, Endpoint, PortMapping, ServiceIP
from buoy.store.api_names import ObjectName, Resource
from tests.unit.kubernetes.making import stored


def pod(name: str = "db-0", *ips: str, ready: bool = True, **metadata: Any) -> Pod:  # noqa: ANN401  JSON
    said = {
        "metadata": {"name": name, "namespace": "shop", "uid": "u1", **metadata},
        "spec": {"nodeName": "node-1"},
        "status": {
            "phase": "Running",
            "podIPs": [{"ip": ip} for ip in ips or ("10.244.0.2",)],
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }
    return msgspec.convert(said, Pod)


def made_by(kind: str, name: str, **more: object) -> dict[str, Any]:
    return {
        "ownerReferences": [{"kind": "Other", "name": "x"}, {"kind": kind, "name": name, "controller": True}],
        **more,
    }


@pytest.mark.parametrize(
    ("metadata", "owner"),
    [
        ({}, "Pod shop/db-0"),
        (made_by("StatefulSet", "db"), "Pod shop/db-0"),
        (made_by("Node", "node-1"), "Pod shop/db-0"),
        (made_by("ReplicaSet", "web-5d9f", labels={"pod-template-hash": "5d9f"}), "Deployment shop/web"),
        (made_by("ReplicaSet", "alone", labels={"pod-template-hash": "5d9f"}), "ReplicaSet shop/alone"),
        (made_by("ReplicaSet", "alone-"), "ReplicaSet shop/alone-"),
        (made_by("Job", "once"), "Job shop/once"),
        ({"ownerReferences": [{"kind": "StatefulSet", "name": "db"}]}, "Pod shop/db-0"),
    ],
)
def test_who_is_there_when_the_pod_is_gone_owns(metadata: dict[str, Any], owner: str) -> None:
    assert owner == str(owner_of(pod(**metadata)).identity)


def test_of_several_pods_the_one_that_can_serve_has_it_and_it_stays() -> None:
    old, new = pod("a", creationTimestamp="2026-01-01"), pod("b", creationTimestamp="2026-01-02")
    assert old == chosen((new, old), ())
    assert new == chosen((new, old), {"shop/b"})
    assert new == chosen((pod("a", ready=False), new), {"shop/a"})
    assert new == chosen((pod("a", deletionTimestamp="2026-01-03"), new), {"shop/a"})
    assert old == chosen((old, pod("b", ready=False)), {"shop/b"})
    leaving = pod("a", deletionTimestamp="2026-01-03", ready=False)
    assert leaving == chosen((leaving,), ())


def test_who_runs_nowhere_has_no_address_or_has_its_nodes_is_led_to_by_nothing() -> None:
    running = pod()
    spec, status = running.spec, running.status
    waiting = (
        msgspec.structs.replace(running, spec=msgspec.structs.replace(spec, node_name="")),
        msgspec.structs.replace(running, spec=msgspec.structs.replace(spec, host_network=True)),
        msgspec.structs.replace(running, status=msgspec.structs.replace(status, phase="Succeeded")),
        msgspec.structs.replace(running, status=msgspec.structs.replace(status, pod_ips=None)),
        pod("db-0", "x"),
    )
    assert [True, *[False] * 5] == [is_candidate(each) for each in (running, *waiting)]
    assert None is chosen(waiting, ())


def test_it_leads_to_the_pods_address_of_its_family_as_its_node_reaches_it() -> None:
    both = pod("db-0", "10.244.0.2", "2001:db8::2")
    whole = Endpoint(workload="shop/db-0", target=both_of(6), node="node-1", attached=Attachment.HOST)
    assert (whole,) == endpoints(both, 6, ())
    ports = parse_mappings("tcp/80:8080,udp/53", "ports")
    mapped = [msgspec.structs.replace(whole, target=both_of(4), mapping=each) for each in ports]
    assert tuple(mapped) == endpoints(both, 4, ports)
    assert () == endpoints(pod(), 6, ()) == endpoints(None, 4, ())


def both_of(family: int) -> Any:  # noqa: ANN401  an address
    return {4: "10.244.0.2", 6: "2001:db8::2"}[family]


def test_ports_are_mapped_one_by_one_or_as_a_range() -> None:
    def mapping(protocol: str, first: int, last: int, target: int) -> PortMapping:
        return PortMapping(protocol=protocol, first=first, last=last, target_first=target)

    expected = (mapping("tcp", 80, 80, 8080), mapping("udp", 5000, 5010, 6000), mapping("sctp", 9, 9, 9))
    assert expected == parse_mappings("TCP/80:8080, udp/5000-5010:6000,sctp/9", "ports")
    assert () == parse_mappings("  ", "ports")


@pytest.mark.parametrize(
    "text", ["80", "tcp/", "tcp/x", "icmp/8", "tcp/0", "tcp/9-8", "tcp/65536", "tcp/1-9:65530", ","]
)
def test_what_maps_no_ports_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_mappings(text, "ports")
    assert "ports" == refused.value.field


CLAIM = Resource("buoy.dev", "v1", "serviceips", namespaced=False)
FLOATING, DB = ObjectName("", "198.51.100.1"), ObjectName("shop", "db-0")
PATH = "service-ips/198.51.100.1"


def floating(*ends: Endpoint) -> Any:  # noqa: ANN401  a struct made at run time
    return stored(ServiceIP(address=Address("198.51.100.1"), endpoints=ends))


def led(translation: Translation) -> list[str]:
    """Return where the floating IP leads to."""
    document = translation.documents[PATH]
    assert isinstance(document, ServiceIP)
    return [end.workload for end in document.endpoints]


def test_a_node_leads_only_to_a_pod_that_is_here_and_has_the_address() -> None:
    translation = Translation(TranslationSettings(node="node-1"))
    translation.take(CLAIM, {FLOATING: floating(*endpoints(pod(), 4, ()))})
    assert [] == led(translation), "not before the pod is seen"
    assert {PATH} == translation.take(PODS, {DB: pod()}).keys()
    assert ["shop/db-0"] == led(translation)
    assert {} == translation.take(PODS, {DB: pod(ready=False)}), "nothing depends on that here"
    translation.take(PODS, {DB: pod("db-0", "10.244.0.3")})
    assert [] == led(translation), "the address may be another's"
    translation.take(PODS, {DB: pod()})
    assert {PATH} == translation.take(PODS, {DB: None}).keys()
    assert [] == led(translation)
    translation.take(CLAIM, {FLOATING: None})
    assert {} == translation.take(PODS, {DB: pod()})


def test_pods_of_other_nodes_and_ports_are_not_its_affair() -> None:
    elsewhere = endpoints(pod(), 4, ())
    port = Endpoint(workload="port1", target=Address("192.0.2.1"), node="node-2")
    for node, end in (("node-2", elsewhere[0]), ("", elsewhere[0]), ("node-2", port)):
        translation = Translation(TranslationSettings(node=node))
        translation.take(CLAIM, {FLOATING: floating(end)})
        assert [end.workload] == led(translation)
