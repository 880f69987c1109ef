# SPDX-License-Identifier: Apache-2.0
"""Controllers on a real API server, under the rights the manifests give them: what kubectl shows, and what survives."""

import contextlib
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import msgspec

from tests.controller.conftest import MANIFESTS, Controllers, addresses, apply, eventually, objects, pool, service
from tests.store.api.kube import KubeServer

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"


def owners(kube: KubeServer) -> dict[str, str]:
    """Return who has each address that somebody has."""
    claims = objects(kube, "serviceips").values()
    return {
        each["spec"]["address"]: each["spec"]["owners"][0]["name"] for each in claims if "released" not in each["spec"]
    }


def versions(kube: KubeServer) -> dict[str, str]:
    """Return the version of each Service and of each claim."""
    found = {**objects(kube, "services", "-n", "default"), **objects(kube, "serviceips")}
    return {name: each["metadata"]["resourceVersion"] for name, each in found.items()}


def test_a_service_gets_an_address_and_another_life_of_it_the_same(kube: KubeServer, controllers: Controllers) -> None:
    controllers.start(1)
    apply(kube, pool("public", "192.0.2.8/29"), service("other"), service("web"))
    eventually(lambda: all(addresses(kube).values()), expected=True)
    before = addresses(kube)
    assert [FINALIZER] == objects(kube, "services", "-n", "default")["web"]["metadata"]["finalizers"]
    kube.kubectl("delete", "service", "web")
    assert {"other"} == set(owners(kube).values())
    apply(kube, service("third"), service("web"))
    eventually(lambda: addresses(kube).get("web"), before["web"])
    eventually(lambda: sorted(owners(kube).values()), ["other", "third", "web"])


def test_describe_and_get_pools_say_why_a_service_waits(kube: KubeServer, controllers: Controllers) -> None:
    controllers.start(1)
    apply(kube, pool("public", "192.0.2.8/32"), service("web"))
    eventually(lambda: addresses(kube), {"web": ["192.0.2.8"]})
    apply(kube, service("waits"))
    eventually(lambda: "PoolFull" in kube.kubectl("describe", "service", "waits"), expected=True)
    eventually(lambda: kube.kubectl("get", "pools", "--no-headers").split()[2:6], ["1", "0", "1", "full"])
    conditions = objects(kube, "services", "-n", "default")["waits"]["status"]["conditions"]
    assert [("buoy.dev/AddressAllocated", "False", "PoolFull")] == [
        (each["type"], each["status"], each["reason"]) for each in conditions
    ]
    assert "Allocated" in kube.kubectl("describe", "service", "web")


def test_a_pool_that_is_replaced_says_again_how_full_it_is(kube: KubeServer, controllers: Controllers) -> None:
    controllers.start(1)
    public = pool("public", "192.0.2.8/31")
    apply(kube, public, service("web"))
    eventually(lambda: kube.kubectl("get", "pools", "--no-headers").split()[2:5], ["1", "1", "0"])
    kube.kubectl("replace", "--force", "-f", "-", stdin=msgspec.json.encode(public).decode())
    eventually(lambda: kube.kubectl("get", "pools", "--no-headers").split()[2:5], ["1", "1", "0"])


def test_a_token_file_that_holds_no_token_is_said_of_neutrons_pools_and_stops_no_other(
    kube: KubeServer, controllers: Controllers
) -> None:
    file = controllers.home / "token"
    file.write_text("2026-11-21T12:00:00Z\ngAAAAA\nproject\nuser\n")
    controllers.start(1, {"OS_ENDPOINT": kube.url, "BUOY_NEUTRON_TOKEN_FILE": str(file)})
    apply(kube, pool("public", "192.0.2.8/31"), pool("vms", "203.0.113.0/28", registry="neutron"), service("web"))
    eventually(lambda: addresses(kube), {"web": ["192.0.2.8"]})
    eventually(lambda: f"{file} holds no token" in kube.kubectl("get", "pool", "vms", "-o", "json"), expected=True)


