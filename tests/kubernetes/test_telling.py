# SPDX-License-Identifier: Apache-2.0
"""What of foreign objects is in force stands in their status, where who wrote them looks."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from buoy.kubernetes.telling import IN_FORCE, Telling
from buoy.kubernetes.translate import TranslationSettings
from buoy.store.api_client import ApiServer
from tests.store.api.kube import KubeServer
from tests.store.watching import Reports

CALICO = "projectcalico.org/v3"


@pytest.fixture(autouse=True)
async def telling(kube: KubeServer, reports: Reports) -> AsyncIterator[None]:
    kube.kubectl("delete", "bgpconfigurations,bgppeers,bgpfilters", "--all")
    kube.kubectl("delete", "ipaddresspools", "--all", "-n", "buoy-system")
    api = ApiServer(kube.settings())
    task = asyncio.create_task(Telling(api, TranslationSettings(), reports, lambda: "2026-11-21T12:00:00Z").run())
    yield
    task.cancel()
    await asyncio.wait((task,))
    await api.close()
    assert [] == reports.all


def apply(kube: KubeServer, kind: str, spec: dict[str, Any]) -> None:
    version, metadata = CALICO, {"name": "default"}
    if kind == "IPAddressPool":
        version, metadata = "metallb.io/v1beta1", {"name": "default", "namespace": "buoy-system"}
    made = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
    kube.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(made))


def conditions(kube: KubeServer, kind: str) -> list[dict[str, str]]:
    found = json.loads(kube.kubectl("get", kind, "default", "-n", "buoy-system", "-o", "json"))
    return list(found.get("status", {}).get("conditions", []))


async def said(kube: KubeServer, kind: str, status: str) -> dict[str, str]:
    """Wait for our condition to have a status; return it."""
    for _ in range(300):
        for each in await asyncio.to_thread(conditions, kube, kind):
            if (each["type"], each["status"]) == (IN_FORCE, status):
                return each
        await asyncio.sleep(0.1)
    raise AssertionError(conditions(kube, kind))


async def test_what_is_all_in_force_says_so(kube: KubeServer) -> None:
    apply(kube, "BGPConfiguration", {"asNumber": 64512, "serviceClusterIPs": [{"cidr": "10.96.0.0/12"}]})
    expected = {
        "type": "buoy.dev/InForce",
        "status": "True",
        "reason": "InForce",
        "message": "",
        "lastTransitionTime": "2026-11-21T12:00:00Z",
    }
    assert expected == await said(kube, "bgpconfigurations", "True")


async def test_a_field_that_is_not_honoured_is_named_until_it_goes(kube: KubeServer) -> None:
    spec: dict[str, Any] = {"asNumber": 64512}
    apply(kube, "BGPConfiguration", {**spec, "communities": [{"name": "a", "value": "1:2"}]})
    found = await said(kube, "bgpconfigurations", "False")
    assert ("PartlyInForce", "spec.communities is read, and not honoured by this version") == (
        found["reason"],
        found["message"],
    )
    row = await asyncio.to_thread(kube.kubectl, "get", "bgpconfigurations", "-o", "wide")
    assert "spec.communities is read" in row
    apply(kube, "BGPConfiguration", spec)
    await said(kube, "bgpconfigurations", "True")


async def test_a_pool_that_can_be_no_pool_says_why(kube: KubeServer) -> None:
    apply(kube, "IPAddressPool", {"addresses": ["192.0.2.9-192.0.2.1"]})
    found = await said(kube, "ipaddresspools", "False")
    assert ("NotInForce", True) == (found["reason"], "give the lower address first" in found["message"])


async def test_a_peer_follows_what_it_depends_on(kube: KubeServer) -> None:
    apply(kube, "BGPPeer", {"peerIP": "192.0.2.254", "asNumber": 1, "filters": ["default"]})
    assert "there is no BGPFilter default" in (await said(kube, "bgppeers", "False"))["message"]
    apply(kube, "BGPFilter", {"exportV4": [{"action": "Accept"}]})
    await said(kube, "bgppeers", "True")


async def test_conditions_of_others_stay(kube: KubeServer) -> None:
    apply(kube, "BGPFilter", {"exportV4": [{"action": "Accept"}]})
    await said(kube, "bgpfilters", "True")
    theirs = {"type": "example.com/Seen", "status": "True"}
    patch = json.dumps({"status": {"conditions": [*conditions(kube, "bgpfilters"), theirs]}})
    kube.kubectl("patch", "bgpfilters", "default", "--subresource=status", "--type=merge", "-p", patch)
    apply(kube, "BGPFilter", {"exportV4": [{"action": "Accept", "interface": "*"}]})
    await said(kube, "bgpfilters", "False")
    assert theirs in conditions(kube, "bgpfilters")
