# SPDX-License-Identifier: Apache-2.0
"""Where the Kubernetes API server is and who we are there: a kubeconfig file, or the pod we run in.

Promises: what cannot work, or would not be safe, is refused here naming field, value
and remedy, before any connection is tried. The tricky thing: what stands in files
is not read here but by every use, for the kubelet exchanges tokens and certificates.

Sources: kubernetes.io "Organizing Cluster Access Using kubeconfig Files" and
"Accessing the Kubernetes API from a Pod".
"""

import base64
import binascii
import os
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from buoy.model.errors import InvalidInput
from buoy.store.api_kubeconfig import Cluster, Context, User, read

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet puts token, CA and namespace of a pod's account."""
_SERVER = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?(/[^?#\s]*)?")
_LOOPBACK = re.compile(r"localhost|127\..*|\[::1\]")
_LAST_PORT = 65535


class Secret(msgspec.Struct, frozen=True):
    """A certificate, key or token: a file's name, or the content itself; empty means not used."""

    file: str = ""
    data: bytes = b""

    def __bool__(self) -> bool:
        return bool(self.file or self.data)

    def __repr__(self) -> str:
        return f"Secret({self.file!r})" if self.file else "Secret(...)"

    def read(self, field: str) -> bytes:
        """Return the content as it is now; raise `InvalidInput` naming `field` if the file cannot be read."""
        if not self.file:
            return self.data
        try:
            return Path(self.file).read_bytes()
        except OSError as error:
            remedy = f"make it a file this process can read ({error.strerror})"
            raise InvalidInput(field, self.file, remedy) from error


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """An API server and an account in it; checked by whoever made it (`find`, `kubeconfig`, `in_cluster`)."""

    server: str
    """``https://host:port``, perhaps with a path."""
    ca: Secret = Secret()
    """What the server's certificate is checked against; without it what the host trusts."""
    server_name: str = ""
    """The name in the server's certificate, if it is not the host in `server`."""
    token: Secret = Secret()
    cert: Secret = Secret()
    key: Secret = Secret()
    namespace: str = "default"
    """The namespace that is meant where none is named."""
    source: str = ""
    """Where this was read, for messages."""

    @property
    def account(self) -> str:
        """Who we are there, for messages: by which token or certificate, and where that stands; "" if by none."""
        for kind, secret in (("token", self.token), ("client certificate", self.cert)):
            if secret:
                return f"{kind} {secret.file or f'in {self.source}'}"
        return ""


def find(file: str = "", context: str = "", environment: Mapping[str, str] = os.environ) -> ApiSettings:
    """Return the server meant: `file`, else $KUBECONFIG, else the pod's own, else ~/.kube/config.

    `context` is one of the kubeconfig's; "" is its current one. Raises `InvalidInput`.
    """
    named = file or environment.get("KUBECONFIG", "")
    if files := [Path(part) for part in named.split(os.pathsep) if part]:
        return kubeconfig([part for part in files if part.exists()] or files, context)
    if environment.get("KUBERNETES_SERVICE_HOST"):
        return in_cluster(environment)
    own = Path(environment.get("HOME", "/root")) / ".kube" / "config"
    if not own.exists():
        remedy = "name a kubeconfig file, set KUBECONFIG, or run in a pod of the cluster"
        raise InvalidInput("kubeconfig", str(own), remedy)
    return kubeconfig([own], context)


def in_cluster(environment: Mapping[str, str], account: Path = SERVICE_ACCOUNT) -> ApiSettings:
    """Return the API server of the pod we run in; raise `InvalidInput`."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise InvalidInput("KUBERNETES_SERVICE_HOST", host, "run in a pod of the cluster, or name a kubeconfig file")
    for name in ("token", "ca.crt"):
        if not (account / name).exists():
            remedy = "let the pod have an account: serviceAccountName, and not automountServiceAccountToken: false"
            raise InvalidInput("serviceaccount", str(account / name), remedy)
    namespace = account / "namespace"
    settings = ApiSettings(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        ca=Secret(str(account / "ca.crt")),
        token=Secret(str(account / "token")),
        namespace=namespace.read_text().strip() if namespace.exists() else "default",
        source="the pod's service account",
    )
    _check_server("KUBERNETES_SERVICE_HOST", settings)
    return settings


def kubeconfig(files: list[Path], context: str = "") -> ApiSettings:
    """Return the server and account of a context in kubeconfig files, the first of which wins; raise `InvalidInput`."""
    config = read(files)
    chosen = context or config.current_context
    if not chosen:
        raise InvalidInput("current-context", "", f"set it in {files[0]}: kubectl config use-context NAME")
    link = config.context(chosen)
    settings = _settings(config.cluster(link), config.user(link), link, f"{files[0]} context {chosen}")
    _check_server("server", settings)
    return settings


def _settings(cluster: Cluster, user: User, context: Context, source: str) -> ApiSettings:
    _check_user(user)
    if cluster.insecure_skip_tls_verify:
        remedy = "give certificate-authority instead: anybody could answer in the server's place"
        raise InvalidInput("insecure-skip-tls-verify", True, remedy)
    if cluster.proxy_url:
        raise InvalidInput("proxy-url", cluster.proxy_url, "give the server's own address: proxies are not spoken to")
    settings = ApiSettings(
        server=cluster.server,
        ca=_secret("certificate-authority", cluster.certificate_authority, cluster.certificate_authority_data),
        server_name=cluster.tls_server_name,
        token=Secret(user.token_file, b"" if user.token_file else user.token.encode()),
        cert=_secret("client-certificate", user.client_certificate, user.client_certificate_data),
        key=_secret("client-key", user.client_key, user.client_key_data),
        namespace=context.namespace or "default",
        source=source,
    )
    if bool(settings.cert) != bool(settings.key):
        raise InvalidInput("client-key", settings.key.file, "give client-certificate and client-key together")
    return settings


def _check_user(user: User) -> None:
    refused = {
        "exec": user.exec,
        "auth-provider": user.auth_provider,
        "username": user.username,
        "as": user.impersonated,
    }
    for field, value in refused.items():
        if value:
            # the value may be a secret, or run to pages: its field says enough
            remedy = (
                "give a token (kubectl create token NAME), tokenFile or client-certificate: no program is run for it"
            )
            raise InvalidInput(f"user.{field}", "(set)", remedy)


def _secret(field: str, file: str, data: str) -> Secret:
    # as kubectl: data wins over a file
    if not data:
        return Secret(file)
    try:
        return Secret(data=base64.b64decode(data, validate=True))
    except binascii.Error as error:
        raise InvalidInput(f"{field}-data", "(set)", f"write it in base64 ({error})") from error


def _check_server(field: str, settings: ApiSettings) -> None:
    written = _SERVER.fullmatch(settings.server)
    if written is None or not 0 < int(written[3] or 443) <= _LAST_PORT:
        raise InvalidInput(field, settings.server, "write it as https://host:port")
    if written[1] == "http" and not _LOOPBACK.fullmatch(written[2]):
        raise InvalidInput(field, settings.server, "use https://: without it anybody on the way could read and answer")