def test_services_that_change_type_and_class_are_left_clean(kube: KubeServer, controllers: Controllers) -> None:
    controllers.start(1)
    apply(kube, pool("public", "192.0.2.8/29"), service("web"))
    eventually(lambda: bool(addresses(kube)["web"]), expected=True)
    kube.kubectl("patch", "service", "web", "-p", '{"spec":{"type":"ClusterIP"}}')
    eventually(lambda: owners(kube), {})

    def left() -> tuple[object, object]:
        found = objects(kube, "services", "-n", "default")["web"]
        return found["metadata"].get("finalizers"), found["status"].get("conditions")

    eventually(left, (None, None))
    kube.kubectl(
        "patch", "service", "web", "-p", '{"spec":{"type":"LoadBalancer","loadBalancerClass":"example.net/x"}}'
    )
    time.sleep(1)
    assert (None, None) == left()
    assert {"web": []} == addresses(kube)


def test_what_others_write_into_a_status_stays_and_ours_comes_back(kube: KubeServer, controllers: Controllers) -> None:
    controllers.start(1)
    apply(kube, pool("public", "192.0.2.8/29"), service("web"))
    eventually(lambda: bool(addresses(kube)["web"]), expected=True)
    ours = addresses(kube)["web"]
    theirs = (
        '{"status":{"loadBalancer":{"ingress":[{"ip":"198.51.100.1","ipMode":"Proxy"},{"hostname":"lb.example.net"}]}}}'
    )
    kube.kubectl("patch", "service", "web", "--subresource=status", "--type=merge", "-p", theirs)
    eventually(lambda: addresses(kube)["web"], [*ours, "198.51.100.1"])
    ingress = objects(kube, "services", "-n", "default")["web"]["status"]["loadBalancer"]["ingress"]
    assert ["VIP", "Proxy", None] == [entry.get("ipMode") for entry in ingress]
    assert "lb.example.net" == ingress[2]["hostname"]


def test_a_service_deleted_while_no_controller_ran_is_let_go_by_the_next(
    kube: KubeServer, controllers: Controllers
) -> None:
    controllers.start(1)
    apply(kube, pool("public", "192.0.2.8/29"), service("web"))
    eventually(lambda: bool(addresses(kube)["web"]), expected=True)
    assert 0 == controllers.end(1)
    kube.kubectl("delete", "service", "web", "--wait=false")
    assert "web" in addresses(kube)
    controllers.start(2)
    eventually(lambda: addresses(kube), {})
    assert {} == owners(kube)


def test_nothing_is_written_by_a_controller_that_starts_over_services_that_are_well(
    kube: KubeServer, controllers: Controllers
) -> None:
    controllers.start(1)
    apply(kube, pool("public", "192.0.2.0/26"), *(service(f"web-{number}") for number in range(20)))
    eventually(lambda: all(addresses(kube).values()), expected=True)
    controllers.end(1, signal.SIGKILL)
    before = versions(kube)
    controllers.start(2)
    apply(kube, service("new"))
    eventually(lambda: bool(addresses(kube)["new"]), expected=True)
    after = versions(kube)
    assert before == {name: after[name] for name in before}


def test_two_controllers_killed_again_and_again_give_no_address_twice_and_lose_none(
    kube: KubeServer, controllers: Controllers
) -> None:
    apply(kube, pool("public", "192.0.2.0/25"))
    wave = 0
    for number in range(6):
        controllers.start(number)
        apply(kube, *(service(f"web-{wave + each}") for each in range(15)))
        wave += 15
        if number:
            kube.kubectl("delete", "service", f"web-{wave - 20}", "--wait=false")
            controllers.end(number - 1, signal.SIGKILL)
        # somewhere in the middle of what it does
        time.sleep(0.05 * number)
    # the one killed last holds the lease for its fifteen seconds
    eventually(lambda: all(addresses(kube).values()), expected=True, seconds=60)
    shown = [address for each in addresses(kube).values() for address in each]
    assert (90 - 5, len(shown)) == (len(set(shown)), len(shown))
    eventually(lambda: set(owners(kube)) == set(shown), expected=True)


