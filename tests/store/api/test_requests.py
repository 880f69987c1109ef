# SPDX-License-Identifier: Apache-2.0
"""Requests to a real API server: what is read and written, and what is refused in which words."""

from pathlib import Path

import msgspec
import pytest

from buoy.model.errors import Conflict, InvalidInput, StoreUnavailable
from buoy.store.api_client import ApiServer
from buoy.store.api_config import ApiSettings, Secret
from buoy.store.api_names import ObjectName, Resource, Selection
from tests.store.api.kube import KubeServer
from tests.store.api.maps import MAPS, Map, at, body, put
from tests.store.api.relay import Relay
from tests.store.certificates import Authority

SERVICES = Resource("", "v1", "services", namespaced=True)
NAMESPACES = Resource("", "v1", "namespaces", namespaced=False)


async def test_what_is_created_can_be_read_listed_and_deleted(api: ApiServer, namespace: str) -> None:
    made = await api.create(MAPS, namespace, body("a", {"text": "one"}), Map)
    assert made == await api.get(at(namespace, "a"), Map)
    assert (made,) == await api.list(MAPS, Map, Selection(namespace=namespace, fields="metadata.name=a"))
    assert await api.delete(at(namespace, "a"))
    assert await api.get(at(namespace, "a"), Map) is None
    assert not await api.delete(at(namespace, "a"))


async def test_bytes_are_handed_out_as_they_came(api: ApiServer) -> None:
    raw = await api.get(NAMESPACES.at(ObjectName("", "default")), msgspec.Raw)
    assert raw is not None
    assert "Namespace" == msgspec.json.decode(raw)["kind"]


async def test_object_that_is_there_is_not_created_again(api: ApiServer, namespace: str) -> None:
    await api.create(MAPS, namespace, body("a", {}), Map)
    with pytest.raises(Conflict, match="already exists"):
        await api.create(MAPS, namespace, body("a", {}), Map)


async def test_replace_compares_the_version(api: ApiServer, namespace: str) -> None:
    first = await api.create(MAPS, namespace, body("a", {"text": "one"}), Map)
    second = await api.replace(at(namespace, "a"), body("a", {"text": "two"}, first.metadata.resource_version), Map)
    assert second is not None
    assert {"text": "two"} == second.data
    with pytest.raises(Conflict, match="the object has been modified"):
        await api.replace(at(namespace, "a"), body("a", {"text": "three"}, first.metadata.resource_version), Map)


async def test_replace_of_what_is_not_there_is_no_error(api: ApiServer, namespace: str) -> None:
    assert await api.replace(at(namespace, "a"), body("a", {}), Map) is None
    assert await api.patch(at(namespace, "a"), {"data": {}}, Map) is None


async def test_merge_patch_compares_the_version_if_it_names_one(api: ApiServer, namespace: str) -> None:
    first = await api.create(MAPS, namespace, body("a", {"text": "one", "other": "kept"}), Map)
    patch = {"metadata": {"resourceVersion": first.metadata.resource_version}, "data": {"text": "two"}}
    second = await api.patch(at(namespace, "a"), patch, Map)
    assert second is not None
    assert {"text": "two", "other": "kept"} == second.data
    with pytest.raises(Conflict):
        await api.patch(at(namespace, "a"), patch, Map)


async def test_json_patch_that_tests_in_vain_changes_nothing(api: ApiServer, namespace: str) -> None:
    await api.create(MAPS, namespace, body("a", {"text": "one"}), Map)
    change = {"op": "replace", "path": "/data/text", "value": "two"}
    test = {"op": "test", "path": "/data/text", "value": "another"}
    with pytest.raises(InvalidInput):
        await api.patch(at(namespace, "a"), [test, change], Map, "json")
    changed = await api.patch(at(namespace, "a"), [change], Map, "json")
    assert changed is not None
    assert {"text": "two"} == changed.data


async def test_apply_owns_what_it_says_and_no_more(api: ApiServer, namespace: str) -> None:
    target = at(namespace, "a")
    await api.apply(target, body("a", {"ours": "1", "also": "2"}), Map, "buoy")
    await api.apply(target, body("a", {"theirs": "3"}), Map, "another")
    applied = await api.apply(target, body("a", {"ours": "4"}), Map, "buoy")
    assert applied is not None
    assert {"ours": "4", "theirs": "3"} == applied.data
    with pytest.raises(Conflict, match='conflict with "buoy"'):
        await api.apply(target, body("a", {"ours": "5"}), Map, "another")
    forced = await api.apply(target, body("a", {"ours": "5"}), Map, "another", force=True)
    assert forced is not None
    assert "5" == forced.data["ours"]


async def test_status_is_a_target_of_its_own(api: ApiServer, namespace: str) -> None:
    spec = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False, "ports": [{"port": 80}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}
    await api.create(SERVICES, namespace, service, msgspec.Raw)
    status = {**service, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}}
    status.pop("spec")
    name = ObjectName(namespace, "web")
    written = await api.apply(SERVICES.at(name, "status"), status, msgspec.Raw, "buoy")
    assert written is not None
    assert "192.0.2.7" == msgspec.json.decode(written)["status"]["loadBalancer"]["ingress"][0]["ip"]
    gone = ObjectName(namespace, "gone")
    assert await api.patch(SERVICES.at(gone, "status"), {"status": {}}, msgspec.Raw) is None


