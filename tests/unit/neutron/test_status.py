# SPDX-License-Identifier: Apache-2.0
"""What is written of a port, against Neutron's own tables in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from neutron.db import provisioning_blocks
from neutron.db.migration.models import head  # noqa: F401  the models refer to each other by name
from neutron.db.models_v2 import Port
from neutron.plugins.ml2.models import PortBinding, PortBindingLevel
from neutron_lib.plugins import directory

from buoy.model.status import State
from buoy.neutron import status

TABLES = [model.__table__ for model in (Port, PortBinding, PortBindingLevel)]


class Neutron:
    """One port `p`, bound to a host and perhaps for a migration to another; it remembers what it was told of it."""

    def __init__(self, engine: sa.Engine) -> None:
        self.told: list[str] = []
        self._engine = engine
        with engine.begin() as connection:
            Port.metadata.create_all(connection, TABLES)
            connection.execute(
                sa.insert(Port.__table__).values(
                    id="p", network_id="n", mac_address="m", admin_state_up=True, status="DOWN", device_id="",
                    device_owner="", standard_attr_id=1,
                )
            )  # fmt: skip

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        with self._engine.begin() as connection:
            yield connection

    def bind(self, host: str, state: str = "ACTIVE") -> None:
        row = {"port_id": "p", "host": host, "status": state, "vif_type": "tap", "vnic_type": "normal"}
        with self._engine.begin() as connection:
            connection.execute(sa.insert(PortBinding.__table__).values(row | {"profile": "", "vif_details": ""}))

    def provisioned(self, _: object, port: str, *__: object) -> None:
        self.told.append(f"{port} ACTIVE")

    def update_port_status(self, _: object, port: str, state: str, host: str) -> None:
        self.told.append(f"{port} {state} on {host}")


@pytest.fixture
def neutron(monkeypatch: pytest.MonkeyPatch) -> Iterator[Neutron]:
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    made = Neutron(engine)
    monkeypatch.setattr(status, "reading", made.reading)
    monkeypatch.setattr(provisioning_blocks, "provisioning_complete", made.provisioned)
    monkeypatch.setattr(directory, "get_plugin", lambda: made)
    monkeypatch.setattr(status, "neutron_context", SimpleNamespace(get_admin_context=lambda: None))
    yield made
    engine.dispose()


@pytest.mark.parametrize(("state", "told"), [(State.ACTIVE, "p ACTIVE"), (State.DOWN, "p DOWN on c1")])
def test_the_word_of_the_node_a_port_is_bound_to_is_shown(neutron: Neutron, state: State, told: str) -> None:
    neutron.bind("c1")
    neutron.bind("c2", "INACTIVE")
    status.write_port("c1", "p", state)
    assert [told] == neutron.told


@pytest.mark.parametrize("state", State)
def test_the_word_of_a_node_that_a_port_has_left_meanwhile_is_not(neutron: Neutron, state: State) -> None:
    neutron.bind("c2")
    neutron.bind("c1", "INACTIVE")
    status.write_port("c1", "p", state)
    status.write_port("c1", "deleted", state)
    assert [] == neutron.told
