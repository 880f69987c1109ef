# SPDX-License-Identifier: Apache-2.0
"""A pass that dies by kill -9 before its k-th act on the host, in a process of its own.

An act is what the kernel takes as one: a netlink message, an nft transaction, one
sysctl, one file. The tricky thing: batches that are no transaction are taken apart
here, since a process may die while the kernel has seen only half of one.
"""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

from buoy.agent.reconcile import reconcile
from buoy.agent.reliance import Reliance
from buoy.dataplane import dhcp_directory, netlink, nft_text, sysctls
from buoy.dataplane.dhcp import DhcpDriver
from buoy.dataplane.host import LinuxHost
from buoy.model.proxied import ProxyMode
from buoy.model.snapshot import Snapshot
from buoy.planner.desired import Desired
from buoy.planner.dhcp import guest_config
from buoy.planner.guard import Guarded
from buoy.planner.wishes import Here

P = ParamSpec("P")
R = TypeVar("R")


def bring_about(node: str, snapshot: Snapshot, dhcp: Path) -> Desired:
    """Do what an agent does that starts now: look at everything, and make it as the documents say."""
    host = LinuxHost(DhcpDriver(dhcp), service_proxy=ProxyMode.NFTABLES)
    try:
        desired, reliance = Desired(Here(node, guest_config)), Reliance(host)
        reliance.recall(snapshot.documents)
        desired.update(snapshot, None, reliance.sight())
        outcome = reconcile(host, desired, None, Guarded)
        assert ((), ()) == (outcome.failures, outcome.wrong)
        assert dict(desired.state) == dict(host.observe(None))
        return desired
    finally:
        host.close()


def die_at(act: int, work: Callable[[], object]) -> bool:
    """Do some work in a child process that is killed before this act; tell whether it died of it."""
    child = os.fork()
    if not child:
        code = 1
        try:
            _count_acts(act)
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    died = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert died or os.waitstatus_to_exitcode(status) == 0
    return died


def _count_acts(last: int) -> None:
    """Change this process for good: it kills itself before act number `last`."""
    done = 0

    def act() -> None:
        nonlocal done
        if done == last:
            os.kill(os.getpid(), signal.SIGKILL)
        done += 1

    def before(function: Callable[P, R]) -> Callable[P, R]:
        def counted(*arguments: P.args, **named: P.kwargs) -> R:
            act()
            return function(*arguments, **named)

        return counted

    window = netlink.Channel.send

    def send(channel: netlink.Channel, messages: Sequence[bytes]) -> dict[int, netlink.Refusal]:
        refusals: dict[int, netlink.Refusal] = {}
        for index, message in enumerate(messages):
            act()
            for refusal in window(channel, [message]).values():
                refusals[index] = refusal
        return refusals

    netlink.Channel.send = send  # type: ignore[method-assign, assignment]
    netlink.Channel.transact = before(netlink.Channel.transact)  # type: ignore[method-assign]
    nft_text.load = before(nft_text.load)
    sysctls._put = before(sysctls._put)
    dhcp_directory.write = before(dhcp_directory.write)
    dhcp_directory.remove = before(dhcp_directory.remove)