async def test_delete_compares_uid_and_version(api: ApiServer, namespace: str) -> None:
    first = await put(api, namespace, "a", "one")
    second = await put(api, namespace, "a", "two")
    with pytest.raises(Conflict):
        await api.delete(at(namespace, "a"), uid="00000000-0000-0000-0000-000000000000")
    with pytest.raises(Conflict):
        await api.delete(at(namespace, "a"), revision=first.metadata.resource_version)
    assert await api.delete(at(namespace, "a"), second.metadata.uid, second.metadata.resource_version)


async def test_wrong_object_is_refused_naming_field_and_value(api: ApiServer, namespace: str) -> None:
    spec = {"externalIPs": ["not-an-address"], "ports": [{"port": 80}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}
    with pytest.raises(InvalidInput) as refused:
        await api.create(SERVICES, namespace, service, msgspec.Raw)
    assert ("spec.externalIPs[0]", "not-an-address") == (refused.value.field, refused.value.value)
    assert "must be a valid IP address" in refused.value.remedy


async def test_object_in_a_namespace_that_is_not_there_is_refused(api: ApiServer) -> None:
    with pytest.raises(InvalidInput, match="make the namespace"):
        await api.create(MAPS, "nowhere", body("a", {}), Map)


async def test_object_of_another_shape_is_refused_naming_it(api: ApiServer, namespace: str) -> None:
    class Numbers(msgspec.Struct):
        data: dict[str, int]

    await put(api, namespace, "a", "one")
    with pytest.raises(InvalidInput, match=rf"configmaps {namespace}/a.*Expected `int`"):
        await api.get(at(namespace, "a"), Numbers)


async def test_missing_right_is_named_with_the_account(kube: KubeServer, namespace: str) -> None:
    api = ApiServer(kube.settings("nobody-token"))
    with pytest.raises(InvalidInput) as refused:
        await api.list(MAPS, Map, Selection(namespace=namespace))
    await api.close()
    assert ("account", "nobody") == (refused.value.field, refused.value.value)
    assert f'list resource "configmaps" in API group "" in the namespace "{namespace}"' in refused.value.remedy


async def test_unknown_token_is_refused(kube: KubeServer) -> None:
    api = ApiServer(kube.settings("no-such-token"))
    with pytest.raises(InvalidInput, match="give token or client certificate of an account"):
        await api.list(MAPS, Map)
    await api.close()


async def test_certificate_is_an_account(kube: KubeServer, namespace: str) -> None:
    cert, key = kube.authority.issue("carol")
    settings = ApiSettings(
        server=kube.url,
        ca=Secret(data=kube.authority.ca.read_bytes()),
        cert=Secret(data=cert.read_bytes()),
        key=Secret(str(key)),
    )
    api = ApiServer(settings)
    with pytest.raises(InvalidInput) as refused:
        await api.get(at(namespace, "a"), Map)
    await api.close()
    assert "carol" == refused.value.value


async def test_certificates_that_are_exchanged_in_their_files_are_used_with_the_next_request(
    kube: KubeServer, namespace: str, tmp_path: Path
) -> None:
    ca, cert, key = (tmp_path / name for name in ("ca.crt", "tls.crt", "tls.key"))
    api = ApiServer(ApiSettings(server=kube.url, ca=Secret(str(ca)), cert=Secret(str(cert)), key=Secret(str(key))))

    async def refused(account: str) -> tuple[str, object]:
        for file, issued in zip((cert, key), kube.authority.issue(account), strict=True):
            file.write_bytes(issued.read_bytes())
        with pytest.raises(InvalidInput) as found:
            await api.get(at(namespace, "a"), Map)
        return found.value.field, found.value.value

    ca.write_bytes(Authority(tmp_path).ca.read_bytes())
    assert ("certificate-authority", str(ca)) == await refused("dora")
    ca.write_bytes(kube.authority.ca.read_bytes())
    assert [("account", "dora"), ("account", "emil")] == [await refused("dora"), await refused("emil")]
    await api.close()


async def test_server_of_another_authority_is_not_spoken_to(kube: KubeServer, tmp_path: Path) -> None:
    other = Authority(tmp_path)
    api = ApiServer(ApiSettings(server=kube.url, ca=Secret(str(other.ca)), token=Secret(data=b"admin-token")))
    with pytest.raises(InvalidInput) as refused:
        await api.list(MAPS, Map)
    await api.close()
    assert ("certificate-authority", str(other.ca)) == (refused.value.field, refused.value.value)


async def test_server_of_another_name_is_not_spoken_to_unless_it_is_given(kube: KubeServer) -> None:
    url = f"https://localhost:{kube.port}"
    api = ApiServer(kube.settings(server=url))
    with pytest.raises(InvalidInput, match="tls-server-name") as refused:
        await api.list(MAPS, Map)
    await api.close()
    assert ("server", url) == (refused.value.field, refused.value.value)
    named = ApiServer(msgspec.structs.replace(kube.settings(server=url), server_name="127.0.0.1"))
    assert await named.get(NAMESPACES.at(ObjectName("", "default")), msgspec.Raw)
    await named.close()


async def test_server_that_does_not_answer_is_given_up(kube: KubeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ApiServer.call, "__defaults__", (0.3,))
    async with Relay(kube.port) as relay:
        api = ApiServer(kube.settings(server=f"https://127.0.0.1:{relay.port}"))
        relay.hold()
        with pytest.raises(StoreUnavailable):
            await api.get(at("default", "a"), Map)
        relay.let_go()
        assert await api.get(at("default", "a"), Map) is None
        await relay.cut()
        with pytest.raises(StoreUnavailable):
            await api.get(at("default", "a"), Map)
        await api.close()
