# SPDX-License-Identifier: Apache-2.0
"""What kubectl and controllers do with v3 besides patching it, through the server."""

import asyncio
import functools
import json
import subprocess

from buoy.aggregation.versions import Json
from buoy.store.api_client import ApiServer
from buoy.store.api_config import kubeconfig
from buoy.store.api_informer import Informer
from buoy.store.api_names import ObjectName, Resource
from tests.store.aggregation.cluster import CALICO, Cluster, said, wait_for
from tests.store.api.following import Following

KIND = "bgpconfigurations"


def manifest(**spec: object) -> str:
    body = {"apiVersion": "projectcalico.org/v3", "kind": "BGPConfiguration", "metadata": {"name": "default"}}
    return json.dumps({**body, "spec": spec})


def shown(cluster: Cluster) -> Json:
    command = "kubectl get bgpconfiguration default -o json --show-managed-fields"
    return json.loads(said(cluster.kubectl(command)))


def watches(cluster: Cluster) -> int:
    """How many watches of the CRD's version kube-apiserver counts."""
    metrics = said(cluster.kubectl("kubectl get --raw /metrics"))
    lines = [line for line in metrics.splitlines() if line.startswith("apiserver_longrunning_requests{")]
    return sum(int(line.split()[-1]) for line in lines if f'resource="{KIND}"' in line and 'version="v3crd"' in line)


def test_kinds_are_found_in_v3_alone(served: Cluster) -> None:
    listed = said(served.kubectl("kubectl api-resources --api-group=projectcalico.org --no-headers"))
    assert {"bgpconfigurations", "bgpfilters", "bgppeers"} == {line.split()[0] for line in listed.splitlines()}
    assert listed.count("projectcalico.org/v3 ") == 3
    for path in ("v3", "v3/"):
        status, found = served.ask("GET", f"{CALICO}/{path}")
        assert (200, "projectcalico.org/v3") == (status, found["groupVersion"])


def test_fields_are_explained(served: Cluster) -> None:
    told = said(served.kubectl("kubectl explain bgpconfiguration.spec.serviceClusterIPs"))
    assert "VERSION:    v3\n" in told
    assert "cidr\t<string> -required-" in told
    assert "v3crd" not in said(served.kubectl("kubectl get --raw /openapi/v3/apis/projectcalico.org/v3"))


def test_a_wrong_value_is_refused_and_an_unknown_field_warned_of_as_by_the_crd(served: Cluster) -> None:
    said(served.kubectl("kubectl create -f -", manifest(asNumber=64512)))
    wrong = served.kubectl("""kubectl patch bgpconfiguration default -p '{"spec":{"listenPort":70000}}'""")
    assert "spec.listenPort" in wrong.stderr
    unknown = served.kubectl("""kubectl patch bgpconfiguration default -p '{"spec":{"typo":1}}'""")
    assert (0, 'Warning: unknown field "spec.typo"\n') == (unknown.returncode, unknown.stderr)
    strict = served.kubectl("kubectl create -f -", manifest(typo=1).replace('"default"', '"other"'))
    assert 'BGPConfiguration in version "v3" cannot be handled' in strict.stderr


def test_apply_on_the_client_diff_and_prune_a_field(served: Cluster) -> None:
    said(served.kubectl("kubectl apply -f -", manifest(asNumber=64512, listenPort=179)))
    differs = served.kubectl("kubectl diff -f -", manifest(asNumber=64513))
    assert (1, True) == (differs.returncode, "+  asNumber: 64513" in differs.stdout)
    assert {"asNumber": 64512, "listenPort": 179} == shown(served)["spec"]
    said(served.kubectl("kubectl apply -f -", manifest(asNumber=64513)))
    assert {"asNumber": 64513} == shown(served)["spec"]
    assert "" == said(served.kubectl("kubectl diff -f -", manifest(asNumber=64513)))


