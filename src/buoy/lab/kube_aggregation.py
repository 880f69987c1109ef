# SPDX-License-Identifier: Apache-2.0
"""Buoy's aggregated server in the lab: what its manifests and a kubelet do in a cluster that runs containers.

``python -m buoy.lab.kube_aggregation KUBECONFIG ADDRESS MANIFESTS`` becomes the server at that address.
Promises that projectcalico.org/v3 is led to it only once it answers; `REGISTERED` is there then.
"""

import http.client
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import yaml

from buoy.aggregation.registration import Place, api_service, make_certificate
from buoy.lab import kube_credential
from buoy.lab.kube_api import KubeApi, Object

CREDENTIAL = "/run/secrets/aggregation/token"
KUBECONFIG = "/etc/kubernetes/aggregation.kubeconfig"
REGISTERED = "/run/secrets/aggregation/registered"
_CERTIFICATE, _KEY = (f"/run/secrets/aggregation/tls.{end}" for end in ("crt", "key"))
_PLACE = Place()
_PORT, _HEALTH_PORT = 8443, 8081
_SECONDS = 60.0
_LEAD = "lead"


def main() -> None:
    """Prepare everything and become the server; as ``… lead``, wait for it and lead requests to it."""
    kubeconfig, address, manifests, *rest = sys.argv[1:]
    api = KubeApi(kubeconfig)
    if rest == [_LEAD]:
        _lead(api)
        return
    Path(REGISTERED).unlink(missing_ok=True)
    for each in (*_read(Path(manifests) / "aggregation" / "account.yaml"), *_service(address)):
        api.apply(each)
    account = kube_credential.path(_PLACE.service)
    kube_credential.put(api.create(account, kube_credential.REQUEST), CREDENTIAL)
    for file, text in zip((_CERTIFICATE, _KEY), make_certificate(_PLACE, days=365), strict=True):
        Path(file).write_text(text)
    # not our child: a server collects none
    itself = [sys.executable, "-m", "buoy.lab.kube_aggregation", *sys.argv[1:], _LEAD]
    subprocess.run(["setsid", "--fork", *itself], check=True)
    _serve()


def _serve() -> NoReturn:
    words = [
        sys.executable, "-m", "buoy.cli.main", "aggregation", "run", f"--kubeconfig={KUBECONFIG}",
        f"--cert={_CERTIFICATE}", f"--key={_KEY}", f"--listen=0.0.0.0:{_PORT}", f"--health=127.0.0.1:{_HEALTH_PORT}",
        "--farewell=0.5",
    ]  # fmt: skip
    os.execv(words[0], words)


def _lead(api: KubeApi) -> None:
    registration = api_service(_PLACE, Path(_CERTIFICATE).read_text())
    deadline = time.monotonic() + _SECONDS
    while not _is_serving():
        _wait_until(deadline, "the aggregated server does not answer")
    api.apply(registration)
    while not _is_available(api.get(api.path_of(registration))):
        _wait_until(deadline, "projectcalico.org/v3 is not led to the aggregated server")
    Path(REGISTERED).touch()


def _wait_until(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        sys.exit(f"{what} after {_SECONDS:g} s")
    time.sleep(0.05)


def _is_serving() -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", _HEALTH_PORT, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def _is_available(registration: Object) -> bool:
    conditions = registration.get("status", {}).get("conditions", ())
    return any((each["type"], each["status"]) == ("Available", "True") for each in conditions)


def _service(address: str) -> list[Object]:
    """Return the manifests' Service without its selector, and the machine as its only endpoint."""
    ours = {"name": _PLACE.service, "namespace": _PLACE.namespace}
    port = {"name": "https", "port": 443, "targetPort": _PORT, "protocol": "TCP"}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": ours, "spec": {"ports": [port]}}
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**ours, "labels": {"kubernetes.io/service-name": _PLACE.service}},
        "addressType": "IPv4",
        "ports": [{"name": "https", "port": _PORT, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
    }
    return [service, endpoints]


def _read(file: Path) -> list[Object]:
    return [each for each in yaml.safe_load_all(file.read_text()) if each]


if __name__ == "__main__":
    main()
