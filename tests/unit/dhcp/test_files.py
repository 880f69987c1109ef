# SPDX-License-Identifier: Apache-2.0
"""The driver's files, and when the responder speaks."""

import os
from pathlib import Path

import msgspec
import pytest

from buoy.dataplane import dhcp_directory
from buoy.dataplane.dhcp import DhcpDriver
from buoy.dataplane.dhcp_schedule import Allowance, Schedule
from buoy.dataplane.dhcp_watch import DirectoryWatch
from buoy.model.errors import InvalidInput
from buoy.model.guest import GuestConfig
from buoy.model.nodestate import Change, Flush, Key, Phase, Step, Table
from tests.unit.dhcp.packets import CONFIG

KEY = Key(Table.DHCP, ("tap1",))
ADD = Step(Phase.BUILD, Change(KEY, None, CONFIG))
REMOVE = Step(Phase.SWEEP, Change(KEY, CONFIG, None))


def test_what_was_applied_is_observed(tmp_path: Path) -> None:
    driver = DhcpDriver(tmp_path / "dhcp")
    assert {} == driver.observe(None)
    assert [] == driver.apply([ADD, ADD])
    assert {KEY: CONFIG} == driver.observe(None) == driver.observe([KEY, Key(Table.ROUTE, ("192.0.2.7/32",))])
    assert {} == driver.observe([Key(Table.DHCP, ("tap2",))])
    assert [] == driver.apply([REMOVE, REMOVE])
    assert {} == driver.observe(None)
    assert [] == list((tmp_path / "dhcp").iterdir())


def test_steps_of_other_tables_are_passed_over(tmp_path: Path) -> None:
    driver = DhcpDriver(tmp_path)
    others = [Step(Phase.FLUSH_NEW, Flush(())), Step(Phase.SWEEP, Change(Key(Table.ROUTE, ("tap1",)), CONFIG, None))]
    assert [] == driver.apply([ADD, *others])
    assert {KEY: CONFIG} == driver.observe(None)


def test_a_refusal_of_the_host_is_a_failure_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "tap2.json").mkdir()
    second = Step(Phase.BUILD, Change(Key(Table.DHCP, ("tap2",)), None, CONFIG))
    odd = Step(Phase.BUILD, Change(Key(Table.DHCP, ("../tap3",)), None, CONFIG))
    driver = DhcpDriver(tmp_path)
    assert [second, odd] == [failure.step for failure in driver.apply([second, odd, ADD])]
    assert {KEY: CONFIG} == driver.observe([KEY])


def test_an_unreadable_file_is_a_difference(tmp_path: Path) -> None:
    (tmp_path / "tap1.json").write_text("{")
    driver = DhcpDriver(tmp_path)
    observed = driver.observe(None)
    assert {KEY} == set(observed)
    assert CONFIG != observed[KEY]
    assert [] == driver.apply([ADD])
    assert {KEY: CONFIG} == driver.observe(None)


def test_what_the_disk_refuses_to_show_is_a_difference_whose_repair_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "tap1.json").mkdir()
    driver = DhcpDriver(tmp_path)
    assert {KEY} == set(driver.observe(None)) == set(driver.observe([KEY]))
    other = Step(
        Phase.BUILD, Change(Key(Table.DHCP, ("tap2",)), None, msgspec.structs.replace(CONFIG, interface="tap2"))
    )
    failures = driver.apply([ADD, other])
    assert ([ADD], True) == ([failure.step for failure in failures], "directory" in failures[0].error.lower())


def test_a_directory_that_cannot_be_listed_holds_nothing_and_refuses_each_step(tmp_path: Path) -> None:
    (tmp_path / "dhcp").write_text("a file stands where the directory was")
    driver = DhcpDriver(tmp_path / "dhcp")
    assert {} == driver.observe(None)
    assert [ADD] == [failure.step for failure in driver.apply([ADD])]


