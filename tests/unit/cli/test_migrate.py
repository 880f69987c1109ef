# SPDX-License-Identifier: Apache-2.0
"""`buoy migrate`: every Service keeps the address it shows, and which one does not is said."""

import asyncio
from typing import Any

from typer.testing import CliRunner

from buoy.cli import context
from buoy.cli.main import app
from buoy.cli.migrate import keeping
from buoy.kubernetes.inventory import Inventory
from buoy.kubernetes.migration import Finding, Verdict
from buoy.kubernetes.migration_metallb import from_metallb
from buoy.kubernetes.resources import ADDRESS_POOLS, NAMESPACES, SERVICES
from buoy.model.errors import InvalidInput
from buoy.store.api_names import ObjectName
from buoy.store.memory import MemoryStore


def metallb(*services: tuple[str, dict[str, Any], list[str]]) -> Inventory:
    """Return a cluster with a pool of MetalLB's, and Services by name, annotations and the addresses they show."""
    objects = Inventory()
    objects.put(NAMESPACES, ObjectName("", "shop"), {"metadata": {"name": "shop"}})
    pool = {"metadata": {"name": "public", "namespace": "m"}, "spec": {"addresses": ["203.0.113.0-203.0.113.9"]}}
    objects.put(ADDRESS_POOLS, ObjectName("m", "public"), pool)
    for name, annotations, addresses in services:
        made = {
            "metadata": {"name": name, "namespace": "shop", "annotations": annotations},
            "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.10", "ports": [{"port": len(name)}]},
            "status": {"loadBalancer": {"ingress": [{"ip": address} for address in addresses]}},
        }
        objects.put(SERVICES, ObjectName("shop", name), made)
    return objects


def kept(*services: tuple[str, dict[str, Any], list[str]]) -> list[Finding]:
    objects = metallb(*services)
    return asyncio.run(keeping(objects, from_metallb(objects)))


def test_every_service_keeps_its_address_whichever_is_looked_at_first() -> None:
    shown = {"a": ["203.0.113.7"], "bb": ["203.0.113.1"], "ccc": [], "dddd": ["203.0.113.0"]}
    objects = metallb(*((name, {}, addresses) for name, addresses in shown.items()))
    found = asyncio.run(keeping(objects, from_metallb(objects)))
    assert [(Verdict.SAME, f"service shop/{name}") for name in ("a", "bb", "dddd")] == [each[:2] for each in found]
    assert all(each.note.startswith(f"keeps {shown[each.object.rpartition('/')[2]][0]}; Allocated") for each in found)
    new = objects.of(SERVICES)[ObjectName("shop", "ccc")]["status"]["loadBalancer"]["ingress"]
    assert ["203.0.113.2"] == [entry["ip"] for entry in new], "who waited is given what nobody shows"


def test_services_that_share_an_address_by_metallbs_key_go_on_sharing_it() -> None:
    key = {"metallb.io/allow-shared-ip": "one"}
    found = kept(("a", key, ["203.0.113.3"]), ("bb", key, ["203.0.113.3"]))
    assert [Verdict.SAME, Verdict.SAME] == [each.verdict for each in found]


def test_an_address_that_is_in_no_pool_is_left_where_it_stands_and_another_given() -> None:
    [found] = kept(("a", {}, ["198.51.100.1"]))
    assert (Verdict.DIFFERS, True) == (found.verdict, "would have 203.0.113.0, 198.51.100.1" in found.note)


def test_a_service_that_would_move_is_said() -> None:
    [found] = kept(("a", {"metallb.io/loadBalancerIPs": "203.0.113.5"}, ["203.0.113.3"]))
    assert (Verdict.DIFFERS, True) == (found.verdict, "has 203.0.113.3, would have 203.0.113.5" in found.note)


def test_only_a_cluster_can_be_asked(monkeypatch: Any) -> None:  # noqa: ANN401  pytest's own
    monkeypatch.setattr(context, "open_any", lambda _: MemoryStore())
    monkeypatch.setenv(context.ENDPOINTS_VARIABLE, "http://192.0.2.100:2379")
    result = CliRunner().invoke(app, ["migrate", "metallb"])
    assert isinstance(result.exception, InvalidInput)
    assert "kubectl buoy migrate" in str(result.exception)
