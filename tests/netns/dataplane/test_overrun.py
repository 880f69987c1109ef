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