def test_apply_on_the_server_takes_over_from_apply_on_the_client(served: Cluster) -> None:
    said(served.kubectl("kubectl apply -f -", manifest(asNumber=64512, listenPort=179)))
    said(served.kubectl("kubectl apply --server-side -f -", manifest(asNumber=64512)))
    now = shown(served)
    assert {"asNumber": 64512} == now["spec"]
    applied = now["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    assert "projectcalico.org/v3" == json.loads(applied)["apiVersion"]
    assert {"projectcalico.org/v3"} == {entry["apiVersion"] for entry in now["metadata"]["managedFields"]}


def test_appliers_conflict_in_the_clients_version(served: Cluster) -> None:
    said(served.kubectl("kubectl apply --server-side --field-manager=one -f -", manifest(asNumber=64512)))
    apply = "kubectl apply --server-side --field-manager=two -f -"
    assert 'conflict with "one": .spec.asNumber' in served.kubectl(apply, manifest(asNumber=64513)).stderr
    said(served.kubectl(f"{apply} --force-conflicts", manifest(asNumber=64513)))
    assert {"asNumber": 64513} == shown(served)["spec"]


def test_yaml_is_applied_as_it_is_written(served: Cluster) -> None:
    text = "# mine\nkind: BGPConfiguration\nmetadata: {name: default}\napiVersion: projectcalico.org/v3\n"
    text += "spec:\n  communities:\n  - name: site\n    value: 65000:50\n"
    path = f"{CALICO}/v3/{KIND}/default?fieldManager=test"
    config = f"--kubeconfig {served.config('admin')}"
    token = "$(sed -n 's/.*token: //p' " + str(served.config("admin")) + ")"
    curl = (
        f'curl -sS -X PATCH --cacert {served.directory}/ca.crt -H "Authorization: Bearer {token}" '
        f"-H 'Content-Type: application/apply-patch+yaml' --data-binary @- "
        f"'https://127.0.0.1:{served.port}{path}'"
    )
    answered = json.loads(said(served.kubectl(curl, text)))
    assert "projectcalico.org/v3" == answered["apiVersion"]
    spec = json.loads(said(served.kubectl(f"kubectl {config} get {KIND} default -o json")))["spec"]
    assert [{"name": "site", "value": "65000:50"}] == spec["communities"]


def test_edit_and_replace_and_a_json_patch_that_tests_the_version(served: Cluster) -> None:
    said(served.kubectl("kubectl create -f -", manifest(asNumber=64512)))
    said(served.kubectl("kubectl get bgpconfiguration default -o yaml | sed s/64512/64513/ | kubectl replace -f -"))
    said(served.kubectl("KUBE_EDITOR='sed -i s/64513/64514/' kubectl edit bgpconfiguration default"))
    operations = [
        {"op": "test", "path": "/apiVersion", "value": "projectcalico.org/v3"},
        {"op": "add", "path": "/spec/listenPort", "value": 1179},
    ]
    said(served.kubectl(f"kubectl patch bgpconfiguration default --type json -p '{json.dumps(operations)}'"))
    assert {"asNumber": 64514, "listenPort": 1179} == shown(served)["spec"]


def test_who_wrote_a_field_is_kept_through_replace_with_managed_fields(served: Cluster) -> None:
    said(served.kubectl("kubectl create -f -", manifest(asNumber=64512)))
    # written under the CRD's own name of the version, too: before the server was installed
    body = {"spec": {"listenPort": 1179}}
    twin = f"{CALICO}/v3crd/{KIND}/default?fieldManager=kubectl-create"
    assert 200 == served.ask("PATCH", twin, body, "application/merge-patch+json")[0]
    before = shown(served)["metadata"]["managedFields"]
    again = "kubectl get bgpconfiguration default -o yaml --show-managed-fields | kubectl replace -f -"
    said(served.kubectl(again))
    assert before == shown(served)["metadata"]["managedFields"]


def test_a_dry_run_changes_nothing(served: Cluster) -> None:
    said(served.kubectl("kubectl create -f -", manifest(asNumber=64512)))
    for patch in ('{"spec":{"asNumber":64513}}', '{"spec":{"asNumber":64513},"metadata":{"finalizers":["a.b/c"]}}'):
        told = said(served.kubectl(f"kubectl patch bgpconfiguration default --dry-run=server -o json -p '{patch}'"))
        assert 64513 == json.loads(told)["spec"]["asNumber"]
    assert {"asNumber": 64512} == shown(served)["spec"]


def test_a_status_is_patched_apart(served: Cluster) -> None:
    said(served.kubectl("kubectl create -f -", manifest(asNumber=64512)))
    for kind in ("A", "B"):
        patch = json.dumps({"status": {"conditions": [{"type": kind, "status": "True"}]}, "spec": {"asNumber": 1}})
        said(served.kubectl(f"kubectl patch bgpconfiguration default --subresource=status -p '{patch}'"))
    now = shown(served)
    assert ["A", "B"] == [condition["type"] for condition in now["status"]["conditions"]]
    assert {"asNumber": 64512} == now["spec"]


def test_deletion_by_name_by_selection_and_in_the_foreground(served: Cluster) -> None:
    for options in (
        "default",
        "--all",
        "default --cascade=foreground --wait=false",
        "--field-selector metadata.name=default",
    ):
        said(served.kubectl("kubectl create -f -", manifest(asNumber=64512)))
        said(served.kubectl(f"kubectl delete bgpconfiguration {options}"))
        free = """kubectl patch bgpconfiguration default -p '{"metadata":{"finalizers":null}}'"""
        served.kubectl(free)
        assert 1 == served.kubectl("kubectl get bgpconfiguration default").returncode


def test_lists_come_in_pieces(served: Cluster) -> None:
    for name in "abc":
        body = json.loads(manifest(asNumber=64512))
        body["metadata"]["name"] = name
        said(served.kubectl("kubectl create -f -", json.dumps(body)))
    names = said(served.kubectl("kubectl get bgpconfigurations --chunk-size=1 -o name")).split()
    assert [f"bgpconfiguration.projectcalico.org/{name}" for name in "abc"] == names


def test_a_watch_tells_what_happens_and_ends_with_its_client(served: Cluster) -> None:
    command = ["kubectl", "get", "bgpconfigurations", "-w", "-o", "json", "--output-watch-events"]
    home, programs = str(served.directory), str(served.programs["kubectl"].parent)
    env = {"PATH": programs, "KUBECONFIG": str(served.config("admin")), "HOME": home}
    log = served.directory / "watch.json"
    with log.open("w") as output, subprocess.Popen(command, stdout=output, env=env) as watch:
        said(served.kubectl("kubectl create -f -", manifest(asNumber=64512)))
        wait_for("the first event", lambda: '"ADDED"' in log.read_text())
        said(served.kubectl("""kubectl patch bgpconfiguration default -p '{"spec":{"asNumber":64513}}'"""))
        wait_for("the second", lambda: "64513" in log.read_text())
        said(served.kubectl("kubectl delete bgpconfiguration default"))
        wait_for("the third", lambda: '"DELETED"' in log.read_text())
        assert 1 == watches(served)
        watch.terminate()
    assert "v3crd" not in log.read_text()
    wait_for("the end of the watch behind the server", lambda: 0 == watches(served))


def test_an_informer_is_told_where_the_first_objects_end(served: Cluster) -> None:
    said(served.kubectl("kubectl create -f -", manifest(asNumber=64512)))
    query = "watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1"
    lines = said(served.kubectl(f"kubectl get --raw '{CALICO}/v3/{KIND}?{query}'")).splitlines()
    events = [json.loads(line) for line in lines]
    assert ["ADDED", "BOOKMARK"] == [event["type"] for event in events[:2]]
    assert {"projectcalico.org/v3"} == {event["object"]["apiVersion"] for event in events}
    annotations = events[1]["object"]["metadata"]["annotations"]
    assert {"k8s.io/initial-events-end": "true"} == annotations


def test_a_watch_from_long_ago_is_gone(served: Cluster) -> None:
    status, told = served.ask("GET", f"{CALICO}/v3/{KIND}?watch=1&resourceVersion=1")
    assert (200, 410) == (status, told["object"]["code"])


def test_who_reads_metadata_alone_prefers_protobuf_and_gets_json(served: Cluster) -> None:
    said(served.kubectl("kubectl create -f -", manifest(asNumber=64512)))
    kinds = "as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    accept = f"application/vnd.kubernetes.protobuf;{kinds},application/json;{kinds}"
    token = "$(sed -n 's/.*token: //p' " + str(served.config("admin")) + ")"
    curl = (
        f'curl -sS --cacert {served.directory}/ca.crt -H "Authorization: Bearer {token}" -H "Accept: {accept}" '
        f"https://127.0.0.1:{served.port}{CALICO}/v3/{KIND}"
    )
    listed = json.loads(said(served.kubectl(curl)))
    assert "PartialObjectMetadataList" == listed["kind"]
    assert "v3crd" not in json.dumps(listed)
    only = curl.replace(f",application/json;{kinds}", "")
    assert 406 == json.loads(said(served.kubectl(only)))["code"]


def test_nobody_leaves_the_group_by_a_path(served: Cluster) -> None:
    for path in ("..%2F..%2F..%2Fapi%2Fv1%2Fsecrets", "bgppeers/..%2F..", "bgppeers//x", "%2E%2E/v3crd/bgppeers"):
        assert 404 == served.ask("GET", f"{CALICO}/v3/{path}")[0]


def test_rights_are_those_of_the_client(served: Cluster) -> None:
    refused = served.kubectl("kubectl get bgppeers", account="reader")
    assert 'User "reader" cannot list resource "bgppeers" in API group "projectcalico.org"' in refused.stderr


def shows(following: Following, spec: Json) -> bool:
    """Tell whether an informer has seen the configuration as it is now, None for gone."""
    found = following.objects.get(ObjectName("", "default"))
    return bool(spec == (found["spec"] if found else None))


async def test_an_informer_sees_through_the_server_what_it_sees_past_it(served: Cluster) -> None:
    said(served.kubectl("kubectl create -f -", manifest(asNumber=64512)))
    client = ApiServer(kubeconfig([served.config("admin")]))
    followed = [
        Informer(client, Resource("projectcalico.org", version, KIND, namespaced=False), dict)
        for version in ("v3", "v3crd")
    ]
    async with Following(followed[0]) as through, Following(followed[1]) as past:
        for number in (64512, 64513, 64514):
            patch = f"""kubectl patch bgpconfiguration default -p '{{"spec":{{"asNumber":{number}}}}}'"""
            said(await asyncio.to_thread(served.kubectl, patch))
            for following in (through, past):
                await following.until(functools.partial(shows, following, {"asNumber": number}))
        versions = [
            following.objects[ObjectName("", "default")]["metadata"]["resourceVersion"] for following in (through, past)
        ]
        assert versions[0] == versions[1]
        said(await asyncio.to_thread(served.kubectl, "kubectl delete bgpconfiguration default"))
        for following in (through, past):
            await following.until(functools.partial(shows, following, None))
    await client.close()
