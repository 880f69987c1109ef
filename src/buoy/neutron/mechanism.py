# SPDX-License-Identifier: Apache-2.0
"""The ML2 mechanism driver `buoy`: binds ports to hosts that run an agent, and refuses what it cannot honour.

Promises: a port is bound only where a living agent is, and becomes ACTIVE only
when that agent has reported it. The driver writes no document: the outbox
(`outbox.py`) sees every change of the database, its own bindings included.
Results of `bind_port` may be thrown away, so it has no effect of its own.
"""

from typing import Any

from neutron.db import provisioning_blocks
from neutron.plugins.ml2.common import constants as ml2_constants
from neutron_lib import constants
from neutron_lib.api.definitions import external_net, portbindings
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins.ml2 import api
from oslo_config import cfg
from oslo_log import log

from buoy.model.ownership import NEUTRON_DEVICE_OWNER
from buoy.neutron import admission, options, outbox
from buoy.neutron.extensions import VETOED
from buoy.neutron.status import AGENT_TYPE
from buoy.neutron.translate import DRIVER, VIF_TYPE
from buoy.neutron.worker import Worker

LOG = log.getLogger(__name__)


DNS_DOMAIN = "cloud.internal."
"""What `dns_domain` is in neutron.conf unless an operator says otherwise."""

_VIF_DETAILS = {portbindings.CAP_PORT_FILTER: True, portbindings.VIF_DETAILS_CONNECTIVITY: portbindings.CONNECTIVITY_L3}


class BuoyMechanismDriver(api.MechanismDriver):
    """What ML2 calls; see `neutron_lib.plugins.ml2.api.MechanismDriver`."""

    def initialize(self) -> None:
        """Install the outbox in this process; the worker starts only where the API is served."""
        options.register(cfg.CONF)
        # with Neutron's own default the API takes a port's dns_name and forgets it
        cfg.CONF.set_default("dns_domain", DNS_DOMAIN)
        self._network_types = frozenset(cfg.CONF.buoy.network_types)
        self._alone = list(cfg.CONF.ml2.mechanism_drivers) == [DRIVER]
        self._worker = Worker(cfg.CONF)
        outbox.install(self._worker.wake)
        registry.subscribe(self._start, resources.PROCESS, events.AFTER_INIT)

    def _start(self, resource: str, event: str, trigger: object, payload: object = None) -> None:
        self._worker.start()

    @property
    def connectivity(self) -> str:
        """Layer 3 only: an address is reached by a route, wherever its port is."""
        return str(portbindings.CONNECTIVITY_L3)

    def supported_extensions(self, extensions: set[str]) -> set[str]:
        """Take away what would be accepted and ignored; `extensions.py` has the reasons."""
        return extensions - VETOED.keys()

    def create_subnet_precommit(self, context: Any) -> None:
        """Refuse a subnet that overlaps another one: in one routed space an address is one place."""
        admission.check_subnet(context.current, context.plugin_context, self._network_types)

    def update_network_precommit(self, context: Any) -> None:
        """As for subnets: a network that is no longer external brings all of its own into the routed space."""
        if context.original[external_net.EXTERNAL] and not context.current[external_net.EXTERNAL]:
            admission.check_network(context.current["id"], context.plugin_context, self._network_types)

    def create_port_precommit(self, context: Any) -> None:
        """Refuse what cannot be honoured; hold a bound port DOWN until its agent has reported it."""
        admission.check_port(context.current, alone=self._alone)
        self._block(context)

    def update_port_precommit(self, context: Any) -> None:
        """As for create, of what is new and no other driver serves; a port that moves waits for its new agent."""
        if not _is_bound_by_another(context):
            admission.check_port(context.current, context.original, alone=self._alone)
        if context.host != context.original_host:
            self._block(context)

    def _block(self, context: Any) -> None:
        port = context.current
        if not context.host or port["status"] == constants.PORT_STATUS_ACTIVE:
            return
        if port["device_owner"] in ml2_constants.NO_PBLOCKS_TYPES or not self._is_normal(port):
            return
        if context.host_agents(AGENT_TYPE):
            provisioning_blocks.add_provisioning_component(
                context.plugin_context, port["id"], resources.PORT, provisioning_blocks.L2_AGENT_ENTITY
            )

    def bind_port(self, context: Any) -> None:
        """Bind to the first segment of a type we carry, if the host has a living agent."""
        reason = self._refusal(context)
        if reason:
            LOG.warning("port %s is not bound to %s: %s", context.current["id"], context.host, reason)
            return
        for segment in context.segments_to_bind:
            if segment[api.NETWORK_TYPE] in self._network_types:
                context.set_binding(segment[api.ID], VIF_TYPE, _VIF_DETAILS)
                return
        types = ", ".join(sorted(self._network_types))
        LOG.info("port %s: no segment of its network has a type that Buoy carries (%s)", context.current["id"], types)

    def _refusal(self, context: Any) -> str:
        if context.current["device_owner"] == NEUTRON_DEVICE_OWNER:
            return "it keeps an address for a Kubernetes cluster, where packets for it go; unset its host"
        if not self._is_normal(context.current):
            vnic = context.current[portbindings.VNIC_TYPE]
            return f"binding:vnic_type {vnic} is not a tap; use --vnic-type normal"
        agents = context.host_agents(AGENT_TYPE)
        if not agents:
            return "no buoy agent was ever heard of there; start it: systemctl start buoy-agent"
        if not any(agent["alive"] for agent in agents):
            return "its buoy agent is dead; on that host: systemctl status buoy-agent"
        if not any(agent["admin_state_up"] for agent in agents):
            return "its buoy agent is disabled; openstack network agent set --enable"
        return ""

    @staticmethod
    def _is_normal(port: Any) -> bool:
        return bool(port.get(portbindings.VNIC_TYPE, portbindings.VNIC_NORMAL) == portbindings.VNIC_NORMAL)


def _is_bound_by_another(context: Any) -> bool:
    levels = context.binding_levels
    return bool(levels) and levels[-1][api.BOUND_DRIVER] != DRIVER
