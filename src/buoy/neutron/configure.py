# SPDX-License-Identifier: Apache-2.0
"""neutron.conf for an embedded Neutron: one process, no Keystone, no queue.

`python -m buoy.neutron.configure --directory D --etcd URL` writes it; a real
OpenStack keeps its own neutron.conf and takes from here what names Buoy.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec


class Embedded(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between installations; `database` empty: a SQLite file in `directory`."""

    directory: str
    etcd: tuple[str, ...] = ("http://127.0.0.1:2379",)
    database: str = ""
    paste: str = str(Path(sys.prefix) / "etc/neutron/api-paste.ini")
    mechanism_drivers: tuple[str, ...] = ("buoy",)
    type_drivers: tuple[str, ...] = ("local", "flat")
    compare_interval: float = 600.0
    heartbeat_interval: float = 15.0


SERVICE_PLUGINS = ("buoy", "port_forwarding", "network_ip_availability", "revisions", "timestamp", "tag")


def neutron_conf(settings: Embedded) -> str:
    """Return the text of neutron.conf.

    With no RPC workers ML2 makes no notifiers; without traditional DHCP no port
    waits for a DHCP agent; quotas are off, for there is one user.
    """
    database = settings.database or f"sqlite:///{settings.directory}/neutron.sqlite"
    return _TEXT.format(
        directory=settings.directory,
        paste=settings.paste,
        database=database,
        service_plugins=",".join(SERVICE_PLUGINS),
        mechanism_drivers=",".join(settings.mechanism_drivers),
        type_drivers=",".join(settings.type_drivers),
        default_type=settings.type_drivers[0],
        quotas=_QUOTAS,
        endpoints=",".join(settings.etcd),
        compare_interval=settings.compare_interval,
        heartbeat_interval=settings.heartbeat_interval,
    )


_TEXT = """\
[DEFAULT]
state_path = {directory}
api_paste_config = {paste}
auth_strategy = noauth
core_plugin = ml2
service_plugins = {service_plugins}
transport_url = fake://
rpc_workers = 0
rpc_state_report_workers = 0
enable_traditional_dhcp = False
enable_snat_by_default = False
notify_nova_on_port_status_changes = False
notify_nova_on_port_data_changes = False
agent_down_time = 45
use_stderr = True

[database]
connection = {database}
sqlite_synchronous = False

[oslo_concurrency]
lock_path = {directory}/lock

[oslo_messaging_notifications]
driver = noop

[ml2]
mechanism_drivers = {mechanism_drivers}
type_drivers = {type_drivers}
project_network_types = {default_type}
extension_drivers = port_security,dns_domain_ports

[ml2_type_flat]
flat_networks = *

[ml2_type_vxlan]
vni_ranges = 1:1000

[quotas]
{quotas}

[buoy]
endpoints = {endpoints}
compare_interval = {compare_interval}
heartbeat_interval = {heartbeat_interval}
"""


_QUOTAS = "\n".join(
    f"quota_{name} = -1"
    for name in ("network", "subnet", "port", "router", "floatingip", "security_group", "security_group_rule")
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write DIRECTORY/neutron.conf and print its name."""
    parser = argparse.ArgumentParser(prog="python -m buoy.neutron.configure", description="Write neutron.conf.")
    parser.add_argument("--directory", required=True, help="state, database and locks; made if absent")
    parser.add_argument("--etcd", action="append", required=True, help="http(s)://host:port; may be given again")
    parser.add_argument("--database", default="", help="SQLAlchemy URL (default: SQLite in the directory)")
    options = parser.parse_args(arguments)
    directory = Path(options.directory).absolute()
    (directory / "lock").mkdir(parents=True, exist_ok=True)
    settings = Embedded(directory=str(directory), etcd=tuple(options.etcd), database=options.database)
    target = directory / "neutron.conf"
    target.write_text(neutron_conf(settings))
    print(target)  # noqa: T201


if __name__ == "__main__":
    main()
