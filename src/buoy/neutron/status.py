"""Write what nodes report into Neutron: port status, floating IP status, agents.

Promises: writes only what differs, so any number of API workers may do it at
once; a floating IP that was associated anew while a report was on its way is
not set ACTIVE by it. Reasons stay in the store and the log: Neutron has no
field for them, and a description belongs to its user.
"""

from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from neutron.db import provisioning_blocks
from neutron.db.models.agent import Agent
from neutron.db.models.l3 import FloatingIP
from neutron.db.models_v2 import Port
from neutron.objects.agent import Agent as AgentObject
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
from buoy.neutron import sqlite

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
_fip = FloatingIP.__table__


def write_ports(states: Mapping[tuple[str, str], State]) -> None:
    """Write the states of ports, by node and port id."""
    shown = _shown_ports({port for _, port in states})
    for (node, port), state in states.items():
        if shown.get(port) is not None and shown[port] != _port_status(state):
            _write_port(node, port, state)


def _shown_ports(ids: Iterable[str]) -> dict[str, str]:
    admin = neutron_context.get_admin_context()
    with sqlite.reading(), db_api.CONTEXT_READER.using(admin):
        query = sa.select(_port.c.id, _port.c.status).where(_port.c.id.in_(list(ids)))
        return {row.id: row.status for row in admin.session.connection().execute(query)}


def _port_status(state: State) -> str:
    return {
        State.ACTIVE: str(constants.PORT_STATUS_ACTIVE),
        State.DOWN: str(constants.PORT_STATUS_DOWN),
        State.ERROR: str(constants.PORT_STATUS_ERROR),
    }[state]


def _write_port(node: str, port: str, state: State) -> None:
    """Through ML2, which ignores a host that is not the port's and tells Nova."""
    admin = neutron_context.get_admin_context()
    LOG.info("port %s is %s on %s", port, state, node)
    if state is State.ACTIVE:
        provisioning_blocks.provisioning_complete(admin, port, resources.PORT, provisioning_blocks.L2_AGENT_ENTITY)
    else:
        directory.get_plugin().update_port_status(admin, port, _port_status(state), host=node)


@db_api.retry_db_errors
def write_floating_ips(states: Iterable[tuple[ServiceIP, State]]) -> None:
    """Write the states of floating IPs where the database still says what the claim says."""
    by_id = {claim.id: (claim, state) for claim, state in states}
    admin = neutron_context.get_admin_context()
    with sqlite.reading(), db_api.CONTEXT_READER.using(admin):
        query = sa.select(_fip.c.id, _fip.c.status).where(_fip.c.id.in_(list(by_id)))
        shown = {row.id: row.status for row in admin.session.connection().execute(query)}
    for one, status in shown.items():
        claim, state = by_id[one]
        if status != _FLOATING[state]:
            _write_floating_ip(claim, state)


def _write_floating_ip(claim: ServiceIP, state: State) -> None:
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
        "configurations": {
            "version": node.version,
            "addresses": list(node.addresses),
            "workloads": node.workloads,
            "service_ips": node.service_ips,
            "sessions": {session.name: session.state for session in node.sessions},
            "held": node.held,
        },
    }
    admin = neutron_context.get_admin_context()
    directory.get_plugin().create_or_update_agent(admin, state, timeutils.utcnow())


@db_api.retry_db_errors
def bury_agent(host: str) -> None:
    """Show an agent dead as soon as its lease ended, instead of after `agent_down_time`."""
    admin = neutron_context.get_admin_context()
    past = timeutils.utcnow() - timeutils.datetime.timedelta(seconds=cfg.CONF.agent_down_time + 1)
    with db_api.CONTEXT_WRITER.using(admin):
        AgentObject.update_objects(admin, {Agent.heartbeat_timestamp.key: past}, agent_type=AGENT_TYPE, host=host)
    LOG.warning("buoy agent on %s is gone: its lease ended", host)
