# SPDX-License-Identifier: Apache-2.0
"""When the worker is woken: at once, after the answer, or not at all, and then with the commit that follows."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from neutron.db.models_v2 import Port
from neutron.plugins.ml2.models import PortBinding
from neutron_lib.db.standard_attr import StandardAttribute
from sqlalchemy import orm

from buoy.neutron import database, outbox
from buoy.neutron.models import Dirty
from buoy.neutron.outbox import AFTER_ANSWER

_woken: list[float] = []


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """An empty database of Neutron's; sessions of this process are listened to from now on."""
    url = f"sqlite:///{tmp_path_factory.mktemp('database') / Path('neutron.sqlite')}"
    database.prepare(url)
    outbox.install(_woken.append)
    made = sa.create_engine(url)
    yield made
    made.dispose()


@pytest.fixture
def session(engine: sa.Engine) -> Iterator[orm.Session]:
    _woken.clear()
    with orm.Session(engine) as made:
        yield made


def port(name: str) -> Port:
    attribute = StandardAttribute(resource_type="ports")
    return Port(
        id=name, network_id="net", mac_address=name, admin_state_up=True, status="DOWN", device_id="", device_owner="",
        standard_attr=attribute,
    )  # fmt: skip


def binding(name: str, host: str) -> PortBinding:
    return PortBinding(port_id=name, host=host, vif_type="unbound", vnic_type="normal", profile="", vif_details="")


def rows(session: orm.Session) -> set[str]:
    """Return what the outbox names."""
    return set(session.execute(sa.select(Dirty.path)).scalars())


def test_a_port_without_a_host_is_taken_after_the_answer(session: orm.Session) -> None:
    session.add_all([port("a"), binding("a", "")])
    session.commit()
    assert ([AFTER_ANSWER], True) == (_woken, "?port/a" in rows(session))


def test_a_new_port_leaves_itself_for_nothing_depended_on_it(session: orm.Session) -> None:
    before = rows(session)
    session.add_all([binding("n", "compute-1"), port("n")])
    session.commit()
    assert {"?port/n"} == rows(session) - before


def test_a_port_that_is_there_leaves_what_depended_on_it_too(session: orm.Session) -> None:
    moved = binding("m", "compute-1")
    session.add_all([port("m"), moved])
    session.commit()
    before = rows(session)
    moved.host = "compute-2"
    session.commit()
    assert {"workloads/compute-1/m"} == rows(session) - before


def test_a_port_about_to_be_bound_is_taken_with_its_binding(session: orm.Session) -> None:
    bound = binding("b", "compute-1")
    session.add_all([port("b"), bound])
    session.commit()
    assert ([], True) == (_woken, "?port/b" in rows(session))
    bound.vif_type = "tap"
    session.commit()
    assert [AFTER_ANSWER] == _woken


def test_a_binding_that_failed_is_taken_too(session: orm.Session) -> None:
    bound = binding("c", "compute-1")
    session.add_all([port("c"), bound])
    session.commit()
    bound.vif_type = "binding_failed"
    session.commit()
    assert [AFTER_ANSWER] == _woken


def test_a_port_that_is_there_is_taken_at_once_when_it_changes_or_goes(session: orm.Session) -> None:
    made, bound = port("d"), binding("d", "compute-1")
    session.add_all([made, bound])
    session.commit()
    bound.vif_type = "tap"
    session.commit()
    _woken.clear()
    made.name = "renamed"
    session.commit()
    assert [0.0] == _woken
    session.delete(bound)
    session.delete(made)
    session.commit()
    assert [0.0, 0.0] == _woken


def test_what_is_changed_beside_a_new_port_is_taken_at_once(session: orm.Session) -> None:
    old = port("e")
    session.add(old)
    session.commit()
    _woken.clear()
    old.name = "renamed"
    session.add_all([port("f"), binding("f", "")])
    session.commit()
    assert [0.0] == _woken


def test_what_was_undone_wakes_nobody(session: orm.Session) -> None:
    session.add(port("g"))
    session.flush()
    session.rollback()
    assert ([], False) == (_woken, "?port/g" in rows(session))
