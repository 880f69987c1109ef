# SPDX-License-Identifier: Apache-2.0
"""The outbox: every change of Neutron's database notes, in its own transaction, which documents it touches.

Promises: a committed change has its rows in `buoy_dirty`, and a change that
was rolled back has none, whoever made it and by whatever call.

The tricky thing is where to listen. ML2's precommit hooks and the callback
registry miss tags, port forwardings, and what a deleted port takes along, some
events come late, and some inside a transaction that may still be undone. So
the listener sits where all of them must pass: at the flush and the commit of
the database session. At a subject's first flush it asks which documents depend
on it before; these go into the table, and the subject itself, whose documents
are asked for again by whoever takes the row. Asking at the commit would not do:
what another transaction has just committed is not seen in this one's snapshot.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa
from neutron.db.extra_dhcp_opt.models import ExtraDhcpOpt
from neutron.db.models import dns, l3, securitygroup, segment
from neutron.db.models.address_group import AddressAssociation, AddressGroup
from neutron.db.models.allowed_address_pair import AllowedAddressPair
from neutron.db.models.external_net import ExternalNetwork
from neutron.db.models.port_forwarding import PortForwarding
from neutron.db.models.tag import Tag
from neutron.db.models_v2 import DNSNameServer, IPAllocation, Network, Port, Subnet, SubnetRoute
from neutron.db.port_security.models import PortSecurityBinding
from neutron.plugins.ml2.models import PortBinding, PortBindingLevel
from neutron_lib.api.definitions import portbindings
from oslo_utils import timeutils
from sqlalchemy import orm

from buoy.neutron import affected, veto
from buoy.neutron.models import Dirty
from buoy.neutron.translate import DIRECTION_TAG

WATCHED: dict[type, tuple[str, str]] = {
    Port: ("port", "id"),
    PortBinding: ("port", "port_id"),
    PortBindingLevel: ("port", "port_id"),
    IPAllocation: ("port", "port_id"),
    AllowedAddressPair: ("port", "port_id"),
    PortSecurityBinding: ("port", "port_id"),
    ExtraDhcpOpt: ("port", "port_id"),
    dns.PortDNS: ("port", "port_id"),
    securitygroup.SecurityGroupPortBinding: ("port", "port_id"),
    l3.FloatingIP: ("fip", "id"),
    PortForwarding: ("fip", "floatingip_id"),
    l3.RouterPort: ("router", "router_id"),
    Subnet: ("subnet", "id"),
    DNSNameServer: ("subnet", "subnet_id"),
    SubnetRoute: ("subnet", "subnet_id"),
    Network: ("network", "id"),
    dns.NetworkDNSDomain: ("network", "network_id"),
    ExternalNetwork: ("network", "network_id"),
    segment.NetworkSegment: ("network", "network_id"),
    securitygroup.SecurityGroup: ("group", "id"),
    securitygroup.SecurityGroupRule: ("group", "security_group_id"),
    AddressGroup: ("address-group", "id"),
    AddressAssociation: ("address-group", "address_group_id"),
    Tag: ("tag", "standard_attr_id"),
}
"""Model → the kind of subject in `affected.py` and the column that holds its id."""

_UNTOLD = {Port: {"status"}, l3.FloatingIP: {"status"}, Network: {"status"}}
"""Columns that are in no document: what the agents report must not come back to them as a wish."""

AFTER_ANSWER = 0.05
"""Seconds after which the answer to a request that committed is on its way: no guest boots sooner."""

_NOTES = "buoy_notes"


class _Notes:
    """What one transaction has touched so far, and what depended on it before."""

    def __init__(self) -> None:
        self.subjects: dict[str, set[str]] = defaultdict(set)
        self.paths: set[str] = set()
        self.directed: set[str] = set()
        """Standard attributes that got or lost a tag with a direction: other tags contradict nothing."""
        self.written = False
        self.awaited: set[str] = set()
        """Ports that Neutron is about to bind: the same request commits once more."""
        self.young: set[str] = set()
        """Ports that were created or bound just now: their guests are still to boot."""

    @property
    def pause(self) -> float | None:
        """Seconds until somebody should look, None if another commit follows at once."""
        if any(ids for kind, ids in self.subjects.items() if kind != "port"):
            return 0.0
        if self.awaited:
            return None
        return AFTER_ANSWER if self.subjects["port"] <= self.young else 0.0


def install(woken: Callable[[float], None]) -> None:
    """Listen to every database session of the process. Call once.

    `woken` is called after a commit that left rows, with the seconds until these should be taken. It is not called
    after one that leaves a port to be bound: its rows are taken with those of the binding, or found when the worker
    looks by itself. Draining earlier would do work twice, and beside a request that still runs.
    """
    sa.event.listen(orm.Session, "before_flush", _before_flush)
    sa.event.listen(orm.Session, "after_flush", _after_flush)
    sa.event.listen(orm.Session, "do_orm_execute", _before_bulk)
    sa.event.listen(orm.Session, "before_commit", _before_commit)
    sa.event.listen(orm.Session, "after_soft_rollback", _after_rollback)

    def after_commit(session: orm.Session) -> None:
        if session.in_nested_transaction():
            return
        notes = session.info.pop(_NOTES, None)
        if notes is not None and notes.written and (pause := notes.pause) is not None:
            woken(pause)

    sa.event.listen(orm.Session, "after_commit", after_commit)


def insert(connection: sa.Connection, paths: Iterable[str]) -> None:
    """Add a row for each path."""
    now = timeutils.utcnow()
    rows = [{"path": path, "created_at": now} for path in sorted(paths)]
    if rows:
        connection.execute(sa.insert(Dirty.__table__), rows)


def _before_flush(session: orm.Session, context: object, instances: object) -> None:  # noqa: ARG001
    veto.check(session)
    for row in session.deleted:
        _touch_row(session, row)
    for row in session.dirty:
        if type(row) in WATCHED and _changed(row):
            _touch_row(session, row)
            _note_binding(session, row)


def _after_flush(session: orm.Session, context: object) -> None:  # noqa: ARG001
    """New rows have their ids only now; what they belong to has lost no document by them, and a new port had none."""
    for row in session.new:
        if isinstance(row, Port):
            notes = session.info.setdefault(_NOTES, _Notes())
            notes.subjects["port"].add(row.id)
            notes.young.add(row.id)
    for row in session.new:
        _touch_row(session, row)
        _note_binding(session, row)


def _changed(row: Any) -> bool:
    changed = set(sa.inspect(row).committed_state)
    if isinstance(row, Network) and "admin_state_up" in changed:
        return True
    return bool(changed - _UNTOLD.get(type(row), set()))


def _touch_row(session: orm.Session, row: Any) -> None:
    watched = WATCHED.get(type(row))
    if watched is None:
        return
    kind, column = watched
    subject = getattr(row, column)
    if subject is None:
        return
    _touch(session, kind, [subject])
    if isinstance(row, Tag) and row.tag.startswith(DIRECTION_TAG):
        session.info[_NOTES].directed.add(subject)
    if isinstance(row, Network) and "admin_state_up" in sa.inspect(row).committed_state:
        _touch(session, "network-ports", [subject])


def _note_binding(session: orm.Session, row: Any) -> None:
    if not isinstance(row, PortBinding):
        return
    notes = session.info.setdefault(_NOTES, _Notes())
    if row.host and row.vif_type == portbindings.VIF_TYPE_UNBOUND:
        notes.awaited.add(row.port_id)
        return
    notes.awaited.discard(row.port_id)
    if "vif_type" in sa.inspect(row).committed_state:
        notes.young.add(row.port_id)


def _touch(session: orm.Session, kind: str, ids: Iterable[Any]) -> None:
    notes = session.info.setdefault(_NOTES, _Notes())
    fresh = set(ids) - notes.subjects[kind]
    if fresh:
        notes.subjects[kind] |= fresh
        notes.paths |= affected.paths(session.connection(), {kind: fresh})


def _before_bulk(state: orm.ORMExecuteState) -> None:
    """`query.update()` and `query.delete()` pass no flush: find their rows before they run."""
    if not (state.is_update or state.is_delete) or state.bind_mapper is None:
        return
    watched = WATCHED.get(state.bind_mapper.class_)
    if watched is None:
        return
    kind, column = watched
    statement: Any = state.statement
    query = sa.select(state.bind_mapper.local_table.c[column])
    if statement.whereclause is not None:
        query = query.where(statement.whereclause)
    subjects = state.session.connection().execute(query).scalars().all()
    _touch(state.session, kind, subjects)
    if kind == "tag":
        state.session.info[_NOTES].directed.update(subjects)


def _before_commit(session: orm.Session) -> None:
    if session.in_nested_transaction():
        return
    session.flush()
    notes = session.info.get(_NOTES)
    if notes is None or not notes.subjects:
        return
    connection = session.connection()
    veto.check_tags(connection, notes.directed)
    insert(connection, notes.paths | affected.names(notes.subjects))
    notes.written = True


def _after_rollback(session: orm.Session, previous: orm.SessionTransaction) -> None:
    # what a savepoint undid may stay noted: the drainer finds nothing to write
    if previous.parent is None:
        session.info.pop(_NOTES, None)
