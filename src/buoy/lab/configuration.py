"""Configuration files of the OpenStack lab, as text.

The access node's `bird.conf` is the lab's own and not Buoy's: it stands for the
router of somebody else. It takes what the nodes announce and tells them nothing.
"""

ACCESS_AS = 64511
NODES_AS = 64512
FABRIC4, FABRIC6 = "192.168.8.0/24", "fd00:8::/64"


def access_bird(address: str) -> str:
    """Return bird.conf of the access node: any node may be its neighbour, equal paths are used at once."""
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
  bfd on; graceful restart on; connect retry time 1; error wait time 1, 5; hold time 90; passive on;
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
    """Return neutron.conf: the embedded form, one process, SQLite on the lab's tmpfs, no Keystone and no queue.

    With no RPC workers ML2 makes no notifiers at all; without traditional DHCP
    a port does not wait for a DHCP agent that is not there.
    """
    return f"""[DEFAULT]
state_path = /var/lib/neutron
api_paste_config = {paste}
auth_strategy = noauth
core_plugin = ml2
service_plugins = buoy,port_forwarding,segments,network_ip_availability,revisions,timestamp,tag
transport_url = fake://
rpc_workers = 0
rpc_state_report_workers = 0
enable_traditional_dhcp = False
notify_nova_on_port_status_changes = False
notify_nova_on_port_data_changes = False
enable_snat_by_default = False
use_stderr = True

[database]
connection = sqlite:////var/lib/neutron/neutron.sqlite
sqlite_synchronous = False

[oslo_concurrency]
lock_path = /var/lib/neutron/lock

[oslo_messaging_notifications]
driver = noop

[ml2]
type_drivers = local,flat
project_network_types = local
mechanism_drivers = buoy
extension_drivers = port_security,dns_domain_ports

[ml2_type_flat]
flat_networks = *

[quotas]
default_quota = -1
quota_network = -1
quota_subnet = -1
quota_port = -1
quota_router = -1
quota_floatingip = -1
quota_security_group = -1
quota_security_group_rule = -1

[buoy]
endpoints = {store}
"""
