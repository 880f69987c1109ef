# SPDX-License-Identifier: Apache-2.0
"""Services get addresses from pools, keep them, share them, or are told why not: all through kubectl."""

from typing import Any

import pytest

from tests.e2e.cloud import eventually
from tests.e2e.kubernetes.cluster import Cluster, RefusedError, pool, service

FIP_POOL = "opencontrail.org/fip-pool"


def annotated(name: str, namespace: str = "default", **annotations: str) -> dict[str, Any]:
    """Return a Service with annotations."""
    made = service(name, namespace)
    made["metadata"]["annotations"] = annotations
    return made


def contrail(name: str) -> str:
    return f"{{'domain': 'default-domain', 'project': 'k8s-x', 'network': 'vn-x', 'name': '{name}'}}"


def address(cluster: Cluster, name: str, namespace: str = "default") -> str:
    [found] = eventually(lambda: cluster.external(name, namespace))
    return found


def refusal(cluster: Cluster, name: str, namespace: str = "default") -> str:
    """Return the message of a Service's condition once it has one that says no."""

    def said() -> str:
        conditions = cluster.get("service", name, "-n", namespace)["status"].get("conditions", [])
        return next((one["message"] for one in conditions if one["status"] == "False"), "")

    return eventually(said)


@pytest.fixture(scope="module", autouse=True)
def pools(cluster: Cluster) -> None:
    cluster.apply(
        pool("gold", "198.18.1.0/30", automatic=False),
        pool("one", "198.18.2.7/32", automatic=False, holdDown=0.0),
        pool("team", "198.18.3.0/29", automatic=False, namespaces=["team-a"]),
    )
    for namespace in ("team-a", "team-b"):
        cluster.kubectl("create", "namespace", namespace)


def test_a_named_pool_is_drawn_from_and_a_missing_one_is_a_no(cluster: Cluster) -> None:
    cluster.apply(annotated("named", **{FIP_POOL: contrail("gold")}))
    assert address(cluster, "named").startswith("198.18.1.")
    cluster.apply(annotated("lost", **{FIP_POOL: contrail("nowhere")}))
    assert "nowhere" in refusal(cluster, "lost")
    assert [] == cluster.external("lost")
    cluster.apply(pool("nowhere", "198.18.9.0/30", automatic=False))
    assert address(cluster, "lost").startswith("198.18.9."), "taken up by itself"


def test_a_full_pool_says_so_and_serves_the_next_once_an_address_is_free(cluster: Cluster) -> None:
    cluster.apply(annotated("first", **{FIP_POOL: contrail("one")}))
    assert "198.18.2.7" == address(cluster, "first")
    cluster.apply(annotated("second", **{FIP_POOL: contrail("one")}))
    assert "full" in refusal(cluster, "second")
    cluster.kubectl("delete", "service", "first")
    assert "198.18.2.7" == address(cluster, "second")


def test_a_pool_of_another_namespace_is_refused(cluster: Cluster) -> None:
    cluster.apply(annotated("own", "team-a", **{"buoy.dev/pool": "team"}))
    assert address(cluster, "own", "team-a").startswith("198.18.3.")
    cluster.apply(annotated("other", "team-b", **{"buoy.dev/pool": "team"}))
    assert "team-b" in refusal(cluster, "other", "team-b")


def test_delete_and_recreate_gives_the_same_address_back(cluster: Cluster) -> None:
    names = [f"again-{number}" for number in range(3)]
    cluster.apply(*(service(name) for name in names))
    before = {name: address(cluster, name) for name in names}
    cluster.kubectl("delete", "service", *names)
    cluster.apply(*(service(name) for name in reversed(names)))
    assert before == {name: address(cluster, name) for name in names}


def test_a_requested_address_is_given_or_refused_with_the_reason(cluster: Cluster) -> None:
    cluster.apply(service("asked", loadBalancerIP="203.0.113.42"))
    assert "203.0.113.42" == address(cluster, "asked")
    cluster.apply(service("too-late", loadBalancerIP="203.0.113.42"))
    assert "203.0.113.42" in refusal(cluster, "too-late")
    cluster.apply(service("outside", loadBalancerIP="192.0.2.99"))
    assert "192.0.2.99" in refusal(cluster, "outside")


def test_services_share_an_address_by_key_if_their_ports_differ(cluster: Cluster) -> None:
    key = {"metallb.io/allow-shared-ip": "together"}
    for name, port in (("dns", 53), ("doh", 443), ("again", 53)):
        made = annotated(name, **key)
        made["spec"]["ports"][0]["port"] = port
        cluster.apply(made)
        address(cluster, name)
    shared = {name: address(cluster, name) for name in ("dns", "doh", "again")}
    assert shared["dns"] == shared["doh"]
    assert shared["dns"] != shared["again"]


def test_dual_stack_gets_one_address_of_each_family_and_both_are_announced(cluster: Cluster) -> None:
    cluster.apply(service("dual", ipFamilyPolicy="RequireDualStack"))
    cluster.pod("dual-1", "node-1", {"app": "dual"})
    found = eventually(lambda: cluster.external("dual"), lambda seen: len(seen) == 2)
    assert [True, False] == ["." in each for each in found]
    cluster.announced(f"{found[0]}/32", "node-1", "node-2")
    cluster.announced(f"{found[1]}/128", "node-1", "node-2")
    assert ["dual-1", "dual-1"] == [cluster.http(each).split()[0] for each in found]


def test_a_status_wiped_by_somebody_is_restored(cluster: Cluster) -> None:
    before = address(cluster, "asked")
    wipe = '{"status": {"loadBalancer": null}}'
    cluster.kubectl("patch", "service", "asked", "--subresource", "status", "--type", "merge", "-p", wipe)
    assert before == address(cluster, "asked")


def test_a_service_of_another_class_is_left_alone(cluster: Cluster) -> None:
    cluster.apply(service("theirs", loadBalancerClass="example.net/other"))
    address(cluster, "asked")
    cluster.apply(service("after"))
    address(cluster, "after")
    shown = cluster.get("service", "theirs")
    assert ({"loadBalancer": {}}, None) == (shown["status"], shown["metadata"].get("finalizers"))


def test_a_service_that_is_no_load_balancer_any_more_gives_its_address_back(cluster: Cluster) -> None:
    cluster.apply(service("turned"))
    given = address(cluster, "turned")
    cluster.kubectl("patch", "service", "turned", "--type", "merge", "-p", '{"spec": {"type": "ClusterIP"}}')
    claim = eventually(lambda: cluster.get("serviceip", given)["spec"], lambda seen: "released" in seen)
    assert "turned" == claim["owners"][0]["name"]
    assert None is cluster.get("service", "turned")["metadata"].get("finalizers")


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"prefixes": ["203.0.113.5/24"]}, "spec.prefixes[0]"),
        ({"prefixes": ["x.x.x.x/16"]}, "spec.prefixes[0]"),
        ({"prefixes": ["198.51.100.0/24"], "priority": "high"}, "priority"),
        ({"prefixes": ["198.51.100.0/24"], "quota": -1}, "quota"),
    ],
)
def test_a_pool_that_cannot_be_is_refused_at_the_door(cluster: Cluster, spec: dict[str, Any], named: str) -> None:
    with pytest.raises(RefusedError) as refused:
        cluster.apply({"apiVersion": "buoy.dev/v1", "kind": "Pool", "metadata": {"name": "bad"}, "spec": spec})
    assert named in refused.value.err
