# SPDX-License-Identifier: Apache-2.0
"""A lab comes, is there, and goes without a trace, however it is ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from buoy.lab import launch, place
from buoy.lab.control import LabError
from buoy.lab.lab import Lab
from buoy.model.errors import InvalidInput
from tests.lab import traces
from tests.lab.conftest import BARE

COMMAND = [sys.executable, "-m", "buoy.cli.main", "lab"]
WITHOUT = [word for service in BARE for word in ("--without", service)]


# A host where no other test comes and goes meanwhile.
QUIET_HOST = ("unshare", "--net", "--mount", "sh", "-c", 'mount -t tmpfs none /run/netns && exec "$@"', "sh")
UP_AND_LOOK = """
import sys
from buoy.lab.lab import Lab
from tests.lab import traces
before = traces.host_network()
Lab(sys.argv[1]).up(without=sys.argv[2:])
after = traces.host_network()
sys.exit(before != after and f"{before}\\n-- became --\\n{after}")
"""


def test_nothing_of_the_hosts_network_changes_while_a_lab_is_up(name: str) -> None:
    Path("/run/netns").mkdir(exist_ok=True)
    look = [*QUIET_HOST, sys.executable, "-c", UP_AND_LOOK, name, *BARE]
    done = subprocess.run(look, capture_output=True, text=True, check=False)
    assert (0, True) == (done.returncode, Lab(name).is_up()), done.stderr


def test_after_down_no_process_mount_namespace_or_file_is_left(name: str) -> None:
    lab = Lab(name).up(without=BARE)
    lab.plug(name="vm", node="compute-1", interface="tap1", mac="fa:16:3e:00:00:01")
    lab.start_guest("vm")
    inside = {lab.exec(machine, "readlink", "/proc/self/ns/net").stdout.strip() for machine in ("access", "vm")}
    assert traces.of(name)
    lab.down()
    assert [] == traces.of(name)
    assert set() == inside & traces.namespaces()
    assert not lab.directory.exists()


def test_a_lab_whose_first_process_was_killed_is_gone_and_can_be_built_again(name: str) -> None:
    lab = Lab(name).up(without=BARE)
    process = launch.first_process(lab.directory)
    assert process is not None
    os.kill(process, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while lab.is_up() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not lab.is_up()
    assert name not in place.names()
    assert Lab(name).up(without=BARE).is_up()


@pytest.mark.parametrize("milliseconds", [150, 250, 300, 350, 400, 450, 500, 600, 800, 1000])
def test_ctrl_c_at_any_moment_of_up_leaves_nothing(name: str, milliseconds: int) -> None:
    starting = subprocess.Popen(
        [*COMMAND, "up", "openstack", "--name", name, *WITHOUT],
        stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(milliseconds / 1000)
    if starting.poll() is None:
        starting.send_signal(signal.SIGINT)
    code = starting.wait(30)
    if code == 0:
        Lab(name).down()  # it was up before the signal came
    assert code in (0, 130, -signal.SIGINT)
    assert [] == traces.of(name)


def test_a_starter_that_is_killed_takes_its_unfinished_lab_along(name: str) -> None:
    # without a seed etcd's peers wait for ever: this lab is never ready
    starting = subprocess.Popen(
        [*COMMAND, "up", "openstack", "--name", name, *WITHOUT, "--without", "etcd"], stderr=subprocess.PIPE
    )
    assert starting.stderr is not None
    while b"ssh is ready" not in starting.stderr.readline():
        pass
    starting.kill()
    starting.wait()
    starting.stderr.close()
    assert [str(place.directory(name))] == [left for left in traces.soon(name) if left.startswith("/")]
    assert name not in place.names()


def test_two_labs_live_side_by_side(lab: Lab, name: str) -> None:
    other = Lab(name).up(without=BARE)
    lab.exec("access", "ip", "route", "add", "198.51.100.0/24", "via", "192.168.8.3")
    assert "" == other.exec("access", "ip", "route", "show", "198.51.100.0/24").stdout
    assert {lab.name, name} <= set(place.names())
    other.down()
    assert "192.168.8.3" in lab.exec("access", "ip", "route", "show", "198.51.100.0/24").stdout


def test_ctrl_c_while_a_name_is_refused_leaves_the_lab_of_that_name_alone(lab: Lab) -> None:
    refused = subprocess.Popen([*COMMAND, "up", "openstack", "--name", lab.name], stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    refused.send_signal(signal.SIGINT)
    refused.wait(30)
    assert lab.is_up()


def test_a_second_lab_of_the_same_name_is_refused_and_the_first_stays(lab: Lab) -> None:
    with pytest.raises(LabError, match=f"{lab.name} is up"):
        Lab(lab.name).up(without=BARE)
    assert "access\n" == lab.exec("access", "hostname").stdout


def test_a_lab_that_cannot_come_up_says_why_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    broken = tmp_path / "etcd"
    broken.write_text("#!/bin/sh\necho the disk is on fire >&2\nexit 1\n")
    broken.chmod(0o755)
    done = subprocess.run(
        [*COMMAND, "up", "openstack", "--name", name, *WITHOUT],
        capture_output=True, text=True, check=False, env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert 1 == done.returncode
    assert "controller/etcd crashed" in done.stderr
    assert "the disk is on fire" in done.stderr
    assert [] == traces.of(name)


def test_down_may_keep_the_logs(name: str) -> None:
    kept = Lab(name).up(without=BARE).down(keep_logs=True)
    assert kept is not None
    try:
        assert (kept / "access/bird.log").is_file()
    finally:
        subprocess.run(["rm", "-r", str(kept)], check=True)


def test_down_of_a_lab_that_is_not_there_succeeds(name: str) -> None:
    assert Lab(name).down() is None


def test_down_of_a_lab_that_is_not_there_names_those_that_are(name: str) -> None:
    Lab(name).up(without=BARE)
    done = subprocess.run([*COMMAND, "down", "--name", "no-such"], capture_output=True, text=True, check=False)
    assert (0, True) == (done.returncode, Lab(name).is_up())
    assert "no lab called no-such is up, but " in done.stderr
    assert name in done.stderr


@pytest.mark.parametrize("wrong", ["", "Upper", "../x", "a/b", "-a", "a" * 40])
def test_a_name_that_cannot_be_a_file_name_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidInput, match="--name"):
        Lab(wrong)
