# SPDX-License-Identifier: Apache-2.0
"""Who may speak to us: the API server's front proxy, and for whom it speaks.

Promises: only who shows a certificate of the request header CA, under a name that the cluster
allows, is heard; everybody else ends in the TLS handshake, or with 403 for a wrong name. The
tricky thing is that both this CA and our own certificate are exchanged while we run: each
handshake is given the newest context, also for what is checked of the client.

Sources: kubernetes.io, "Configure the Aggregation Layer"; RFC 6125 does not apply to clients.
"""

import json
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from multidict import CIMultiDict, CIMultiDictProxy

from buoy.model.errors import InvalidInput
from buoy.store.api_client import ApiServer
from buoy.store.api_names import ObjectName, Resource

CONFIGURATION = Resource("", "v1", "configmaps", namespaced=True).at(
    ObjectName("kube-system", "extension-apiserver-authentication")
)
"""What a cluster tells extension servers; role `extension-apiserver-authentication-reader` may read it."""


class _ConfigMap(msgspec.Struct):
    data: dict[str, str] | None = None


class Trust(NamedTuple):
    """Whom the cluster names as its front proxy, and in which headers that says for whom it speaks."""

    ca: str
    """Certificates in PEM."""
    names: frozenset[str]
    """Common names, empty for any."""
    users: tuple[str, ...] = ("X-Remote-User",)
    uids: tuple[str, ...] = ("X-Remote-Uid",)
    groups: tuple[str, ...] = ("X-Remote-Group",)
    extras: tuple[str, ...] = ("X-Remote-Extra-",)
    """With what the names of headers begin."""


class Certificate(NamedTuple):
    """Our own certificate and key, as files."""

    cert: Path
    key: Path

    def stamp(self) -> tuple[tuple[int, int], ...]:
        """Return what differs when either file is exchanged; raise `InvalidInput`."""
        return tuple(_stamp(field, path) for field, path in (("--cert", self.cert), ("--key", self.key)))


async def read_trust(server: ApiServer) -> Trust:
    """Return whom the cluster trusts now; raise `StoreUnavailable`, `InvalidInput`."""
    found = await server.get(CONFIGURATION, _ConfigMap)
    known = (found.data if found else None) or {}
    ca = known.get("requestheader-client-ca-file", "")
    if not ca.strip():
        remedy = "start kube-apiserver with --requestheader-client-ca-file and --proxy-client-cert-file"
        raise InvalidInput(f"{CONFIGURATION} requestheader-client-ca-file", ca, remedy)
    read = Trust(ca, frozenset(_listed(known, "requestheader-allowed-names")))
    return read._replace(
        users=_listed(known, "requestheader-username-headers") or read.users,
        uids=_listed(known, "requestheader-uid-headers") or read.uids,
        groups=_listed(known, "requestheader-group-headers") or read.groups,
        extras=_listed(known, "requestheader-extra-headers-prefix") or read.extras,
    )


def context(trust: Trust, certificate: Certificate) -> ssl.SSLContext:
    """Return what one handshake needs; raise `InvalidInput`."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.verify_mode = ssl.CERT_REQUIRED
    # who was let in once is looked at again: a CA may have been taken away since
    made.num_tickets = 0
    made.options |= ssl.OP_NO_TICKET
    try:
        made.load_verify_locations(cadata=trust.ca)
    except ssl.SSLError as error:
        remedy = f"let it hold certificates in PEM ({error.reason or error})"
        raise InvalidInput("requestheader-client-ca-file", "(set)", remedy) from error
    try:
        made.load_cert_chain(certificate.cert, certificate.key, password=lambda: b"")
    except (OSError, ValueError) as error:
        remedy = f"give a certificate and its key, in PEM and without a password ({error})"
        raise InvalidInput("--cert", str(certificate.cert), remedy) from error
    return made


def is_front_proxy(trust: Trust, shown: Mapping[str, Any] | None) -> bool:
    """Tell whether a certificate that was verified, as `ssl` describes it, is of a name that is allowed."""
    subject = (shown or {}).get("subject", ())
    names = {value for part in subject for field, value in part if field == "commonName"}
    return bool(shown) and (not trust.names or bool(names & trust.names))


def on_behalf(trust: Trust, headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """Return the headers that let a request of ours be the client's own (impersonation); raise `InvalidInput`."""
    user = next((headers[name] for name in trust.users if headers.get(name)), "")
    if not user:
        raise InvalidInput(trust.users[0], user, "send requests through kube-apiserver: it names the user")
    spoken = CIMultiDict({"Impersonate-User": user})
    if uid := next((headers[name] for name in trust.uids if headers.get(name)), ""):
        spoken["Impersonate-Uid"] = uid
    for name in trust.groups:
        for group in headers.getall(name, ()):
            spoken.add("Impersonate-Group", group)
    for key, value in _extras(trust, headers):
        spoken.add(f"Impersonate-Extra-{key}", value)
    return spoken


def _extras(trust: Trust, headers: CIMultiDictProxy[str]) -> Iterator[tuple[str, str]]:
    for name, value in headers.items():
        for prefix in trust.extras:
            if name.lower().startswith(prefix.lower()):
                yield name[len(prefix) :], value


def _listed(known: Mapping[str, str], field: str) -> tuple[str, ...]:
    try:
        return tuple(msgspec.convert(json.loads(known.get(field) or "[]"), list[str]))
    except (ValueError, msgspec.ValidationError) as error:
        raise InvalidInput(f"{CONFIGURATION} {field}", known[field], "let it be a JSON list of texts") from error


def _stamp(field: str, path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise InvalidInput(field, str(path), f"make it a file this process can read ({error.strerror})") from error
    return stat.st_ino, stat.st_mtime_ns
