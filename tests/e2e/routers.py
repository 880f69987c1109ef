# SPDX-License-Identifier: Apache-2.0
"""Other people's routers: a BIRD of its own on the access node for each, with its own address and port 1790."""

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.e2e.cloud import Cloud

PORT = 1790
NODES = {"compute-1": "192.168.8.3", "compute-2": "192.168.8.4", "compute-3": "192.168.8.5"}
BUOY = "/run/buoy/bird.ctl"


class Router:
    """A router that any of `neighbours` (by name: address) may speak with; `options` are BIRD's own words."""

    def __init__(self, cloud: Cloud, name: str, address: str, asn: int, nodes_asn: int = 64512) -> None:
        self.cloud = cloud
        self.name = name
        self.address = address
        self.asn = asn
        self.nodes_asn = nodes_asn
        self._control = f"/run/tmp/{name}.ctl"

    def start(self, options: str = "", neighbours: Mapping[str, str] = NODES) -> "Router":
        """Give the access node the router's address, unless it has it, and start it; or load other options."""
        # an IPv6 address cannot be listened on while it is still looked for elsewhere
        prefix = (f"{self.address}/128", "nodad") if ":" in self.address else (f"{self.address}/32",)
        self.cloud.on("access", "ip", "address", "replace", *prefix, "dev", "eth0")
        text = "".join(self._session(name, address, options) for name, address in neighbours.items())
        at = f"/run/tmp/{self.name}.conf"
        head = f"router id 192.0.2.{self.asn % 250 + 1};\nprotocol device {{}}\nprotocol direct {{ ipv4; ipv6; }}\n"
        self.cloud.lab.exec("access", "tee", at, text=head + text)
        running = self.cloud.lab.exec("access", "birdc", "-s", self._control, "configure", check=False)
        if running.returncode:
            self.cloud.on("access", "bird", "-c", at, "-s", self._control)
        return self

    def _session(self, name: str, address: str, options: str) -> str:
        symbol = name.replace("-", "_")
        return f"""protocol bgp {symbol} {{
  local {self.address} port {PORT} as {self.asn}; neighbor {address} port 179 as {self.nodes_asn}; strict bind yes;
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  {options}
  ipv4 {{ import all; export none; }};
  ipv6 {{ import all; export none; }};
}}
"""

    def established(self) -> set[str]:
        """Return the neighbours it has sessions with."""
        found = re.findall(r"^(\w+) +BGP .* Established", self.ask("show", "protocols"), re.MULTILINE)
        return {name.replace("_", "-") for name in found}

    def session(self, neighbour: str) -> str:
        """Return all it says of one session."""
        return self.ask("show", "protocols", "all", neighbour.replace("-", "_"))

    def routes(self) -> dict[str, str]:
        """Return whom each destination was heard from."""
        routes = self.ask("show", "route", "where", "source", "=", "RTS_BGP")
        return {
            to: name.replace("_", "-") for to, name in re.findall(r"^(\S+) +unicast \[(\w+) ", routes, re.MULTILINE)
        }

    def ask(self, *words: str) -> str:
        """Ask its BIRD; its no is an answer too."""
        return self.cloud.on("access", "birdc", "-s", self._control, *words, check=False)


def birdc(cloud: Cloud, node: str, *words: str) -> str:
    """Ask the BIRD that Buoy runs on a node, or the lab's own router; its no is an answer too."""
    return cloud.on(node, "birdc", "-s", BUOY, *words, check=False)


def reconfigured(cloud: Cloud, node: str) -> str:
    """Return when a node's BIRD last read its configuration, to the millisecond."""
    [line] = re.findall(r"^Last reconfiguration on (.*)", birdc(cloud, node, "show", "status"), re.MULTILINE)
    return str(line)


def sessions(cloud: Cloud, node: str) -> dict[str, str]:
    """Return since when each established BGP session of a node is."""
    found = re.findall(
        r"^(\w+) +BGP +\S+ +up +(\S+ \S+) +Established", birdc(cloud, node, "show", "protocols"), re.MULTILINE
    )
    return dict(found)


def peer(cloud: Cloud, name: str) -> dict[str, Any]:
    """Return what `buoy peer show` says."""
    return dict(json.loads(cloud.buoy("peer", "show", name, "-o", "json"))[0])


def states(cloud: Cloud, name: str) -> dict[str, str]:
    """Return the state of a peer's session by node, as an operator sees it."""
    return {one["node"]: one["state"] for one in peer(cloud, name)["sessions"]}


def on_node(cloud: Cloud, node: str, name: str) -> str:
    """Return all that BIRD on a node says of a peer."""
    return birdc(cloud, node, "show", "protocols", "all", f"peer_{name}")