def test_what_a_killed_writer_leaves_is_neither_read_nor_in_the_way(tmp_path: Path) -> None:
    (tmp_path / ".tap1.json.new").write_text("{")
    driver = DhcpDriver(tmp_path)
    assert {} == driver.observe(None)
    assert [] == driver.apply([ADD])
    assert ["tap1.json"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (b"", "tap1.json"),
        (b"\xff", "tap1.json"),
        (b'{"interface": "tap1"}', "tap1.json"),
        (msgspec.json.encode(msgspec.structs.replace(CONFIG, interface="tap2")), "tap1.json: interface"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: bytes, field: str) -> None:
    (tmp_path / "tap1.json").write_bytes(text)
    with pytest.raises(InvalidInput) as refusal:
        dhcp_directory.read(tmp_path, "tap1")
    assert f"{tmp_path}/{field}" == refusal.value.field


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", ".hidden", "x" * 16])
def test_a_name_the_kernel_would_not_take_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        dhcp_directory.file_of(tmp_path, name)
    assert "interface" == refusal.value.field


def test_documents_of_another_version_are_read(tmp_path: Path) -> None:
    document = msgspec.to_builtins(CONFIG) | {"invented-later": 1}
    del document["lease"]
    (tmp_path / "tap1.json").write_bytes(msgspec.json.encode(document))
    assert CONFIG == dhcp_directory.read(tmp_path, "tap1")


def write(directory: Path, name: str) -> None:
    config: GuestConfig = msgspec.structs.replace(CONFIG, interface=name)
    dhcp_directory.write(directory, name, config)


def test_the_watch_names_what_was_there_what_came_and_what_went(tmp_path: Path) -> None:
    write(tmp_path, "tap1")
    watch = DirectoryWatch(tmp_path)
    assert {"tap1"} == watch.changed()
    assert set() == watch.changed()
    write(tmp_path, "tap2")
    assert {"tap2"} == watch.changed()
    dhcp_directory.remove(tmp_path, "tap1")
    assert {"tap1"} == watch.changed()
    watch.close()


def test_the_watch_follows_a_directory_that_was_replaced(tmp_path: Path) -> None:
    directory = tmp_path / "dhcp"
    watch = DirectoryWatch(directory)
    watch.changed()
    write(directory, "tap1")
    directory.rename(tmp_path / "old")
    write(directory, "tap2")
    assert {"tap1", "tap2"} == watch.changed()
    write(tmp_path / "old", "tap3")
    write(directory, "tap4")
    assert {"tap4"} == watch.changed()
    watch.forget("tap1")
    watch.close()


def test_advertisements_come_in_turn_and_a_few_at_a_time() -> None:
    schedule = Schedule()
    assert schedule.wait(0.0) is None
    for name in ("tap1", "tap2", "tap3"):
        schedule.put(name, 10.0)
    assert 10.0 == schedule.wait(0.0)
    assert [] == schedule.take(9.0, most=2)
    assert ["tap1", "tap2"] == schedule.take(10.0, most=2)
    assert 0.0 == schedule.wait(11.0)
    schedule.drop("tap3")
    schedule.put("tap2", 50.0)
    assert ["tap2"] == schedule.take(50.0, most=2)
    assert ["tap1"] == schedule.take(210.0, most=2)


def test_a_flood_uses_up_its_own_share_only() -> None:
    allowance = Allowance(rate=1.0, burst=2.0)
    assert [True, True, False] == [allowance.take("tap1", 0.0) for _ in range(3)]
    assert allowance.take("tap2", 0.0) is True
    assert [True, False] == [allowance.take("tap1", 1.0) for _ in range(2)]
    allowance.drop("tap1")
    assert allowance.take("tap1", 1.0) is True


def test_a_directory_is_held_while_somebody_answers_by_it(tmp_path: Path) -> None:
    directory = tmp_path / "dhcp"
    assert not dhcp_directory.held(directory)
    first, second = dhcp_directory.hold(directory), dhcp_directory.hold(directory)
    os.close(first)
    assert dhcp_directory.held(directory)
    os.close(second)
    assert not dhcp_directory.held(directory)
