# SPDX-License-Identifier: Apache-2.0
"""The store of a real API server: what is written, watched, leased, and what an outage does to it."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from buoy.agent.witness import identity
from buoy.kubernetes.source import KubernetesSettings, KubernetesStore
from buoy.model import documents
from buoy.model.address import Address, Prefix
from buoy.model.errors import Conflict, InvalidInput, StoreUnavailable
from buoy.model.node import Node, PeerSession
from buoy.model.pool import Pool
from buoy.model.proxied import Eligibility
from buoy.model.service_ip import Mode, ServiceIP
from buoy.model.snapshot import Batch
from buoy.model.status import AddressStatus, State, Witness
from buoy.planner.belief import setback
from buoy.store.api_client import ApiServer
from buoy.store.store import Write
from tests.store.api.kube import KubeServer
from tests.store.api.relay import Relay
from tests.store.watching import Reports, Watching, gone, pool, put, texts

WITNESS = "status/node-1/witness/store"
CLAIM = ServiceIP(address=Address("2001:db8::7"), mode=Mode.PROXIED, pool="public")
STATUS = AddressStatus(node="node-1", address=Address("192.0.2.7"), state=State.ACTIVE, announced=True)
HEARTBEAT = Node(name="node-1", addresses=(Address("192.0.2.51"),))


@pytest.fixture(autouse=True)
async def clean(kube: KubeServer, store: KubernetesStore) -> None:
    """Every test begins with none of our objects."""
    kinds = "pools.buoy.dev,serviceips.buoy.dev,addressstatuses.buoy.dev,nodestatuses.buoy.dev,witnesses.buoy.dev,nodes"
    kube.kubectl("delete", kinds, "--all")
    kube.kubectl("delete", "leases", "--all", "-n", "buoy-system")
    kube.kubectl("delete", "services,endpointslices", "-n", "default", "-l", "test=yes")


def apply(kube: KubeServer, **made: object) -> None:
    kube.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(made))


def service(kube: KubeServer, name: str = "web") -> None:
    apply(
        kube,
        apiVersion="v1",
        kind="Service",
        metadata={"name": name, "namespace": "default", "labels": {"test": "yes"}},
        spec={"ports": [{"port": 80}], "externalIPs": ["192.0.2.80"]},
    )


def slice_of(kube: KubeServer, node: str, name: str = "web-1") -> None:
    apply(
        kube,
        apiVersion="discovery.k8s.io/v1",
        kind="EndpointSlice",
        metadata={
            "name": name,
            "namespace": "default",
            "labels": {"test": "yes", "kubernetes.io/service-name": "web"},
        },
        addressType="IPv4",
        endpoints=[{"addresses": ["10.244.0.5"], "nodeName": node, "conditions": {"ready": True}}],
        ports=[{"port": 80}],
    )


def node(kube: KubeServer, name: str) -> None:
    apply(kube, apiVersion="v1", kind="Node", metadata={"name": name}, spec={"podCIDR": "10.244.1.0/24"})


def ready(batch: Batch) -> tuple[str, ...]:
    found = batch.snapshot.documents.get("service-ips/192.0.2.80")
    return found.backings[0].ready if isinstance(found, ServiceIP) and found.backings else ()


async def test_what_is_written_is_read_and_told(store: KubernetesStore) -> None:
    async with Watching(store, ("service-ips/", "status/")) as watching:
        first = await watching.next()
        assert (None, {}) == (first.changed, dict(first.snapshot.broken))
        path = documents.path(CLAIM)
        revision = await store.write([Write(path, CLAIM, 0)])
        batch, changed = await watching.until(lambda batch: path in batch.snapshot.documents)
        assert (frozenset({path}), CLAIM) == (changed, batch.snapshot.documents[path])
        assert (CLAIM, revision) == ((stored := await store.read(path)).document, stored.revision)
        assert revision == batch.snapshot.revisions[path] == batch.snapshot.identity.revision
        await store.write([Write(path, None, revision)])
        _, changed = await watching.until(lambda batch: path not in batch.snapshot.documents)
        assert {path} == changed
    assert None is (await store.read(path)).document


async def test_an_address_is_claimed_once(store: KubernetesStore) -> None:
    claim = Write(documents.path(CLAIM), CLAIM, 0)
    both = await asyncio.gather(store.write([claim]), store.write([claim]), return_exceptions=True)
    assert [True, False] == sorted((isinstance(each, Conflict) for each in both), reverse=True)


async def test_a_write_at_another_revision_is_a_conflict_and_changes_nothing(store: KubernetesStore) -> None:
    revision = await store.write([put("a", "one")])
    for wrong in (put("a", "two", 0), put("a", "two", revision - 1), gone("a", revision - 1), put("b", "x", revision)):
        with pytest.raises(Conflict):
            await store.write([wrong])
    with pytest.raises(Conflict):
        await store.write([gone("a", 0)])
    assert (pool("a", "one"), revision) == ((stored := await store.read("pools/a")).document, stored.revision)
    assert revision < await store.write([put("a", "two", revision)])


async def test_what_is_written_over_leaves_nothing_of_what_was_there(store: KubernetesStore, kube: KubeServer) -> None:
    before = Pool(name="a", prefixes=(Prefix("192.0.2.0/24"),), quota=3, aliases=("b",))
    await store.write([Write("pools/a", before)])
    kube.kubectl("label", "pools.buoy.dev", "a", "team=x")
    await store.write([put("a")])
    assert pool("a") == (await store.read("pools/a")).document
    # but labels are others'
    assert "team=x" in kube.kubectl("get", "pools.buoy.dev", "a", "--show-labels")


async def test_a_delete_of_what_is_not_there_succeeds(store: KubernetesStore) -> None:
    assert 0 == await store.write([gone("a")])


async def test_several_writes_are_done_though_one_fails(store: KubernetesStore) -> None:
    await store.write([put("a", "one")])
    with pytest.raises(Conflict):
        await store.write([put("a", "two", 0), put("b", "three")])
    assert pool("b", "three") == (await store.read("pools/b")).document


async def test_what_no_reader_could_use_is_refused(store: KubernetesStore) -> None:
    with pytest.raises(InvalidInput, match="give addresses"):
        await store.write([Write("pools/a", Pool(name="a"))])
    with pytest.raises(InvalidInput, match="does not stand in Kubernetes"):
        await store.write([Write("eligibility/node-1", Eligibility(node="node-1"))])


async def test_whatever_an_agent_has_to_say_is_taken(store: KubernetesStore) -> None:
    sessions = tuple(
        PeerSession(name=f"p{number}", address=Address(f"192.0.2.{number}"), asn=1, state="Active", error="x" * 2000)
        for number in range(200)
    )
    node = Node(name="node-1", sessions=sessions, held="y" * 5000, problems=("z" * 5000,) * 200)
    status = msgspec.structs.replace(STATUS, details={str(number): "v" * 5000 for number in range(100)})
    for document in (node, status):
        await store.write([Write(documents.path(document), document)])
        assert document == (await store.read(documents.path(document))).document


async def test_services_slices_and_nodes_are_documents(store: KubernetesStore, kube: KubeServer) -> None:
    node(kube, "node-1")
    service(kube)
    async with Watching(store, ("service-ips/", "eligibility/")) as watching:
        first = await watching.next()
        assert (
            Eligibility(node="node-1", prefixes=(Prefix("10.244.1.0/24"),))
            == (first.snapshot.documents["eligibility/node-1"])
        )
        assert () == ready(first)
        slice_of(kube, "node-1")
        batch, changed = await watching.until(lambda batch: ready(batch) != ())
        assert (("node-1",), True) == (ready(batch), "service-ips/192.0.2.80" in changed)
        kube.kubectl("delete", "endpointslice", "web-1", "-n", "default")
        await watching.until(lambda batch: ready(batch) == ())
        kube.kubectl("delete", "service", "web", "-n", "default")
        await watching.until(lambda batch: "service-ips/192.0.2.80" not in batch.snapshot.documents)


async def test_only_what_is_asked_for_is_told(store: KubernetesStore, kube: KubeServer) -> None:
    service(kube)
    await store.write([put("a")])
    async with Watching(store, ("pools/",)) as watching:
        first = await watching.next()
        assert ["pools/a"] == list(first.snapshot.documents)
    async with Watching(store, ("workloads/node-1/",)) as watching:
        first = await watching.next()
        assert ({}, True) == (dict(first.snapshot.documents), first.snapshot.identity.revision > 0)


async def test_a_broken_object_is_told_and_the_last_good_one_stays(store: KubernetesStore, kube: KubeServer) -> None:
    await store.write([put("a", "one")])
    async with Watching(store, ("pools/",)) as watching:
        await watching.next()
        # what the schema lets through, and the model does not
        patch = '{"spec":{"prefixes":["240.0.0.0/8"],"description":"two"}}'
        kube.kubectl("patch", "pools.buoy.dev", "a", "--type=merge", "-p", patch)
        batch, changed = await watching.until(lambda batch: bool(batch.snapshot.broken))
        assert (frozenset({"pools/a"}), ["pools/a"], {"a": "one"}) == (
            changed,
            list(batch.snapshot.broken),
            texts(batch),
        )
        await store.write([put("a", "three")])
        batch, changed = await watching.until(lambda batch: not batch.snapshot.broken)
        assert {"a": "three"} == texts(batch)


async def test_what_a_node_said_goes_with_the_node_but_for_its_witness(
    store: KubernetesStore, kube: KubeServer
) -> None:
    node(kube, "node-1")
    async with Watching(store, ("",)) as watching:
        await watching.next()
        witness = Witness(node="node-1", revision=1)
        await store.write([Write(documents.path(each), each) for each in (STATUS, witness)])
    owners = "jsonpath={.metadata.ownerReferences[*].name}"
    assert "node-1" == kube.kubectl("get", "addressstatuses.buoy.dev", "192.0.2.7.node-1", "-o", owners)
    assert "" == kube.kubectl("get", "witnesses.buoy.dev", "node-1", "-o", owners)


async def test_an_outage_is_waited_out_and_what_happened_in_it_is_told(
    kube: KubeServer, store: KubernetesStore
) -> None:
    await store.write([put("a", "one"), put("b", "two")])
    reports = Reports()
    async with Relay(kube.port) as relay:
        api = ApiServer(kube.settings(server=f"https://127.0.0.1:{relay.port}"))
        behind = KubernetesStore(api, KubernetesSettings(), reports)
        async with Watching(behind, ("pools/", "service-ips/")) as watching:
            await watching.next()
            await relay.cut()
            await reports.heard(1)
            with pytest.raises(StoreUnavailable):
                await behind.read("pools/a")
            await store.write([gone("a"), put("b", "three")])
            await relay.mend()
            _, changed = await watching.until(lambda batch: {"b": "three"} == texts(batch))
            assert {"pools/a", "pools/b"} == changed
            while None not in reports.all:
                await reports.heard(len(reports.all) + 1)
        await behind.close()


@pytest.mark.parametrize("writes", [0, 100], ids=["pushed past what was told", "older than what was told"])
async def test_a_server_set_back_to_a_backup_is_doubted_at_the_first_batch_that_comes_of_it(
    kube: KubeServer, store: KubernetesStore, tmp_path: Path, writes: int
) -> None:
    await store.write([put("a", "one")])
    await store.write([Write(WITNESS, Witness(node="node-1", revision=1))])
    kube.back_up(tmp_path / "backup")
    async with Watching(store, ("pools/", "status/", "service-ips/")) as watching:
        await watching.next()
        await store.write([put("b", "two"), *(put(f"c{number}") for number in range(writes))])
        last = Witness(node="node-1", revision=2)
        await store.write([Write(WITNESS, last)])
        # each kind has a watch of its own, and any of them may be the last
        told = {"b", *(f"c{number}" for number in range(writes))}
        before, _ = await watching.until(
            lambda batch: batch.snapshot.documents.get(WITNESS) == last and told <= texts(batch).keys()
        )
        heard = identity(before.snapshot, "node-1")
        assert "" == setback(heard, heard)
        kube.set_back(tmp_path / "backup")
        after = await watching.next()
        assert after.listed
        assert setback(identity(after.snapshot, "node-1"), heard)
        if {"a": "one"} != texts(after):
            await watching.until(lambda batch: {"a": "one"} == texts(batch))
