# SPDX-License-Identifier: Apache-2.0
"""The lab with a database as in production: MariaDB, migrated by Neutron's own program, and several API workers.

The database listens on a socket of the controller only, runs as nobody, and
lives in the lab's own files, so that it goes with the lab.
"""

from pathlib import Path
from types import MappingProxyType

from msgspec.structs import replace

from buoy.lab import launch, openstack
from buoy.lab.lab import Lab
from buoy.lab.topology import Node, Probe, Service, Topology

WORKERS = 3
FIRST_PORT = openstack.NEUTRON_PORT
SOCKET = "/var/lib/database/socket"
URL = f"mysql+pymysql://root@localhost/neutron?unix_socket={SOCKET}&charset=utf8mb4"

_START = f"""
set -e
cd /var/lib/database
as_nobody="setpriv --reuid=65534 --regid=65534 --clear-groups"
chown 65534:65534 .
[ -d data/mysql ] || $as_nobody mariadb-install-db --no-defaults --datadir=/var/lib/database/data \\
  --auth-root-authentication-method=normal --skip-test-db
exec $as_nobody mariadbd --no-defaults --datadir=/var/lib/database/data --socket={SOCKET} --skip-networking \\
  --pid-file=/var/lib/database/pid --max-connections=300 --innodb-flush-log-at-trx-commit=2
"""
_MIGRATE = f"""
set -e
mariadb --no-defaults --socket={SOCKET} --user=root \\
  --execute='CREATE DATABASE IF NOT EXISTS neutron CHARACTER SET utf8mb4'
manage="$(dirname {{python}})/neutron-db-manage --config-file /etc/neutron/neutron.conf"
$manage upgrade heads
$manage --subproject buoy upgrade heads
"""
_UP_SECONDS = 400.0


def up(name: str) -> Lab:
    """Bring the lab up; it takes as long as Neutron's hundreds of migrations do."""
    launch.start(_topology(name), lambda _: None, _UP_SECONDS)
    return Lab(name)


def endpoints(lab: Lab) -> list[str]:
    """Return ``host:port`` of every API worker."""
    return [lab.env()[f"WORKER_{number}"] for number in range(WORKERS)]


def _topology(name: str) -> Topology:
    plain = openstack.topology(name, 2)
    address = plain.relays["neutron"][0]
    workers = {f"worker{number}": (address, FIRST_PORT + number) for number in range(WORKERS)}
    return replace(
        plain,
        nodes=tuple(_with_database(node) if node.name == openstack.CONTROLLER else node for node in plain.nodes),
        relays={**plain.relays, **workers},
        environment={**plain.environment, **{f"WORKER_{n}": f"{{worker{n}}}" for n in range(WORKERS)}},
    )


def _with_database(controller: Node) -> Node:
    config = "/etc/neutron/neutron.conf"
    files = MappingProxyType(controller.files)
    text = "".join(f"connection = {URL}\n" if _is_connection(line) else line for line in _lines(files[config]))
    by_name = {service.name: service for service in controller.services}
    neutron = by_name.pop("neutron")
    database = Service(name="mariadb", command=("sh", "-c", _START), ready=Probe(file=SOCKET))
    migrate = Service(name="migrate", command=("sh", "-c", _MIGRATE), after=("controller/mariadb",), quick=True)
    return replace(
        controller,
        files={**files, config: text, "/var/lib/database/.keep": ""},
        services=(*by_name.values(), database, migrate, *(_worker(neutron, number) for number in range(WORKERS))),
    )


def _worker(neutron: Service, number: int) -> Service:
    """The first keeps its name, for that is what the lab's user knows it by."""
    port = FIRST_PORT + number
    assert neutron.command[-2:] == ("--port", str(FIRST_PORT))
    assert neutron.ready is not None
    return replace(
        neutron,
        name=f"neutron-{number}" if number else "neutron",
        command=(*neutron.command[:-1], str(port)),
        after=(*neutron.after, "controller/migrate"),
        ready=replace(neutron.ready, port=port),
    )


def _is_connection(line: str) -> bool:
    return line.startswith("connection = ")


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def log(lab: Lab) -> str:
    """Return what all workers logged."""
    names = ["neutron", *(f"neutron-{number}" for number in range(1, WORKERS))]
    return "".join(path.read_text() for name in names for path in map(Path, lab.log_files("controller", name)))
