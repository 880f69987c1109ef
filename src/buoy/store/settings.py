# SPDX-License-Identifier: Apache-2.0
"""Where the store is and who we are there: settings to a store.

Promises: what cannot work is refused here, naming field, value and remedy, before
any connection is tried; whether the store answers is found out later, by waiting.
"""

import re

import msgspec

from buoy.model.errors import InvalidInput
from buoy.model.ownership import STORE_PREFIX

IN_CLUSTER = "in-cluster"
"""In place of a kubeconfig file: the account of the pod we run in."""
_ENDPOINT = re.compile(r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})/?")
_LAST_PORT = 65535


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Endpoints ``http://host:port`` or ``https://host:port`` of one etcd cluster.

    `ca`, `cert`, `key` and `password_file` are file names, read again whenever they change;
    "" means not used. An account may also come from the certificate's common name.
    """

    endpoints: tuple[str, ...] = ("http://127.0.0.1:2379",)
    """Every member of the cluster; all http:// or all https://."""
    ca: str = ""
    """File of the CA certificate that etcd's own is checked against."""
    cert: str = ""
    """File of our client certificate; with `key`."""
    key: str = ""
    """File of its key."""
    username: str = ""
    """Account in etcd; with `password_file`."""
    password_file: str = ""
    """File that holds the account's password."""
    prefix: str = STORE_PREFIX
    """Under which keys the documents stand; begins and ends with a slash."""
    file: str = ""
    """A YAML file or directory to read documents from, instead of etcd."""
    kubeconfig: str = ""
    """A kubeconfig file, or ``in-cluster``: Kubernetes' API server is the store, instead of etcd."""
    context: str = ""
    """A context of the kubeconfig; empty: its current one."""

    @property
    def secure(self) -> bool:
        """Whether the endpoints are spoken to by TLS."""
        return self.endpoints[0].startswith("https://")

    @property
    def targets(self) -> tuple[str, ...]:
        """``host:port`` of each endpoint."""
        return tuple(endpoint.partition("://")[2].rstrip("/") for endpoint in self.endpoints)


def check(settings: StoreSettings) -> None:
    """Raise `InvalidInput` for settings that cannot work together."""
    if settings.kubeconfig and settings.file:
        raise InvalidInput("kubeconfig", settings.kubeconfig, "give kubeconfig or file, not both")
    if settings.kubeconfig:
        return
    if not settings.endpoints:
        raise InvalidInput("endpoints", settings.endpoints, "give at least one, such as https://192.0.2.10:2379")
    for endpoint in settings.endpoints:
        written = _ENDPOINT.fullmatch(endpoint)
        if written is None or not 0 < int(written[1]) <= _LAST_PORT:
            raise InvalidInput("endpoints", endpoint, "write it as http://host:port or https://host:port")
    if len({endpoint.partition("://")[0] for endpoint in settings.endpoints}) > 1:
        raise InvalidInput("endpoints", settings.endpoints, "use https:// for all of them, or http:// for all")
    _check_identity(settings)
    if not settings.prefix.startswith("/") or not settings.prefix.endswith("/"):
        raise InvalidInput("prefix", settings.prefix, "begin and end it with a slash, such as /buoy/v1/")


def _check_identity(settings: StoreSettings) -> None:
    for field in ("ca", "cert", "key"):
        if (value := getattr(settings, field)) and not settings.secure:
            raise InvalidInput(field, value, "certificates need endpoints that begin with https://")
    if bool(settings.cert) != bool(settings.key):
        raise InvalidInput("key", settings.key, "give cert and key together")
    if bool(settings.username) != bool(settings.password_file):
        raise InvalidInput("password_file", settings.password_file, "give username and password_file together")
