# SPDX-License-Identifier: Apache-2.0
"""What is refused at Neutron's door, with 400 or 409 and a sentence that names field, value and remedy.

Promises: nothing here changes anything; a request is refused inside its own
transaction, before any of it is kept.
"""

import ipaddress
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from neutron.db.models.external_net import ExternalNetwork
from neutron.db.models.segment import NetworkSegment
from neutron.db.models_v2 import Network, Subnet
from neutron_lib import context as neutron_context
from neutron_lib import exceptions
from neutron_lib.api.definitions import portbindings
from neutron_lib.db import api as db_api

from buoy.model.errors import InvalidInput
from buoy.model.workload import DhcpOption
from buoy.neutron import sqlite
from buoy.neutron.models import SUBNETS, Turn
from buoy.render.dhcp_options import encode_option

_subnet = Subnet.__table__


class Overlap(exceptions.Conflict):
    """409: two subnets of carried networks share addresses."""

    message = (
        "cidr: %(cidr)s overlaps %(other)s of subnet %(subnet)s in network %(network)s: "
        "networks carried by Buoy share one routed space; choose another prefix"
    )


class Refused(exceptions.BadRequest):
    """400: field, value and remedy."""

    message = "%(field)s: '%(value)s' is refused: %(remedy)s"


class Impossible(exceptions.Conflict):
    """409: right in itself, but not with this resource as it is."""

    message = "%(field)s: '%(value)s' is refused: %(remedy)s"


def check_subnet(subnet: Mapping[str, Any], context: Any, carried: Collection[str]) -> None:
    """Raise `Overlap` if a subnet of a carried, not external network overlaps another such one."""
    new = ipaddress.ip_network(subnet["cidr"], strict=False)
    if subnet["network_id"] not in _carried_networks(context, carried):
        return
    for other in _others(context, carried):
        old = ipaddress.ip_network(other.cidr, strict=False)
        if other.id != subnet["id"] and old.version == new.version and old.overlaps(new):
            raise Overlap(cidr=new, other=old, subnet=other.id, network=other.network_name or other.network_id)


def check_network(network: str, context: Any, carried: Collection[str]) -> None:
    """Raise `Overlap` if a subnet of a network that has just become an internal one overlaps another one's."""
    context.session.flush()
    query = sa.select(_subnet.c.id, _subnet.c.cidr, _subnet.c.network_id).where(_subnet.c.network_id == network)
    for row in context.session.connection().execute(query).all():
        check_subnet(row._mapping, context, carried)  # noqa: SLF001


def _others(context: Any, carried: Collection[str]) -> list[Any]:
    """Return those of this transaction, and those that others have committed by now.

    This one's snapshot may be older than the neighbour's commit, so one at a time looks again with a new one.
    """
    mine = context.session.connection().execute(_carried_subnets(carried)).all()
    turn = sa.select(Turn).where(Turn.name == SUBNETS).with_for_update()
    context.session.connection().execute(turn)
    other = neutron_context.get_admin_context()
    with sqlite.reading(), db_api.CONTEXT_READER.using(other):
        return [*mine, *other.session.connection().execute(_carried_subnets(carried)).all()]


def _carried_subnets(carried: Collection[str]) -> sa.Select[Any]:
    subnet, network, external = Subnet.__table__, Network.__table__, ExternalNetwork.__table__
    segment = NetworkSegment.__table__
    inside = sa.select(segment.c.network_id).where(segment.c.network_type.in_(carried))
    return (
        sa.select(subnet.c.id, subnet.c.cidr, subnet.c.network_id, network.c.name.label("network_name"))
        .join(network, network.c.id == subnet.c.network_id)
        .outerjoin(external, external.c.network_id == network.c.id)
        .where(subnet.c.network_id.in_(inside), external.c.network_id.is_(None))
    )


def _carried_networks(context: Any, carried: Collection[str]) -> set[str]:
    segment, external = NetworkSegment.__table__, ExternalNetwork.__table__
    query = (
        sa.select(segment.c.network_id)
        .outerjoin(external, external.c.network_id == segment.c.network_id)
        .where(segment.c.network_type.in_(carried), external.c.network_id.is_(None))
    )
    return set(context.session.connection().execute(query).scalars())


def check_port(port: Mapping[str, Any], before: Mapping[str, Any] = MappingProxyType({}), *, alone: bool) -> None:
    """Raise `Refused` for DHCP options no answer carries and, if Buoy is the only driver, for other vnic types.

    What the port already had `before` is left alone: it may be older than Buoy, and whoever now renames, binds or
    reports the port did not ask for it.
    """
    vnic = port.get(portbindings.VNIC_TYPE, portbindings.VNIC_NORMAL)
    if alone and vnic not in (portbindings.VNIC_NORMAL, before.get(portbindings.VNIC_TYPE)):
        raise Refused(field=portbindings.VNIC_TYPE, value=vnic, remedy="Buoy binds taps only; use --vnic-type normal")
    stood = before.get("extra_dhcp_opts") or ()
    for row in port.get("extra_dhcp_opts") or ():
        if row in stood:
            continue
        option = DhcpOption(name=row["opt_name"], value=row["opt_value"] or "", version=int(row["ip_version"]))
        try:
            encode_option(option)
        except InvalidInput as error:
            raise Refused(field=error.field, value=error.value, remedy=error.remedy) from error
