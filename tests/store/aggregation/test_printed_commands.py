# SPDX-License-Identifier: Apache-2.0
"""What documents for Calico's BGP print, typed as printed; only their ranges ``x.x.x.x`` are filled in."""

import json

from buoy.aggregation.versions import Json
from tests.store.aggregation.cluster import Cluster, said


def spec(cluster: Cluster, plural: str = "bgpconfigurations", name: str = "default") -> Json:
    return json.loads(said(cluster.kubectl(f"kubectl get {plural}.projectcalico.org {name} -o json")))["spec"]


CLUSTER_IPS = """kubectl create -f - <<EOF
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata:
  name: default
spec:
  serviceClusterIPs:
  - cidr: 10.96.0.0/16
  - cidr: fd00:1234::/112
EOF"""
EXTERNAL_IPS = """kubectl create -f - <<EOF
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata:
  name: default
spec:
  serviceExternalIPs:
  - cidr: 198.51.0.0/16
  - cidr: 203.0.113.7/32
EOF"""
LOAD_BALANCER_IPS = """kubectl create -f - <<EOF
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata:
  name: default
spec:
  serviceLoadBalancerIPs:
  - cidr: 198.51.0.0/16
EOF"""


def test_cluster_ips(served: Cluster) -> None:
    missing = served.kubectl("kubectl get bgpconfiguration.projectcalico.org default")
    assert 'Error from server (NotFound): bgpconfigurations.projectcalico.org "default" not found\n' == missing.stderr

    assert "bgpconfiguration.projectcalico.org/default created\n" == said(served.kubectl(CLUSTER_IPS))
    assert {"serviceClusterIPs": [{"cidr": "10.96.0.0/16"}, {"cidr": "fd00:1234::/112"}]} == spec(served)

    patch = (
        "kubectl patch bgpconfiguration.projectcalico.org default "
        """-p '{"spec":{"serviceClusterIPs": [{"cidr": "10.0.0.0/24"}]}}'"""
    )
    assert "bgpconfiguration.projectcalico.org/default patched\n" == said(served.kubectl(patch))
    assert {"serviceClusterIPs": [{"cidr": "10.0.0.0/24"}]} == spec(served)
    assert "bgpconfiguration.projectcalico.org/default patched (no change)\n" == said(served.kubectl(patch))
    assert "default" in said(served.kubectl("kubectl get bgpconfiguration.projectcalico.org default"))


def test_external_ips(served: Cluster) -> None:
    said(served.kubectl(EXTERNAL_IPS))
    patch = (
        "kubectl patch bgpconfiguration.projectcalico.org default "
        """-p '{"spec":{"serviceExternalIPs": [{"cidr": "192.0.2.0/24"}, {"cidr": "203.0.113.0/24"}]}}'"""
    )
    assert "bgpconfiguration.projectcalico.org/default patched\n" == said(served.kubectl(patch))
    assert {"serviceExternalIPs": [{"cidr": "192.0.2.0/24"}, {"cidr": "203.0.113.0/24"}]} == spec(served)


def test_load_balancer_ips_by_the_short_name_of_the_kind(served: Cluster) -> None:
    assert 1 == served.kubectl("kubectl get bgpconfiguration default").returncode
    said(served.kubectl(LOAD_BALANCER_IPS))
    said(served.kubectl("kubectl get bgpconfiguration default"))
    patch = (
        "kubectl patch bgpconfiguration default "
        """--patch '{"spec": {"serviceLoadBalancerIPs": [{"cidr": "192.0.0.0/16"}]}}'"""
    )
    assert "bgpconfiguration.projectcalico.org/default patched\n" == said(served.kubectl(patch))
    assert {"serviceLoadBalancerIPs": [{"cidr": "192.0.0.0/16"}]} == spec(served)


def test_a_patch_of_one_list_leaves_the_others(served: Cluster) -> None:
    said(served.kubectl(CLUSTER_IPS))
    said(served.kubectl("""kubectl patch bgpconfiguration default -p '{"spec":{"asNumber":64512}}'"""))
    said(served.kubectl("""kubectl patch bgpconfiguration default -p '{"spec":{"serviceClusterIPs":null}}'"""))
    assert {"asNumber": 64512} == spec(served)


def test_services_and_nodes_are_annotated_and_labelled_beside_it(served: Cluster) -> None:
    said(served.kubectl("kubectl create service clusterip your-service --tcp=80"))
    annotate = """kubectl annotate service your-service "projectcalico.org/AdvertiseClusterIP=true" """
    assert "service/your-service annotated\n" == said(served.kubectl(annotate))
    node = '{"apiVersion":"v1","kind":"Node","metadata":{"name":"control-plane-01"}}'
    said(served.kubectl("kubectl create -f -", node))
    label = "kubectl label node control-plane-01 node.kubernetes.io/exclude-from-external-load-balancers=true"
    assert "node/control-plane-01 labeled\n" == said(served.kubectl(label))
    said(served.kubectl("kubectl delete node/control-plane-01 service/your-service"))


def test_the_kinds_themselves_are_labelled_and_annotated(served: Cluster) -> None:
    said(served.kubectl(CLUSTER_IPS))
    said(served.kubectl("kubectl label bgpconfiguration default site=one"))
    said(served.kubectl("kubectl annotate bgpconfiguration.projectcalico.org default note=projectcalico.org/v3"))
    shown = json.loads(said(served.kubectl("kubectl get bgpconfiguration default -o json")))
    assert {"site": "one"} == shown["metadata"]["labels"]
    assert {"note": "projectcalico.org/v3"} == shown["metadata"]["annotations"]
    assert "default" in said(served.kubectl("kubectl get bgpconfigurations -l site=one"))
    assert "" == said(served.kubectl("kubectl get bgpconfigurations -l site=two"))
