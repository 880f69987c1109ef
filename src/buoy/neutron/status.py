# SPDX-License-Identifier: Apache-2.0
"""Write what nodes report into Neutron: port status, floating IP status, agents.

Promises: writes only what differs, one thing in one call, so any number of API
workers may do it at once and one refusal concerns nothing else. A port bound or
a floating IP associated anew while a report was on its way is not set ACTIVE by
it. Reasons stay in the store and the log: Neutron has no field for them, and a
description belongs to its user.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeAlias

import sqlalchemy as sa
from neutron.db import provisioning_blocks
from neutron.db.models.agent import Agent
from neutron.db.models.l3 import FloatingIP
from neutron.db.models_v2 import Port
from neutron.objects.agent import Agent as AgentObject
from neutron.plugins.ml2.models import PortBinding
from neutron_lib import constants
from neutron_lib import context as neutron_context
from neutron_lib.callbacks import resources
from neutron_lib.db import api as db_api
from neutron_lib.plugins import constants as plugin_constants
from neutron_lib.plugins import directory
from oslo_config import cfg
from oslo_log import log
from oslo_utils import timeutils

from buoy.model.node import Node
from buoy.model.service_ip import ServiceIP
from buoy.model.status import State
from buoy.neutron.affected import chunks
from buoy.neutron.connection import reading, writing
from buoy.neutron.rows import read_bindings

LOG = log.getLogger(__name__)

AGENT_TYPE = "Buoy agent"
AGENT_BINARY = "buoy-agent"
AGENT_TOPIC = "N/A"

_FLOATING = {
    State.ACTIVE: constants.FLOATINGIP_STATUS_ACTIVE,
    State.DOWN: constants.FLOATINGIP_STATUS_DOWN,
    State.ERROR: constants.FLOATINGIP_STATUS_ERROR,
}
_port = Port.__table__
_binding = PortBinding.__table__
_fip = FloatingIP.__table__
_agent = Agent.__table__

PortStates: TypeAlias = Mapping[tuple[str, str], State]
"""By node and port id."""


@db_api.retry_db_errors
def unlike_ports(states: PortStates) -> dict[tuple[str, str], State]:
    """Return those of the states that Neutron does not show, of ports that are still bound to the node."""
    query = sa.select(_port.c.id, _port.c.status, _binding.c.host).join(
        _binding, sa.and_(_binding.c.port_id == _port.c.id, _binding.c.status == constants.ACTIVE)
    )
    found = _rows(query, _port.c.id, {port for _, port in states})
    shown = {(row.host, row.id): row.status for row in found}
    return {key: state for key, state in states.items() if key in shown and shown[key] != _port_status(state)}


def _rows(query: sa.Select[Any], column: Any, ids: Iterable[str]) -> list[Any]:
    with reading() as connection:
        return [row for chunk in chunks(ids) for row in connection.execute(query.where(column.in_(chunk)))]


def _port_status(state: State) -> str:
    return {
        State.ACTIVE: str(constants.PORT_STATUS_ACTIVE),
        State.DOWN: str(constants.PORT_STATUS_DOWN),
        State.ERROR: str(constants.PORT_STATUS_ERROR),
    }[state]


def write_port(node: str, port: str, state: State) -> None:
    """Show a port's state through ML2, which tells Nova, if the port is still bound to the node.

    Raises what Neutron, its drivers or its database raise.
    """
    # asked anew for each: many are written one after the other, and a port may move meanwhile
    if _host(port) != node:
        return
    admin = neutron_context.get_admin_context()
    LOG.info("port %s is %s on %s", port, state, node)
    if state is State.ACTIVE:
        provisioning_blocks.provisioning_complete(admin, port, resources.PORT, provisioning_blocks.L2_AGENT_ENTITY)
    else:
        directory.get_plugin().update_port_status(admin, port, _port_status(state), host=node)


@db_api.retry_db_errors
def _host(port: str) -> str:
    with reading() as connection:
        return str(read_bindings(connection, [port]).get(port, {}).get("host", ""))


@db_api.retry_db_errors
def unlike_floating_ips(states: Iterable[tuple[ServiceIP, State]]) -> list[tuple[ServiceIP, State]]:
    """Return those of the states that Neutron does not show."""
    by_id = {claim.id: (claim, state) for claim, state in states}
    found = _rows(sa.select(_fip.c.id, _fip.c.status), _fip.c.id, by_id)
    return [by_id[row.id] for row in found if row.status != _FLOATING[by_id[row.id][1]]]


@db_api.retry_db_errors
def write_floating_ip(claim: ServiceIP, state: State) -> None:
    """Show a floating IP's state, if the database still says what the claim says."""
    admin = neutron_context.get_admin_context()
    with db_api.CONTEXT_WRITER.using(admin):
        query = sa.select(_fip.c.fixed_port_id, _fip.c.fixed_ip_address).where(_fip.c.id == claim.id)
        row = admin.session.connection().execute(query).first()
        if row is None or _led(claim) != (row.fixed_port_id, row.fixed_ip_address):
            return
        directory.get_plugin(plugin_constants.L3).update_floatingip_status(admin, claim.id, _FLOATING[state])
    LOG.info("floating IP %s (%s) is %s", claim.address, claim.id, state)


def _led(claim: ServiceIP) -> tuple[str | None, str | None]:
    """Where a claim leads as a whole: a mapped one leads nowhere as a whole."""
    for endpoint in claim.endpoints:
        if endpoint.mapping is None:
            return endpoint.workload, endpoint.target
    return None, None


def write_agent(node: Node) -> None:
    """Show a living agent, as `openstack network agent list` does."""
    state = {
        "agent_type": AGENT_TYPE,
        "binary": AGENT_BINARY,
        "host": node.name,
        "topic": AGENT_TOPIC,
        "configurations": configuration(node),
    }
    admin = neutron_context.get_admin_context()
    directory.get_plugin().create_or_update_agent(admin, state, timeutils.utcnow())


def configuration(node: Node) -> dict[str, Any]:
    """Return what `openstack network agent show` shows of a node."""
    return {
        "version": node.version,
        "addresses": list(node.addresses),
        "workloads": node.workloads,
        "service_ips": node.service_ips,
        "sessions": {session.name: session.state for session in node.sessions},
        "held": node.held,
    }


@db_api.retry_db_errors
def touch_agents(hosts: Collection[str]) -> set[str]:
    """Show agents alive that are shown already, some hundred in one statement; return the hosts of those that are."""
    known: set[str] = set()
    with writing() as connection:
        for chunk in chunks(hosts):
            ours = (_agent.c.agent_type == AGENT_TYPE, _agent.c.host.in_(chunk))
            known.update(connection.execute(sa.select(_agent.c.host).where(*ours)).scalars())
            connection.execute(sa.update(_agent).where(*ours).values(heartbeat_timestamp=timeutils.utcnow()))
    return known


@db_api.retry_db_errors
def bury_agent(host: str) -> None:
    """Show an agent dead as soon as its lease ended, instead of after `agent_down_time`."""
    admin = neutron_context.get_admin_context()
    past = timeutils.utcnow() - timeutils.datetime.timedelta(seconds=cfg.CONF.agent_down_time + 1)
    with db_api.CONTEXT_WRITER.using(admin):
        AgentObject.update_objects(admin, {Agent.heartbeat_timestamp.key: past}, agent_type=AGENT_TYPE, host=host)
    LOG.warning("buoy agent on %s is gone: its lease ended", host)
