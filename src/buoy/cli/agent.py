# SPDX-License-Identifier: Apache-2.0
"""`buoy agent`: run it, steer it, take everything of Buoy's off a host again."""

import asyncio
from typing import Annotated

import typer

from buoy.agent.inspect import ask
from buoy.cli.context import DryRunOption, fail
from buoy.runtime.settings import load

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

ConfigOption = Annotated[
    str | None, typer.Option("--config", help="Settings, TOML. Default: $BUOY_CONFIG, else /etc/buoy/agent.toml.")
]


@app.command()
def run(config: ConfigOption = None) -> None:
    """Run the agent of this host until it is told to stop.

    It watches the store, programs routes, NAT, policy and announcements for the
    workloads of this node, and reports what it observed. SIGTERM changes nothing
    on the host: what is programmed stays, and the next start finds it.

    Fields of the settings file:

    \b
      node                name as Nova's compute host has it (default: host name)
      addresses           this node's own addresses; the first of each family speaks BGP
      foreign_interfaces  taps of other drivers, never touched
      audit_interval      seconds between full comparisons (60)
      heartbeat_ttl       seconds after which a silent agent counts as dead (15)
      store.endpoints     etcd URLs; store.ca, .cert, .key, .username, .password_file
      metadata.port       port of the metadata service on this host (8775, 0: off)
      health.listen       host:port of /metrics, /healthz, /readyz (127.0.0.1:9705)
    """
    from buoy.agent.run import run_agent

    asyncio.run(run_agent(load(config)))


@app.command()
def skeleton() -> None:
    """Load the nft skeleton, so that no unknown tap passes a packet before the agent runs.

    Run at boot before nova-compute and libvirt-guests (packaging/systemd/buoy-skeleton.service).
    """
    from buoy.agent.host import load_skeleton

    load_skeleton(load())
    print("table inet buoy is loaded")


@app.command()
def cleanup(
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without this the command only says what it would do.")
    ] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Uninstall: withdraw announcements, then remove every route, neighbour, nft table and file that is ours.

    Stop the agent first. Workloads of this host lose their network.
    """
    from buoy.agent.host import clean

    if dry_run or not yes:
        for line in clean(load(), act=False):
            print(f"would remove {line}")
        if not yes and not dry_run:
            fail("nothing was removed; repeat with --yes", 5)
        return
    for line in clean(load(), act=True):
        print(f"removed {line}")


def _asked(name: str, said: str) -> None:
    asyncio.run(ask(name))
    print(said)


@app.command("release-guard")
def release_guard() -> None:
    """Let removals go on that the guard holds because another or an older store spoke.

    Look at `buoy plan` first: it shows what would be removed.
    """
    cause = asyncio.run(ask("release-guard"))
    print(f"removals go on; they were held: {cause}" if cause else "no removals were held")


@app.command()
def drain() -> None:
    """Let traffic leave this node: its addresses stay announced, but as the last resort (RFC 8326).

    No address is withdrawn. It stays so over restarts of agent and host, until `undrain`.
    """
    _asked("drain", "this node drains; `buoy agent undrain` ends it")


@app.command()
def undrain() -> None:
    """Announce this node's addresses as before `drain`."""
    _asked("undrain", "this node does not drain")
