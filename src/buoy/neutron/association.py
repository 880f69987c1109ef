# SPDX-License-Identifier: Apache-2.0
"""Whether a floating IP may lead to a port, and its status when that changes.

Promises: a port that another driver bound is refused, naming driver and host;
after a change the floating IP is DOWN until a node has reported the new state.
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from neutron.db.models.l3 import FloatingIP
from neutron_lib import constants

from buoy.neutron.admission import Impossible, Refused
from buoy.neutron.rows import read_bindings
from buoy.neutron.translate import DRIVER

_fip = FloatingIP.__table__


def check_request(floating_ip: Mapping[str, Any]) -> None:
    """Raise `Refused` for attributes nobody would honour."""
    for field in ("dns_name", "dns_domain"):
        if floating_ip.get(field):
            raise Refused(field=field, value=floating_ip[field], remedy="no DNS server is told names of floating IPs")


def check_port(connection: sa.Connection, port: str, field: str = "port_id") -> None:
    """Raise `Impossible` if the port is bound by a driver that takes no floating IP from Buoy."""
    binding = read_bindings(connection, [port]).get(port)
    if binding is None or binding["driver"] in ("", DRIVER):
        return
    raise Impossible(
        field=field,
        value=port,
        remedy=f"it is bound by driver '{binding['driver']}' on host '{binding['host']}', "
        "where Buoy translates nothing; bind the port to a host that runs buoy agent",
    )


def take_down(context: Any, before: Mapping[str, Any], after: Any) -> None:
    """Set a floating IP DOWN in the caller's transaction if it now leads elsewhere or nowhere."""
    same_port = before["port_id"] == after["fixed_port_id"]
    if same_port and str(before["fixed_ip_address"]) == str(after["fixed_ip_address"]):
        return
    change = sa.update(FloatingIP).where(FloatingIP.id == before["id"]).values(status=constants.FLOATINGIP_STATUS_DOWN)
    context.session.execute(change, execution_options={"synchronize_session": "fetch"})
