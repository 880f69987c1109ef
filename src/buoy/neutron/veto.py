# SPDX-License-Identifier: Apache-2.0
"""Refusals that no hook of Neutron's offers: checked on the rows themselves, before they are written.

Promises: a tag that would be a direction but is none, two directions on one
resource, a direction that forwarded ports contradict, and a port forwarding that
is too wide for one document or leads to a port of another driver are refused
with 400 or 409 naming field, value and remedy, and nothing of the request is kept.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.db.models.l3 import FloatingIP
from neutron.db.models.port_forwarding import PortForwarding
from neutron.db.models.tag import Tag
from neutron_lib import exceptions
from sqlalchemy import orm

from buoy.model.pool import Direction
from buoy.neutron import affected, association, claims
from buoy.neutron.translate import DIRECTION_TAG

FAN_IN = 1024
"""External ports that may lead to one internal port: each is an element of its own on the node."""

_DIRECTIONS = ", ".join(DIRECTION_TAG + one.value for one in Direction)
_EGRESS = DIRECTION_TAG + Direction.EGRESS.value
_CLAIM = "service-ips/"
_tag = Tag.__table__
_fip = FloatingIP.__table__


class WrongDirection(exceptions.BadRequest):
    """400: the tag begins like a direction."""

    message = "tags: '%(tag)s' is not a direction: use one of %(known)s"


class TwoDirections(exceptions.Conflict):
    """409: nobody could say which of the two holds."""

    message = "tags: %(tags)s contradict each other: remove one, for example with --no-tag before --tag"


class OnlyOut(exceptions.Conflict):
    """409: forwarded ports are connections to a floating IP that is to serve none."""

    message = (
        "tags: '%(tag)s' of floating IP %(address)s or of its pool contradicts forwarded ports, which only receive: "
        "tag this floating IP with another direction, or forward no ports of it"
    )


class TooWide(exceptions.BadRequest):
    """400: one internal port behind very many external ones."""

    message = "external_port_range: %(first)s:%(last)s leads %(count)s ports to one: give at most %(most)s"


def check(session: orm.Session) -> None:
    """Look at the rows about to be flushed."""
    for row in (*session.new, *session.dirty):
        if isinstance(row, Tag):
            _check_tag(row.tag)
        elif isinstance(row, PortForwarding):
            _check_forwarding(session, row)


def check_tags(connection: sa.Connection, ids: Collection[str]) -> None:
    """Look at the directions of resources that got or lost a tag with one; `ids` are standard attributes."""
    found: dict[int, list[str]] = defaultdict(list)
    for chunk in affected.chunks(ids):
        where = (_tag.c.standard_attr_id.in_(chunk), _tag.c.tag.startswith(DIRECTION_TAG, autoescape=True))
        for row in connection.execute(sa.select(_tag).where(*where)):
            found[row.standard_attr_id].append(row.tag)
    for tags in found.values():
        if len(tags) > 1:
            raise TwoDirections(tags=", ".join(sorted(tags)))
    _check_directions(connection, _forwarded(connection, affected.paths(connection, {"tag": ids})))


def _forwarded(connection: sa.Connection, paths: Collection[str]) -> list[str]:
    """Return the ids of floating IPs among these paths that have forwarded ports."""
    forwarded = sa.select(PortForwarding.__table__.c.floatingip_id)
    return [
        one
        for chunk in affected.chunks(path.removeprefix(_CLAIM) for path in paths if path.startswith(_CLAIM))
        for one in connection.execute(
            sa.select(_fip.c.id).where(_fip.c.floating_ip_address.in_(chunk), _fip.c.id.in_(forwarded))
        ).scalars()
    ]


def _check_directions(connection: sa.Connection, ids: Collection[str]) -> None:
    for fip in claims.read_floating_ips(connection, ids):
        if _direction_tag(fip) == _EGRESS:
            raise OnlyOut(tag=_EGRESS, address=fip["floating_ip_address"])


def _direction_tag(fip: Mapping[str, Any]) -> str:
    """Return the tag that holds, "" if none does; one that is older than Buoy may be no direction at all."""
    tags = (*sorted(fip["tags"]), *sorted(fip["subnet_tags"]), *sorted(fip["network_tags"]))
    return next((tag for tag in tags if tag.startswith(DIRECTION_TAG)), "")


def _check_tag(tag: str) -> None:
    if tag.startswith(DIRECTION_TAG) and tag.removeprefix(DIRECTION_TAG) not in set(Direction):
        raise WrongDirection(tag=tag, known=_DIRECTIONS)


def _check_forwarding(session: orm.Session, row: PortForwarding) -> None:
    # who changes another field did not choose the port, which may have been bound elsewhere since
    if sa.inspect(row).attrs.internal_neutron_port_id.history.has_changes():
        association.check_port(session.connection(), row.internal_neutron_port_id, "internal_port_id")
    if row in session.new:
        _check_directions(session.connection(), [row.floatingip_id])
    # a range stands in the row as the text it was given, until it has been flushed
    outside = int(row.external_port_end) - int(row.external_port_start)
    inside = int(row.internal_port_end) - int(row.internal_port_start)
    if outside != inside and outside >= FAN_IN:
        raise TooWide(first=row.external_port_start, last=row.external_port_end, count=outside + 1, most=FAN_IN)
