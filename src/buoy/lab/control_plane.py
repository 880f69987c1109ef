# SPDX-License-Identifier: Apache-2.0
"""The daemons of a Kubernetes control plane as the lab's controller runs them: etcd and two of Kubernetes.

Of the controllers only those run that have something to do here. The scheduler is a stand-in: `buoy.lab.scheduler`.
"""

from collections.abc import Mapping
from pathlib import Path

from buoy.lab.kube_files import PKI, SERVICE_CIDRS
from buoy.lab.topology import Probe, Service

API_PORT, ETCD_PORT, MANAGER_PORT = 6443, 2379, 10257
SCHEDULER_CONFIG = "/etc/kubernetes/scheduler.kubeconfig"
NODE_GRACE_SECONDS = 8
"""Seconds of silence after which a node is not ready; Kubernetes' default is 50."""

_CONTROLLERS = (
    "endpointslice-controller", "endpointslice-mirroring-controller", "endpoints-controller", "namespace-controller",
    "serviceaccount-controller", "root-ca-certificate-publisher-controller", "garbage-collector-controller",
    "service-cidr-controller", "node-lifecycle-controller", "taint-eviction-controller",
    "pod-garbage-collector-controller", "deployment-controller", "replicaset-controller", "statefulset-controller",
    "daemonset-controller",
)  # fmt: skip


def services(machine: str, address: str, programs: Mapping[str, Path]) -> tuple[Service, ...]:
    """Return the services of the machine of that name and IPv4 address, etcd first."""
    return (
        _etcd(address, str(programs["etcd"])),
        _apiserver(machine, address, str(programs["kube-apiserver"])),
        _manager(machine, str(programs["kube-controller-manager"])),
        Service(name="scheduler", command=("{python}", "-m", "buoy.lab.scheduler", SCHEDULER_CONFIG),
                after=(f"{machine}/apiserver",)),
    )  # fmt: skip


def _etcd(address: str, program: str) -> Service:
    peer = "http://127.0.0.1:2380"
    command = (
        program, "--name=lab", "--data-dir=/var/lib/etcd", "--log-level=warn",
        f"--listen-client-urls=http://0.0.0.0:{ETCD_PORT}", f"--advertise-client-urls=http://{address}:{ETCD_PORT}",
        f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=lab={peer}",
        "--unsafe-no-fsync", "--quota-backend-bytes=2147483648",
        # the election of the only member is otherwise much of the lab's start
        "--heartbeat-interval=20", "--election-timeout=200",
    )  # fmt: skip
    return Service(name="etcd", command=command, ready=Probe(port=ETCD_PORT, http="/health"))


def _apiserver(machine: str, address: str, program: str) -> Service:
    command = (
        program, f"--etcd-servers=http://127.0.0.1:{ETCD_PORT}",
        f"--advertise-address={address}", f"--secure-port={API_PORT}",
        f"--tls-cert-file={PKI}/apiserver.crt", f"--tls-private-key-file={PKI}/apiserver.key",
        f"--token-auth-file={PKI}/tokens.csv", f"--client-ca-file={PKI}/ca.crt",
        "--authorization-mode=Node,RBAC", f"--service-cluster-ip-range={','.join(SERVICE_CIDRS)}",
        "--service-account-issuer=https://kubernetes.default.svc", "--allow-privileged=true",
        f"--service-account-signing-key-file={PKI}/sa.key", f"--service-account-key-file={PKI}/sa.pub",
        f"--requestheader-client-ca-file={PKI}/front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client", "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={PKI}/front-proxy-client.crt",
        f"--proxy-client-key-file={PKI}/front-proxy-client.key", "--enable-aggregator-routing=true",
        # thousands of Services in a lab: none is to wait for another's turn
        "--max-requests-inflight=800", "--max-mutating-requests-inflight=400",
    )  # fmt: skip
    ready = Probe(port=API_PORT, http="/readyz", tls=True)
    return Service(name="apiserver", command=command, after=(f"{machine}/etcd",), ready=ready)


def _manager(machine: str, program: str) -> Service:
    kubeconfig = "kubeconfig=/etc/kubernetes/kcm.kubeconfig"
    command = (
        program, f"--{kubeconfig}", f"--authentication-{kubeconfig}", f"--authorization-{kubeconfig}",
        "--use-service-account-credentials=true", "--leader-elect=false",
        f"--secure-port={MANAGER_PORT}", "--cert-dir=/run/kubernetes", f"--controllers={','.join(_CONTROLLERS)}",
        f"--service-account-private-key-file={PKI}/sa.key", f"--root-ca-file={PKI}/ca.crt",
        "--kube-api-qps=200", "--kube-api-burst=400",
        "--node-monitor-period=1s", f"--node-monitor-grace-period={NODE_GRACE_SECONDS}s",
    )  # fmt: skip
    ready = Probe(port=MANAGER_PORT, http="/healthz", tls=True)
    return Service(name="kcm", command=command, after=(f"{machine}/apiserver",), ready=ready)
