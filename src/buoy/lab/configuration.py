# SPDX-License-Identifier: Apache-2.0
"""Configuration files of the OpenStack lab, as text.

The access node's `bird.conf` is the lab's own and not Buoy's: it stands for the
router of somebody else. It takes what the nodes announce and tells them nothing.
Its BFD is graceful (RFC 5882, 4.3): to BFD a BIRD that was killed is a node that
died, and a restart of BIRD is to be no event for this router.
"""

from buoy.neutron.configure import Embedded, neutron_conf

ACCESS_AS = 64511
NODES_AS = 64512
NEUTRON_DIRECTORY = "/var/lib/neutron"
FABRIC4, FABRIC6 = "192.168.8.0/24", "fd00:8::/64"


def access_bird(address: str, hold_time: int = 90) -> str:
    """Return bird.conf of the access node: any node may be its neighbour, equal paths are used at once.

    `hold_time` is how many seconds a silent neighbour without BFD is believed in.
    """
    return f"""# The lab's router: not Buoy's, and told nothing of it.
log stderr all;
router id {address};
protocol device {{ scan time 10; }}
protocol direct {{ ipv4; ipv6; interface "eth0"; }}
protocol bfd {{ interface "eth0" {{ interval 100 ms; multiplier 5; }}; }}
protocol kernel kernel4 {{
  scan time 10; graceful restart; merge paths on;
  ipv4 {{ import none; export where source = RTS_BGP; }};
}}
protocol kernel kernel6 {{
  scan time 10; graceful restart; merge paths on;
  ipv6 {{ import none; export where source = RTS_BGP; }};
}}
template bgp node {{
  local {address} as {ACCESS_AS};
  bfd graceful; graceful restart on; connect retry time 1; error wait time 1, 5; hold time {hold_time}; passive on;
  ipv4 {{ import all; export none; }};
  ipv6 {{ import all; export none; }};
}}
protocol bgp from node {{ neighbor range {FABRIC4} external; dynamic name "node"; }}
"""


def agent(node: str, addresses: tuple[str, str], store: str) -> str:
    """Return agent.toml of a node."""
    return f"""node = "{node}"
addresses = ["{addresses[0]}", "{addresses[1]}"]

[store]
endpoints = ["{store}"]
"""


def neutron(store: str, paste: str) -> str:
    """Return neutron.conf as Buoy's embedded Neutron has it; `paste` is the path of Neutron's api-paste.ini."""
    return neutron_conf(Embedded(directory=NEUTRON_DIRECTORY, etcd=(store,), paste=paste, heartbeat_interval=2.0))
