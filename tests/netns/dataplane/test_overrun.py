# SPDX-License-Identifier: Apache-2.0
"""Notifications that the kernel could not deliver."""

import socket

from buoy.dataplane import netlink, rtnl
from tests.netns.dataplane.world import World


def test_a_monitor_that_was_too_slow_says_so_once(world: World) -> None:
    guest = world.guest(1)
    monitor = netlink.Monitor(netlink.ROUTE, (rtnl.GROUP_ROUTE4,))
    listening = socket.socket(fileno=socket.dup(monitor.fileno()))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    world.wish(guest.wishes(None))
    lines = "".join(f"route add 10.9.0.{number}/32 dev tap1\n" for number in range(200))
    world.node.exec("ip", "-batch", "-", text=lines)
    heard, lost = monitor.drain()
    assert (True, True) == (lost, len(heard) < 200)
    assert ([], False) == monitor.drain()
    listening.close()
    monitor.close()


def test_after_an_overrun_everything_is_read_again(world: World) -> None:
    guest = world.guest(1)
    world.wish(guest.wishes(None))
    world.host.disturbances()
    listening = socket.socket(fileno=socket.dup(world.host.filenos()[0]))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    lines = "".join(f"route add 10.9.0.{number}/32 dev tap1\n" for number in range(200))
    lines += "route del 192.0.2.1/32 dev tap1 metric 16\n"
    world.node.exec("ip", "-batch", "-", text=lines)
    told = world.host.disturbances()
    assert (True, {"192.0.2.1/32"}) == (told.overrun, {key.name[0] for key in told.keys})
    listening.close()


def test_nft_lost_notifications_make_one_audit_and_no_new_skeleton(world: World) -> None:
    listening = socket.socket(fileno=socket.dup(world.host.filenos()[1]))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    elements = ", ".join(f"10.9.{number // 256}.{number % 256} : 192.0.2.1" for number in range(3000))
    world.node.exec("nft", "-f", "-", text=f"add element inet buoy fip4 {{ {elements} }}\n")
    told = world.host.disturbances()
    assert (True, 3000, 0) == (told.overrun, len(told.keys), world.host.restored)
    assert (False, 0) == (world.host.disturbances().overrun, len(world.host.disturbances().keys))
    listening.close()
