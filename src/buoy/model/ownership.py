# SPDX-License-Identifier: Apache-2.0
"""Every mark by which a stranger process knows what is Buoy's.

Nothing on a host is changed that does not carry one of these marks, so an agent
without memory finds what its predecessor made, and nothing else.
"""

ROUTE_PROTOCOL = 205
"""Route and neighbour protocol number of everything we put into the kernel."""

MAIN_TABLE = 254
ROUTE_METRIC = 16
"""Explicit always: without one a /128 gets 1024 and loses to our BIRD's 48, a /32 gets 0 and wins."""

ANNOUNCE_TABLE = 2053
"""Kernel table BIRD learns announcements from; its routes never forward anything themselves."""

ARP_TABLE = 2054
ARP_MARK = 0x205
"""Mark and table by which proxy ARP also answers for what the node itself has no route to (`dataplane/sysctls.py`)."""

NFT_FAMILY = "inet"
NFT_TABLE = "buoy"

TAP_PREFIX = "tap"
"""Interfaces whose policy is ours to default to *drop*."""

NEUTRON_DEVICE_OWNER = "buoy:service-ip"
"""Of ports that keep an address from OpenStack while a Kubernetes cluster has it; nobody ever binds them."""

STORE_PREFIX = "/buoy/v1/"
RUN_DIRECTORY = "/run/buoy"
STATE_DIRECTORY = "/var/lib/buoy"
CONFIG_DIRECTORY = "/etc/buoy"
BIRD_CONFIG = f"{CONFIG_DIRECTORY}/bird.conf"
BIRD_SOCKET = f"{RUN_DIRECTORY}/bird.ctl"
AGENT_SOCKET = f"{RUN_DIRECTORY}/agent.sock"
AGENT_LOCK = f"{RUN_DIRECTORY}/agent.lock"
