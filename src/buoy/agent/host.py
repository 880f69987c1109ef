# SPDX-License-Identifier: Apache-2.0
"""The drivers of one host, put together; and the two acts that need no store: the skeleton, and leaving for good."""

import contextlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from buoy.dataplane import dhcp_directory, nft_text
from buoy.dataplane.dhcp import DhcpDriver
from buoy.dataplane.host import LinuxHost
from buoy.model import ownership
from buoy.model.errors import DataplaneError, InvalidInput
from buoy.model.nodestate import NodeState
from buoy.model.proxied import ProxyMode
from buoy.planner.plan import make_plan
from buoy.planner.status import entry_name
from buoy.render.nft import skeleton
from buoy.runtime.settings import ServiceProxy, Settings

_MARKS = (
    f"table {ownership.NFT_FAMILY} {ownership.NFT_TABLE}",
    f"table arp {ownership.NFT_TABLE}",
    f"rule fwmark {ownership.ARP_MARK:#x} lookup {ownership.ARP_TABLE}",
)
_FILES = (
    Path(ownership.BIRD_CONFIG),
    dhcp_directory.DIRECTORY,
    dhcp_directory.lock_of(dhcp_directory.DIRECTORY),
    Path(ownership.STATE_DIRECTORY),
    Path(ownership.AGENT_SOCKET),
    Path(ownership.AGENT_LOCK),
)
"""What the agent wrote; settings are the operator's and stay."""


def open_host(settings: Settings, *, prepared: bool = True) -> LinuxHost:
    """Return the drivers of the network namespace we are in; raises `DataplaneError` without the rights."""
    foreign = frozenset(settings.foreign_interfaces)
    return LinuxHost(
        DhcpDriver(),
        metadata_port=settings.metadata.port,
        foreign=foreign,
        prepared=prepared,
        service_proxy=_service_proxy(settings),
    )


def _service_proxy(settings: Settings) -> ProxyMode:
    if not settings.store.kubeconfig:
        return ProxyMode.NONE
    return ProxyMode.NFTABLES if settings.service_proxy is ServiceProxy.KUBE_PROXY else ProxyMode.UNCHECKED


def load_skeleton(settings: Settings) -> None:
    """Load the static nft rules, under which an unknown tap passes nothing; raises `DataplaneError`."""
    nft_text.load(skeleton(settings.metadata.port, settings.foreign_interfaces))


def clean(settings: Settings, *, act: bool) -> Iterator[str]:
    """Name everything of ours on this host, and with `act` remove it: withdraw, then sweep, as any plan does.

    Raises `InvalidInput` while an agent runs that would make it all again, `DataplaneError` without the
    rights or with what the host refused; a repetition goes on from there.
    """
    if act and agent_listens():
        raise InvalidInput("agent", ownership.AGENT_SOCKET, "stop the agent of this host first, or it repairs it all")
    with contextlib.closing(open_host(settings, prepared=False)) as host:
        nothing: NodeState = {}
        plan = make_plan(host.observe(None), nothing)
        yield from (entry_name(change.key) for change in plan.changes)
        yield from _MARKS
        if act:
            for failure in host.apply(plan.steps):
                raise DataplaneError(f"removing {failure.step.act}", failure.error)
            host.remove()
    for path in _FILES:
        yield str(path)
        if act:
            _delete(path)


def agent_listens() -> bool:
    """Tell whether an agent of this host is running."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(ownership.AGENT_SOCKET) == 0


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
