# SPDX-License-Identifier: Apache-2.0
"""The aggregated server in the cluster: its certificate's Secret, and the APIService that leads to it.

Promises that requests are led to the server only once it answers, and that at any instant whoever
shows an old or a new certificate is trusted, so nothing fails while it is exchanged or if we are
killed halfway: run again, it does the whole again. The tricky thing: kube-apiserver makes the
APIService of a CRD's version itself, and takes it back unless a label says that it is not its own.

Sources: kubernetes.io, "Set up an Extension API Server"; kube-aggregator's autoregister controller.
"""

import asyncio
import base64
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from buoy.aggregation.versions import GROUP, VERSION
from buoy.model.errors import Conflict, DataplaneError, InvalidInput
from buoy.store.api_client import ApiServer
from buoy.store.api_names import ObjectName, Resource, Selection

MANAGER = "buoy-aggregation"
PORT = 443
"""Of the Service."""
ENOUGH = 300.0
"""Seconds a replica may take until it is ready: the kubelet may need two minutes to see a new Secret."""
_KEPT = 3
"""Certificates that are trusted: the new one, and those of two runs before, that a replica may still show."""
_SECRETS = Resource("", "v1", "secrets", namespaced=True)
_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", namespaced=True)
_REGISTRATION = Resource("apiregistration.k8s.io", "v1", "apiservices", namespaced=False).at(
    ObjectName("", f"{VERSION}.{GROUP}")
)
_END = "-----END CERTIFICATE-----\n"
Tell = Callable[[str], None]
"""Hears what was done, a line at a time."""


class Place(NamedTuple):
    """Where the server is: a Service and the Secret its replicas mount."""

    namespace: str = "buoy-system"
    service: str = "buoy-aggregation"
    secret: str = "buoy-aggregation-tls"  # noqa: S105  its name


class _Secret(msgspec.Struct):
    data: dict[str, str] | None = None


class _Service(msgspec.Struct):
    namespace: str = ""
    name: str = ""


class _RegistrationSpec(msgspec.Struct):
    service: _Service | None = None


class _Registration(msgspec.Struct):
    spec: _RegistrationSpec = msgspec.field(default_factory=_RegistrationSpec)


class _Conditions(msgspec.Struct):
    ready: bool | None = None


class _Endpoint(msgspec.Struct):
    conditions: _Conditions = msgspec.field(default_factory=_Conditions)


class _Slice(msgspec.Struct):
    endpoints: list[_Endpoint] | None = None


def make_certificate(place: Place, days: int) -> tuple[str, str]:
    """Return a new certificate for the Service's name, signed by itself, and its key, in PEM.

    Raises `DataplaneError` with what openssl said, `InvalidInput` if there is no openssl.
    """
    name = f"{place.service}.{place.namespace}.svc"
    with tempfile.TemporaryDirectory(prefix="buoy-certificate-") as directory:
        key, cert = Path(directory) / "key", Path(directory) / "cert"
        command = [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", str(days), "-subj", f"/CN={place.service}", "-addext", f"subjectAltName=DNS:{name}",
            "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth",
            "-keyout", str(key), "-out", str(cert),
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise InvalidInput("openssl", "", "install openssl where this command runs") from error
        if done.returncode:
            raise DataplaneError("openssl req", done.stderr)
        return cert.read_text(), key.read_text()


async def register(server: ApiServer, place: Place, days: int, tell: Tell) -> None:
    """Give the server a new certificate, and lead requests to it once a replica is ready.

    Raises `InvalidInput` if none is within `ENOUGH`, `Conflict` if requests are led to another's Service,
    and what `ApiServer` raises.
    """
    leads_here = await _leads_here(server, place)
    cert, key = make_certificate(place, days)
    trusted = "".join([cert, *await _shown(server, place)][:_KEPT])
    if leads_here:
        # before any replica shows the new certificate
        await _lead(server, place, trusted)
    await _write_secret(server, place, {"tls.crt": cert, "tls.key": key, "ca.crt": trusted})
    tell(f"secret {place.namespace}/{place.secret} holds a new certificate, good for {days} days")
    await _await_replica(server, place)
    await _lead(server, place, trusted)
    tell(f"{GROUP}/{VERSION} is served by {place.namespace}/{place.service}")


async def _leads_here(server: ApiServer, place: Place) -> bool:
    """Tell whether requests are led to our Service; raise `Conflict` if they are to another's."""
    found = await server.get(_REGISTRATION, _Registration)
    service = found.spec.service if found else None
    if service is None:
        return False
    if service != _Service(place.namespace, place.service):
        told = f"{GROUP}/{VERSION} is served by {service.namespace}/{service.name}, perhaps Calico's own API server"
        raise Conflict(
            f"{told}: remove that first (kubectl delete apiservice {VERSION}.{GROUP}), or do without this one"
        )
    return True


def api_service(place: Place, trusted: str, port: int = PORT) -> dict[str, Any]:
    """Return the APIService that leads requests to the server; `trusted` are certificates in PEM."""
    service = {"namespace": place.namespace, "name": place.service, "port": port}
    bundle = base64.b64encode(trusted.encode()).decode()
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {
            "name": f"{VERSION}.{GROUP}",
            "labels": {"kube-aggregator.kubernetes.io/automanaged": "false"},
        },
        "spec": {
            "group": GROUP,
            "version": VERSION,
            # kube-apiserver's own number for groups of CRDs; and before v3crd, which it gives 100
            "groupPriorityMinimum": 1000,
            "versionPriority": 200,
            "service": service,
            "caBundle": bundle,
        },
    }


async def _lead(server: ApiServer, place: Place, trusted: str) -> None:
    await server.apply(_REGISTRATION, api_service(place, trusted), msgspec.Raw, MANAGER, force=True)


async def _shown(server: ApiServer, place: Place) -> list[str]:
    """Return the certificates that replicas may still show, the newest first."""
    found = await server.get(_SECRETS.at(ObjectName(place.namespace, place.secret)), _Secret)
    bundle = ((found.data if found else None) or {}).get("ca.crt", "")
    *certificates, _ = base64.b64decode(bundle).decode(errors="replace").split(_END)
    return [certificate + _END for certificate in certificates]


async def _write_secret(server: ApiServer, place: Place, content: dict[str, str]) -> None:
    data = {name: base64.b64encode(text.encode()).decode() for name, text in content.items()}
    metadata = {"name": place.secret, "namespace": place.namespace}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls", "data": data}
    target = _SECRETS.at(ObjectName(place.namespace, place.secret))
    await server.apply(target, body, msgspec.Raw, MANAGER, force=True)


async def _await_replica(server: ApiServer, place: Place) -> None:
    ours = Selection(namespace=place.namespace, labels=f"kubernetes.io/service-name={place.service}")
    try:
        async with asyncio.timeout(ENOUGH):
            while not _is_ready(await server.list(_SLICES, _Slice, ours)):  # noqa: ASYNC110  nothing here to wait for
                await asyncio.sleep(1)
    except TimeoutError:
        remedy = f"look at its pods, none of which is ready after {ENOUGH:g} s, then run this again"
        raise InvalidInput("--service", f"{place.namespace}/{place.service}", remedy) from None


def _is_ready(slices: Iterable[_Slice]) -> bool:
    return any(endpoint.conditions.ready for each in slices for endpoint in each.endpoints or ())
