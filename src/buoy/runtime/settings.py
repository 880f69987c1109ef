# SPDX-License-Identifier: Apache-2.0
"""Settings of an agent: a TOML file, read once at start and passed on as a frozen value.

Every field has a default that suits a host whose name is its node name; what is
wrong is refused with file, field, value and remedy before anything starts.
"""

import enum
import os
import socket
import tomllib
from pathlib import Path

import msgspec

from buoy.model import ownership
from buoy.model.address import Address, parse_address
from buoy.model.errors import InvalidInput
from buoy.store.settings import StoreSettings, check

_LAST_PORT = 65535
CONFIG_VARIABLE = "BUOY_CONFIG"
DEFAULT_CONFIG = f"{ownership.CONFIG_DIRECTORY}/agent.toml"


class Metadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where 169.254.169.254:80 leads on this host; `port` 0 switches it off."""

    port: int = 8775
    """Port of nova-api-metadata, or of a proxy to it, on this host."""


class Health(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where `/metrics`, `/healthz` and `/readyz` are served; empty for nowhere."""

    listen: str = "127.0.0.1:9705"
    """``host:port``."""


class ServiceProxy(enum.StrEnum):
    """How it is known that Services are forwarded on this node."""

    KUBE_PROXY = "kube-proxy"
    UNCHECKED = "unchecked"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An agent's settings; `addresses` are this node's own, the first of each family speaks BGP."""

    node: str = ""
    """This host's name as Nova has it; empty: the host name."""
    addresses: tuple[Address, ...] = ()
    """This node's own; the first of each family is the source of its BGP sessions, the IPv4 one its router id."""
    foreign_interfaces: tuple[str, ...] = ()
    """Taps of other drivers: neither judged nor touched."""
    audit_interval: float = 60.0
    """Seconds between two full comparisons of host and wish, part by part."""
    heartbeat_ttl: int = 15
    """Seconds after which a silent agent is dead for the others."""
    service_proxy: ServiceProxy = ServiceProxy.KUBE_PROXY
    """With a kubeconfig: ``kube-proxy`` looks at its rules, ``unchecked`` announces without having looked."""
    passwords: str = f"{ownership.CONFIG_DIRECTORY}/passwords"
    """The directory with the files that peers and BGP settings name in `password_from`."""
    store: StoreSettings = StoreSettings()
    metadata: Metadata = Metadata()
    health: Health = Health()


def load(path: str | None = None) -> Settings:
    """Read the file (argument, else $BUOY_CONFIG, else /etc/buoy/agent.toml); raise `InvalidInput`."""
    chosen = Path(path or os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG)
    try:
        raw = tomllib.loads(chosen.read_text())
    except FileNotFoundError as error:
        raise InvalidInput("--config", str(chosen), "create the file, or name another with --config") from error
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(str(chosen), str(error), "make it readable TOML") from error
    try:
        settings = msgspec.convert(raw, Settings)
    except msgspec.ValidationError as error:
        raise InvalidInput(str(chosen), str(error), "correct this field; `buoy agent run --help` lists all") from error
    return _checked(settings, str(chosen))


def _checked(settings: Settings, source: str) -> Settings:
    addresses = tuple(parse_address(text, f"{source}: addresses") for text in settings.addresses)
    node = settings.node or socket.gethostname()
    if "/" in node or not node:
        raise InvalidInput(f"{source}: node", node, "give the node's name as Nova's compute host has it")
    if not 0 <= settings.metadata.port <= _LAST_PORT:
        raise InvalidInput(f"{source}: metadata.port", settings.metadata.port, "give a port, or 0 for none")
    if settings.health.listen and not _is_endpoint(settings.health.listen):
        raise InvalidInput(f"{source}: health.listen", settings.health.listen, "give host:port, or '' for none")
    if not settings.store.file:
        check(settings.store)
    return msgspec.structs.replace(settings, node=node, addresses=addresses)


def _is_endpoint(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) <= _LAST_PORT
