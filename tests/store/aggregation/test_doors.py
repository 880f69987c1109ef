# SPDX-License-Identifier: Apache-2.0
"""Who is answered by the server, as whom it writes, and what it does without an account."""

import http.client
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.store.aggregation.cluster import CALICO, NAME, NAMESPACE, Cluster, packaged, said
from tests.store.aggregation.server import Server, lead, leave, serving

PEERS = f"{CALICO}/v3/bgppeers"


def certified(directory: Path, name: str, issuer: str = "") -> tuple[Path, Path]:
    """Make a client certificate, signed by an authority of the cluster's or by itself."""
    cert, key = directory / f"{name}.pem", directory / f"{name}-key.pem"
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
        "-subj", f"/CN={name}", "-addext", "extendedKeyUsage=clientAuth", "-keyout", str(key), "-out", str(cert),
    ]  # fmt: skip
    if issuer:
        command += ["-CA", str(directory / f"{issuer}.crt"), "-CAkey", str(directory / f"{issuer}.key")]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


def directly(server: Server, client: tuple[Path, Path] | None, path: str = PEERS, user: str = "ann") -> int:
    """Ask the server itself, past kube-apiserver; return the status."""
    trust = ssl.create_default_context(cafile=str(server.cert))
    trust.check_hostname = False
    if client:
        trust.load_cert_chain(*client)
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=10, context=trust)
    try:
        connection.request("GET", path, headers={"X-Remote-User": user} if user else {})
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("issuer", [None, "", "ca"])
def test_nobody_but_the_front_proxy_gets_through_the_handshake(
    cluster: Cluster, server: Server, issuer: str | None
) -> None:
    client = None if issuer is None else certified(cluster.directory, "front-proxy-client-too", issuer)
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        directly(server, client)


def test_another_name_of_the_same_authority_is_forbidden(cluster: Cluster, server: Server) -> None:
    other = certified(cluster.directory, "somebody", "front-proxy-ca")
    for path in (PEERS, "/apis", "/openapi/v3", "/healthz"):
        assert 403 == directly(server, other, path)


def test_the_front_proxy_is_answered_if_it_says_for_whom_it_asks(cluster: Cluster, server: Server) -> None:
    proxy = (cluster.directory / "front-proxy-client.crt", cluster.directory / "front-proxy-client.key")
    assert [200, 401] == [directly(server, proxy), directly(server, proxy, user="")]
    assert [404, 404] == [directly(server, proxy, path) for path in ("/api/v1/secrets", "/apis/apps/v1/deployments")]


def test_without_impersonation_the_server_needs_no_rights_but_those_on_the_kinds(cluster: Cluster) -> None:
    (role,) = (each for each in packaged("account.yaml") if each["kind"] == "ClusterRole")
    assert [["projectcalico.org"]] == [rule["apiGroups"] for rule in role["rules"]]
    account = f"--as=system:serviceaccount:{NAMESPACE}:{NAME}"
    for right in ("get secrets", "impersonate users", "create bgppeers.crd.projectcalico.org"):
        assert "no\n" == cluster.kubectl(f"kubectl auth can-i {right} {account}").stdout


def test_with_impersonation_the_crds_server_judges_the_client_itself(cluster: Cluster) -> None:
    api = cluster.api
    name = "buoy-aggregation-impersonating"
    meta = {"name": name}
    api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {**meta, "namespace": NAMESPACE}})
    rule = {"apiGroups": [""], "resources": ["users", "groups", "serviceaccounts"], "verbs": ["impersonate"]}
    extra = {"apiGroups": ["authentication.k8s.io"], "resources": ["*"], "verbs": ["impersonate"]}
    rbac = "rbac.authorization.k8s.io"
    api.apply({"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": meta, "rules": [rule, extra]})
    subjects = [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}]
    for kind, role, within in (
        ("ClusterRole", name, {}),
        ("Role", "extension-apiserver-authentication-reader", {"namespace": "kube-system"}),
    ):
        ref = {"apiGroup": rbac, "kind": kind, "name": role}
        binding = {"apiVersion": f"{rbac}/v1", "kind": "RoleBinding" if within else "ClusterRoleBinding"}
        api.apply({**binding, "metadata": {**meta, **within}, "roleRef": ref, "subjects": subjects})

    with serving(cluster, "--impersonate", name="impersonating", account=name) as server:
        lead(cluster, server)
        # the account itself has no right on the kinds: what is done is the administrator's doing
        create = "kubectl create -f -"
        peer = (
            "{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: tor}, spec: {peerSelector: has(rack)}}"
        )
        said(cluster.kubectl(create, peer))
        said(
            cluster.kubectl(
                """kubectl patch bgppeer tor -p '{"metadata":{"finalizers":[]},"spec":{"asNumber":64513}}'"""
            )
        )
        said(cluster.kubectl("kubectl delete bgppeer tor"))
        proxy = (cluster.directory / "front-proxy-client.crt", cluster.directory / "front-proxy-client.key")
        assert 403 == directly(server, proxy, user="reader")
        leave(cluster)


def test_a_token_that_is_exchanged_is_taken_up_and_one_that_is_refused_is_not_the_clients_fault(
    cluster: Cluster,
) -> None:
    proxy = (cluster.directory / "front-proxy-client.crt", cluster.directory / "front-proxy-client.key")
    with serving(cluster, name="token") as server:
        good = server.token.read_text()
        assert 200 == directly(server, proxy)
        server.token.write_text("expired")
        assert 500 == directly(server, proxy)
        server.token.write_text(good)
        assert 200 == directly(server, proxy)
