# SPDX-License-Identifier: Apache-2.0
"""The kubeconfig format, as far as we use it.

Promises: a file that is no kubeconfig is refused naming file, field and remedy; of
several files the first that names something wins, as with kubectl. The tricky thing
is that file names in it are relative to the file they stand in.

Source: kubernetes.io, reference "kubeconfig (v1)".
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
import yaml

from buoy.model.errors import InvalidInput


class Cluster(msgspec.Struct, rename="kebab", kw_only=True):
    """Where a server is."""

    server: str = ""
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    tls_server_name: str = ""
    insecure_skip_tls_verify: bool = False
    proxy_url: str = ""


class User(msgspec.Struct, rename="kebab", kw_only=True):
    """An account; what stands in `exec`, `auth_provider`, `username` and `impersonated` we only refuse."""

    token: str = ""
    token_file: str = msgspec.field(default="", name="tokenFile")
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    exec: object = None
    auth_provider: object = None
    username: str = ""
    impersonated: str = msgspec.field(default="", name="as")


class Context(msgspec.Struct):
    """A cluster and a user, by their names."""

    cluster: str = ""
    user: str = ""
    namespace: str = ""


class NamedCluster(msgspec.Struct):
    """An entry of ``clusters``."""

    name: str
    cluster: Cluster


class NamedUser(msgspec.Struct):
    """An entry of ``users``."""

    name: str
    user: User = msgspec.field(default_factory=User)


class NamedContext(msgspec.Struct):
    """An entry of ``contexts``."""

    name: str
    context: Context


class KubeConfig(msgspec.Struct, kw_only=True):
    """A whole file, or several as one."""

    current_context: str = msgspec.field(default="", name="current-context")
    clusters: list[NamedCluster] | None = None
    users: list[NamedUser] | None = None
    contexts: list[NamedContext] | None = None

    def context(self, name: str) -> Context:
        """Return a context; raise `InvalidInput` naming those there are."""
        return _named("context", name, self.contexts or ()).context

    def cluster(self, context: Context) -> Cluster:
        """Return the cluster of a context; raise `InvalidInput`."""
        return _named("cluster", context.cluster, self.clusters or ()).cluster

    def user(self, context: Context) -> User:
        """Return the user of a context, without any rights if it names none; raise `InvalidInput`."""
        return _named("user", context.user, self.users or ()).user if context.user else User()


class _HasName(Protocol):
    name: str


_Entry = TypeVar("_Entry", bound=_HasName)


def read(files: Sequence[Path]) -> KubeConfig:
    """Return what files say together; raise `InvalidInput` for one that is no kubeconfig."""
    config = KubeConfig(clusters=[], users=[], contexts=[])
    for file in files:
        each = _read(file)
        config.current_context = config.current_context or each.current_context
        config.clusters = [*(config.clusters or ()), *(each.clusters or ())]
        config.users = [*(config.users or ()), *(each.users or ())]
        config.contexts = [*(config.contexts or ()), *(each.contexts or ())]
    return config


def _read(file: Path) -> KubeConfig:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        remedy = f"make it a file this process can read ({error.strerror})"
        raise InvalidInput("kubeconfig", str(file), remedy) from error
    except UnicodeDecodeError as error:
        raise InvalidInput("kubeconfig", str(file), "write it in UTF-8") from error
    except (yaml.YAMLError, RecursionError) as error:
        problem = getattr(error, "problem", None) or "not YAML"
        raise InvalidInput("kubeconfig", str(file), f"correct the YAML: {problem}") from error
    try:
        config = msgspec.convert(content or {}, KubeConfig)
    except msgspec.ValidationError as error:
        # the content may be a secret: the error names the field alone
        raise InvalidInput("kubeconfig", str(file), f"correct it: {error}") from None
    for cluster in config.clusters or ():
        cluster.cluster.certificate_authority = _beside(file, cluster.cluster.certificate_authority)
    for user in config.users or ():
        user.user.token_file = _beside(file, user.user.token_file)
        user.user.client_certificate = _beside(file, user.user.client_certificate)
        user.user.client_key = _beside(file, user.user.client_key)
    return config


def _beside(file: Path, name: str) -> str:
    return str(file.parent / name) if name else ""


def _named(field: str, name: str, entries: Iterable[_Entry]) -> _Entry:
    known = list(entries)
    for entry in known:
        if entry.name == name:
            return entry
    there = ", ".join(entry.name for entry in known) or "none"
    raise InvalidInput(field, name, f"use one that the kubeconfig holds: {there}")
