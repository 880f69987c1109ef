"""The drivers of one host, put together; and the two acts that need no store: the skeleton, and leaving for good."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from buoy.dataplane import nft_text
from buoy.dataplane.dhcp import DhcpDriver
from buoy.dataplane.host import LinuxHost
from buoy.model import ownership
from buoy.model.nodestate import NodeState
from buoy.planner.plan import make_plan
from buoy.planner.status import entry_name
from buoy.render.nft import skeleton
from buoy.runtime.settings import Settings

_NFT = f"table {ownership.NFT_FAMILY} {ownership.NFT_TABLE}"


def open_host(settings: Settings) -> LinuxHost:
    """Return the drivers of the network namespace we are in; raises `DataplaneError` without the rights."""
    return LinuxHost(DhcpDriver(), metadata_port=settings.metadata.port, foreign=frozenset(settings.foreign_interfaces))


def load_skeleton(settings: Settings) -> None:
    """Load the static nft rules, under which an unknown tap passes nothing; raises `DataplaneError`."""
    nft_text.load(skeleton(settings.metadata.port, settings.foreign_interfaces))


def clean(settings: Settings, *, act: bool) -> Iterator[str]:
    """Name everything of ours on this host, and with `act` remove it: withdraw, then sweep, as any plan does."""
    host = open_host(settings)
    nothing: NodeState = {}
    plan = make_plan(host.observe(None), nothing)
    yield from (entry_name(change.key) for change in plan.changes)
    if act:
        host.apply(plan.steps)
    host.close()
    yield _NFT
    yield ownership.STATE_DIRECTORY
    if act:
        # naming it first makes the deletion succeed where it is not there
        nft_text.load(f"{_NFT}\ndelete {_NFT}\n")
        shutil.rmtree(ownership.STATE_DIRECTORY, ignore_errors=True)
        Path(ownership.AGENT_SOCKET).unlink(missing_ok=True)