def test_a_leader_that_hangs_in_the_middle_of_allocating_writes_nothing_once_another_leads(
    kube: KubeServer, controllers: Controllers
) -> None:
    controllers.start(1)
    apply(kube, pool("public", "192.0.2.0/25", holdDown=0), service("web"))
    eventually(lambda: bool(addresses(kube)["web"]), expected=True)
    with ThreadPoolExecutor() as others:
        applied = others.submit(apply, kube, *(service(f"web-{number}") for number in range(60)))
        eventually(lambda: sum(map(bool, addresses(kube).values())) > 5, expected=True)
        controllers.stop(1)
        applied.result()
    assert not all(addresses(kube).values()), "it was in the middle"
    controllers.start(2)
    eventually(lambda: all(addresses(kube).values()), expected=True)
    # what the one that hangs has decided is now decided otherwise
    kube.kubectl("delete", "service", "--wait=false", *(f"web-{number}" for number in range(30)))
    apply(kube, *(service(f"other-{number}") for number in range(30)))
    eventually(lambda: [len(found) for found in addresses(kube).values()], [1] * 61)
    eventually(lambda: set(owners(kube)) == {at for each in addresses(kube).values() for at in each}, expected=True)
    before = versions(kube)
    controllers.go_on(1)
    eventually(lambda: "leads no more" in controllers.log(1).read_text(), expected=True)
    assert before == versions(kube)


def test_an_api_server_that_was_away_finds_what_was_asked_for_meanwhile(
    kube: KubeServer, controllers: Controllers
) -> None:
    controllers.start(1)
    apply(kube, pool("public", "192.0.2.8/29"), service("web"))
    eventually(lambda: bool(addresses(kube)["web"]), expected=True)
    before = addresses(kube)
    controllers.unentitled = True
    kube.kill_server()
    time.sleep(3)
    kube.start_server()
    apply(kube, service("new"))
    eventually(lambda: all(addresses(kube).values()), expected=True, seconds=60)
    assert before["web"] == addresses(kube)["web"]


def test_an_ingress_has_an_address_that_the_service_of_its_class_shows(
    kube: KubeServer, controllers: Controllers
) -> None:
    controllers.start(1)
    front = {"name": "web", "annotations": {"buoy.dev/service": "default/nginx"}}
    of_class = {
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": front,
        "spec": {"controller": "example.net/ingress"},
    }  # fmt: skip
    site = {
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "site", "namespace": "default"},
        "spec": {
            "ingressClassName": "web",
            "defaultBackend": {"service": {"name": "site", "port": {"number": 80}}},
        },
    }  # fmt: skip
    apply(kube, pool("public", "192.0.2.8/29"), service("nginx"))
    eventually(lambda: addresses(kube), {"nginx": ["192.0.2.8"]})
    apply(kube, of_class, site)
    eventually(lambda: addresses(kube), {"nginx": ["192.0.2.8", "192.0.2.9"]})
    eventually(lambda: kube.kubectl("get", "ingress", "site", "--no-headers").split()[3], "192.0.2.9")
    kube.kubectl("delete", "ingress", "site")
    eventually(lambda: addresses(kube), {"nginx": ["192.0.2.8"]})
    kube.kubectl("delete", "ingressclass", "web")


def test_get_pools_says_what_overlaps_and_no_address_of_a_node_is_given(
    kube: KubeServer, controllers: Controllers
) -> None:
    controllers.start(1)
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}}
    apply(kube, node, pool("public", "192.0.2.8/31"))
    status = '{"status":{"addresses":[{"type":"InternalIP","address":"192.0.2.8"}]}}'
    kube.kubectl("patch", "node", "node-1", "--subresource=status", "--type=merge", "-p", status)

    def message(name: str) -> str:
        return str(objects(kube, "pools")[name].get("status", {}).get("message", ""))

    eventually(
        lambda: message("public"), "192.0.2.8/31 of pool public overlaps 192.0.2.8/32, an address of node node-1"
    )
    apply(kube, service("web"))
    eventually(lambda: addresses(kube), {"web": ["192.0.2.9"]})
    kube.kubectl("delete", "node", "node-1")
    eventually(lambda: message("public"), "")
    # an API server refuses such a pool, but not of two that are made at once
    kube.kubectl("delete", "validatingadmissionpolicybinding", "pools-beside-pools.buoy.dev")

    def is_taken() -> bool:
        with contextlib.suppress(subprocess.CalledProcessError):
            apply(kube, pool("other", "192.0.2.9/32", automatic=False))
        return "other" in objects(kube, "pools")

    eventually(is_taken, expected=True)
    kube.kubectl("apply", "-k", str(MANIFESTS))
    eventually(lambda: message("public"), "192.0.2.8/31 of pool public overlaps 192.0.2.9/32 of pool other")
    eventually(lambda: message("other"), "192.0.2.9/32 of pool other overlaps 192.0.2.8/31 of pool public")
