# SPDX-License-Identifier: Apache-2.0
"""Configuration files of the Kubernetes lab, as text.

Every text is block YAML without braces: the one for the host has the API server's forwarded port put in later.
"""

import base64

from buoy.lab.kube_pki import Secrets

CLUSTER_CIDRS = ("10.244.0.0/16", "fd00:10:244::/48")
SERVICE_CIDRS = ("10.96.0.0/16", "fd00:1234::/112")
API_SERVICE = ("10.96.0.1", "fd00:1234::1")
PKI = "/etc/kubernetes/pki"
PROXY_HEALTH_PORT, PROXY_METRICS_PORT = 10256, 10249


def kubeconfig(server: str, authority: str, user: str) -> str:
    """Return a kubeconfig; `user` is a line such as ``token: abc`` or ``tokenFile: /run/token``."""
    return f"""apiVersion: v1
kind: Config
current-context: lab
clusters:
- name: lab
  cluster:
    server: {server}
    certificate-authority-data: {base64.b64encode(authority.encode()).decode()}
contexts:
- name: lab
  context:
    cluster: lab
    user: lab
users:
- name: lab
  user:
    {user}
"""


def pod_cidrs(number: int) -> tuple[str, str]:
    """Return the IPv4 and the IPv6 range of the pods on the node of that number, from 1."""
    return f"10.244.{number}.0/24", f"fd00:10:244:{number:x}::/64"


def control_plane(secrets: Secrets) -> dict[str, str]:
    """Return the files of the controller that only the control plane reads, by path."""
    files = {f"{PKI}/{name}": text for name, text in secrets.files.items()}
    return {**files, f"{PKI}/tokens.csv": secrets.token_table()}


def kube_proxy(node: str, mode: str, min_sync_period: str) -> str:
    """Return kube-proxy's configuration; of connection tracking it sets nothing that all namespaces share.

    ``minSyncPeriod: 0s`` would mean kube-proxy's default of 1 s.
    """
    return f"""apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: {mode}
hostnameOverride: {node}
clusterCIDR: {",".join(CLUSTER_CIDRS)}
clientConnection:
  kubeconfig: /etc/kubernetes/kube-proxy.kubeconfig
healthzBindAddress: 0.0.0.0:{PROXY_HEALTH_PORT}
metricsBindAddress: 127.0.0.1:{PROXY_METRICS_PORT}
oomScoreAdj: 0
conntrack:
  maxPerCore: 0
  min: 0
  tcpEstablishedTimeout: 0s
  tcpCloseWaitTimeout: 0s
nftables:
  minSyncPeriod: {min_sync_period}
  syncPeriod: 30s
iptables:
  minSyncPeriod: {min_sync_period}
  syncPeriod: 30s
"""


def agent(node: str, addresses: tuple[str, str]) -> str:
    """Return agent.toml of a node: its store is the API server."""
    return f"""node = "{node}"
addresses = ["{addresses[0]}", "{addresses[1]}"]

[store]
kubeconfig = "/etc/buoy/kubeconfig"
"""
