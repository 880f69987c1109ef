# SPDX-License-Identifier: Apache-2.0
"""The L3 service plugin `buoy`: routers and floating IPs under plain ML2, without any L3 agent.

Promises: a floating IP is DOWN until a node has reported it, and an association
that no node could serve is refused with the reason. Routers connect a subnet
with an external network, nothing else: what they cannot do here is refused.

The order of the parents matters: `L3NotifierMixin` before the `*_dbonly` ones,
or their `add_router_interface` hides its notifications.
"""

from typing import Any

from neutron.api.rpc.agentnotifiers import utils as notifiers
from neutron.db import dns_db, l3_db, l3_fip_pools_db, l3_fip_port_details, l3_gwmode_db
from neutron.db.models import l3 as l3_models
from neutron.quota import resource_registry
from neutron.services.portforwarding.pf_plugin import PortForwardingPlugin
from neutron_lib import constants
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins import constants as plugin_constants
from neutron_lib.plugins import directory
from neutron_lib.services import base
from oslo_config import cfg

from buoy.model.errors import InvalidInput
from buoy.neutron import association
from buoy.neutron.admission import Refused

ALIASES = ["router", "ext-gw-mode", "fip-port-details", "floatingip-pools"]


@registry.has_registry_receivers
class BuoyL3Plugin(
    base.ServicePluginBase,
    l3_db.L3NotifierMixin,
    l3_gwmode_db.L3_NAT_dbonly_mixin,
    dns_db.DNSDbMixin,
    l3_fip_port_details.Fip_port_details_db_mixin,
    l3_fip_pools_db.FloatingIPPoolsMixin,
):
    """What Neutron calls; see `neutron.services.ovn_l3.plugin` for its own plugin of this kind."""

    supported_extension_aliases = ALIASES

    @resource_registry.tracked_resources(router=l3_models.Router, floatingip=l3_models.FloatingIP)
    def __init__(self) -> None:
        # an operator who asks for it is told no at each gateway; one who says nothing gets what works
        cfg.CONF.set_default("enable_snat_by_default", False)
        _be_the_only_router()
        super().__init__()
        self._notifier = notifiers.RPCNotifierHandler()

    @classmethod
    def get_plugin_type(cls) -> str:
        """Name the service."""
        return str(plugin_constants.L3)

    def get_plugin_description(self) -> str:
        """Describe the service."""
        return "Routers and floating IPs on the guests' own nodes (Buoy)"

    @property
    def l3_rpc_notifier(self) -> Any:
        """A notifier that has nobody to notify."""
        return self._notifier

    def create_router(self, context: Any, router: Any) -> Any:
        """Create a router that is enabled."""
        _check_router(router["router"])
        return super().create_router(context, router)

    def update_router(self, context: Any, id: str, router: Any) -> Any:  # noqa: A002
        """Update a router; it stays enabled."""
        _check_router(router["router"])
        return super().update_router(context, id, router)

    def create_floatingip(self, context: Any, floatingip: Any, initial_status: str = "") -> Any:
        """Create a floating IP, DOWN until it is observed to work."""
        association.check_request(floatingip["floatingip"])
        return super().create_floatingip(context, floatingip, initial_status or constants.FLOATINGIP_STATUS_DOWN)

    def update_router_gw_ports(self, context: Any, network: Any, subnet: Any) -> None:
        """Give routers an address of a subnet that was added to their external network."""
        l3_db.L3_NAT_db_mixin.update_router_gw_ports(self, context, network, subnet)

    def _internal_fip_assoc_data(self, context: Any, fip: Any, project_id: str) -> Any:
        found = super()._internal_fip_assoc_data(context, fip, project_id)
        association.check_port(context.session.connection(), found[0]["id"])
        return found

    @registry.receives(resources.FLOATING_IP, [events.PRECOMMIT_UPDATE])
    def _association_changed(self, resource: str, event: str, trigger: object, payload: Any) -> None:
        association.take_down(payload.context, payload.states[0], payload.desired_state)

    @registry.receives(resources.ROUTER_INTERFACE, [events.AFTER_CREATE])
    def _interface_added(self, resource: str, event: str, trigger: object, payload: Any) -> None:
        _raise_port(payload.context, payload.metadata["port"]["id"])

    @registry.receives(resources.ROUTER_GATEWAY, [events.AFTER_CREATE])
    def _gateway_set(self, resource: str, event: str, trigger: object, payload: Any) -> None:
        router = payload.latest_state
        port = router["gw_port_id"] if isinstance(router, dict) else getattr(router, "gw_port_id", None)
        if port:
            _raise_port(payload.context, port)


def _be_the_only_router() -> None:
    """Keep Neutron from loading its own router service beside this one, which its port forwarding asks for."""
    if directory.get_plugin(plugin_constants.L3) is not None:
        raise InvalidInput(
            "service_plugins",
            ",".join(cfg.CONF.service_plugins),
            "list buoy before port_forwarding, and no other router service",
        )
    PortForwardingPlugin.required_service_plugins = []
    PortForwardingPlugin._rpc_notifications_required = False  # noqa: SLF001


def _raise_port(context: Any, port: str) -> None:
    """Router ports have no host, so nobody would ever report them, and clients wait for ACTIVE."""
    directory.get_plugin().update_port_status(context.elevated(), port, constants.PORT_STATUS_ACTIVE)


def _check_router(router: Any) -> None:
    if router.get("admin_state_up") is False:
        raise Refused(
            field="admin_state_up",
            value=False,
            remedy="there is no router process to stop; unset its gateway or disassociate the floating IPs",
        )
    gateway = router.get("external_gateway_info")
    if gateway and gateway.get("enable_snat", cfg.CONF.enable_snat_by_default):
        raise Refused(
            field="external_gateway_info.enable_snat",
            value=True,
            remedy="guests without a floating IP leave with their own address; "
            "use --disable-snat and enable_snat_by_default = False in neutron.conf",
        )
