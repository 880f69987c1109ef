# SPDX-License-Identifier: Apache-2.0
"""Guests of one lab with a puppet in each, and what tests of policy ask: whether a packet gets there.

Promises that a *no* is seen and not waited for: after the packet a second one follows
on the same way that is known to pass, and what has not arrived before it does not.
"""

import ipaddress
from collections.abc import Callable
from typing import Any

from tests.e2e import wire
from tests.e2e.cloud import Cloud, eventually
from tests.e2e.puppet import Puppet, token

ACCESS = "192.168.8.1"
CONTROL = 9
"""UDP port that guests booted with `guest` let in from everyone."""


class Stage:
    """Machines by name, each with its addresses and its puppet."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.guests: dict[str, dict[str, Any]] = {}
        self._puppets: dict[str, Puppet] = {}
        self.group("control")
        for version in ("IPv4", "IPv6"):
            self.rule("control", "--protocol", "udp", "--dst-port", str(CONTROL), "--ethertype", version)
            self.rule("control", "--protocol", "udp", "--dst-port", str(CONTROL), "--ethertype", version, "--egress")

    def group(self, name: str) -> None:
        """Make a security group that allows nothing."""
        self.cloud.openstack("security", "group", "create", name)
        for row in self.cloud.get("security", "group", "rule", "list", name):
            self.cloud.openstack("security", "group", "rule", "delete", row["ID"])

    def rule(self, group: str, *words: str) -> str:
        """Add a rule and return its id."""
        return str(self.cloud.get("security", "group", "rule", "create", *words, group)["id"])

    def guest(self, name: str, host: str, *groups: str, **port: str) -> dict[str, Any]:
        """Boot a guest on a port in these groups and in `control`."""
        words = [word for group in (*groups, "control") for word in ("--security-group", group)]
        options = [word for key, value in port.items() for word in (f"--{key.replace('_', '-')}", value)]
        made = self.cloud.get("port", "create", "--network", "calico", *words, *options, name)
        self.guests[name] = self.cloud.boot(name, host, port=made["id"])
        return self.guests[name]

    def puppet(self, machine: str) -> Puppet:
        """Return the puppet of a machine."""
        if machine not in self._puppets:
            self._puppets[machine] = Puppet(lambda words: self.cloud.lab.command(machine, words))
        return self._puppets[machine]

    def address(self, machine: str, version: int = 4) -> str:
        """Return a machine's address of one family."""
        if machine == "access":
            return ACCESS if version == 4 else "fd00:8::1"
        [found] = [one for one in self.guests[machine]["addresses"] if (":" in one) == (version == 6)]
        return str(found)

    def send(self, giver: str, packet: bytes) -> None:
        """Send a packet by a machine's own routing."""
        six = packet[0] >> 4 == 6
        self.puppet(giver).send(packet, _text(packet[24:40] if six else packet[16:20]))

    def passes(self, giver: str, taker: str, make: Callable[[bytes], bytes]) -> bool:
        """Tell whether a packet that `make` makes of a token gets from a machine to another."""
        mark = token()
        return self._arrives(giver, taker, mark, lambda: self.send(giver, make(mark)))

    def frame_passes(self, giver: str, taker: str, make: Callable[[bytes], bytes]) -> bool:
        """Tell the same of a frame."""
        mark = token()
        return self._arrives(giver, taker, mark, lambda: self.puppet(giver).send_frame(make(mark)))

    def _arrives(self, giver: str, taker: str, mark: bytes, send: Callable[[], None]) -> bool:
        self.puppet(taker).seen()
        send()
        ends = self.address(giver), self.address(taker)

        def known() -> set[str]:
            after = token()
            self.send(giver, wire.udp(*ends, CONTROL, after))
            return eventually(self.puppet(taker).seen, lambda seen: after.decode() in seen or mark.decode() in seen)

        return mark.decode() in known()

    def close(self) -> None:
        """End the puppets."""
        for puppet in self._puppets.values():
            puppet.close()


def _text(raw: bytes) -> str:
    return str(ipaddress.ip_address(raw))
