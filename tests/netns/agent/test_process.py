# SPDX-License-Identifier: Apache-2.0
"""An agent as a process of a host of its own, and what `buoy doctor` finds there without it and with it."""

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from buoy.lab import machine
from buoy.lab.command import into
from buoy.lab.kubernetes import MANIFESTS
from buoy.lab.machine import Machine
from tests.freezing import freeze

SETTINGS = """node = "compute-1"
addresses = ["192.0.2.3"]
{more}
[store]
file = "/run/documents"
"""
IN_CLUSTER = """node = "compute-1"
addresses = ["192.0.2.3"]
[store]
kubeconfig = "in-cluster"
"""
BIRD = """router id 192.0.2.3;
protocol device {{ }}
protocol bgp tor {{
  local 192.0.2.3 port {port} as 64512;
  neighbor 192.0.2.1 as 64511;
  ipv4 {{ import none; export none; }};
}}
"""
LISTEN = "import socket; s = socket.create_server(('', 179)); print('up', flush=True); s.accept()[0].recv(1)"
FORWARDING = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
ANYBODY = ("setpriv", "--reuid=65534", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
"""Who is not root, and reads what this test's directories hold."""
_MEMORY = Path("/dev/shm")  # noqa: S108  the directory made in it has a random name
_HOST = """
ip link add eth0 type veth peer name wire
ip address add 192.0.2.3/24 dev eth0
ip link set eth0 up
ip link set wire up
mkdir /run/documents
echo ready
exec sleep infinity > /dev/null
"""


class BareHost:
    """A host with network, /etc, /run and /var/lib of its own, on which nothing of Buoy's runs."""

    def __init__(self, made: Machine) -> None:
        self._machine = made
        self.configure()

    def configure(self, more: str = "") -> None:
        """Write the agent's settings."""
        self.write("/etc/buoy/agent.toml", SETTINGS.format(more=more))

    def write(self, path: str, text: str) -> None:
        """Write a file of the host."""
        place = machine.located(self._machine.root, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        self.run("cat", path)

    def command(self, *words: str) -> list[str]:
        """Return the words that run a command there."""
        return [*into(self._machine.holder, "net", "mount", "uts", "ipc"), "env", "-u", "BUOY_ETCD", *words]

    def run(self, *words: str) -> str:
        """Run a command there and return what it printed."""
        return subprocess.run(self.command(*words), capture_output=True, text=True, check=True).stdout

    def buoy(self, *words: str, user: Sequence[str] = ()) -> tuple[int, str, str]:
        """Run `buoy` there and return its exit code, output and complaints."""
        command = self.command(*user, sys.executable, "-m", "buoy.cli.main", *words)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def doctor(self, user: Sequence[str] = ()) -> dict[str, dict[str, str]]:
        """Return what doctor found that is wrong, by what it looked at."""
        code, said, _ = self.buoy("doctor", "-o", "json", user=user)
        found = {row["check"]: row for row in json.loads(said) if not row["ok"]}
        assert bool(found) == bool(code)
        return found

    @contextlib.contextmanager
    def agent(self) -> Iterator["subprocess.Popen[bytes]"]:
        """Run an agent until it answers; kill it afterwards if it still runs."""
        command = self.command(sys.executable, "-m", "buoy.cli.main", "agent", "run")
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as started:
            try:
                while self.buoy("plan")[0] and started.poll() is None:
                    time.sleep(0.05)
                yield started
            finally:
                started.kill()

    @contextlib.contextmanager
    def bird(self, port: int) -> Iterator[None]:
        """Run a BIRD with one session until it answers; kill it afterwards, which leaves its socket."""
        self.write("/etc/buoy/bird.conf", BIRD.format(port=port))
        self.run("mkdir", "-p", "/run/buoy")
        control = ("-s", "/run/buoy/bird.ctl")
        with subprocess.Popen(self.command("bird", "-f", "-c", "/etc/buoy/bird.conf", *control)) as started:
            try:
                shown = ("sh", "-c", f"birdc {' '.join(control)} show protocols 2>&1; true")
                while not re.search("Active|No listening socket", self.run(*shown)):
                    assert started.poll() is None
                    time.sleep(0.1)
                yield
            finally:
                started.kill()

    @contextlib.contextmanager
    def another_speaker(self) -> Iterator[None]:
        """Let somebody else have BGP's port."""
        with subprocess.Popen(self.command(sys.executable, "-c", LISTEN), stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            other.stdout.readline()
            try:
                yield
            finally:
                other.kill()

    def forward(self, *, ipv4: int, ipv6: int) -> None:
        """Set whether the host forwards."""
        self.run("sysctl", "-qw", *(f"{name}={value}" for name, value in zip(FORWARDING, (ipv4, ipv6), strict=True)))

    def seal(self) -> None:
        """Make /proc/sys read-only, as container runtimes do."""
        self.run("mount", "--bind", "/proc/sys", "/proc/sys")
        self.run("mount", "-o", "remount,bind,ro", "/proc/sys")


@pytest.fixture
def host() -> Iterator[BareHost]:
    root = Path(tempfile.mkdtemp(prefix="buoy-process-", dir=_MEMORY))
    try:
        machine.prepare(root, "compute-1", "127.0.0.1 localhost\n", {})
        made = machine.start("compute-1", root, _HOST, root / "console")
        try:
            yield BareHost(made)
        finally:
            made.shell.kill()
            made.shell.wait()
    finally:
        shutil.rmtree(root, ignore_errors=True)


def test_doctor_names_what_a_bare_host_lacks_each_with_its_remedy(host: BareHost) -> None:
    host.run(
        "sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0", "net.ipv4.conf.all.rp_filter=1"
    )
    found = host.doctor()
    for check, remedy in {
        "net.ipv4.ip_forward": "sysctl -w net.ipv4.ip_forward=1",
        "net.ipv6.conf.all.forwarding": "sysctl -w net.ipv6.conf.all.forwarding=1",
        "BIRD": "systemctl start buoy-bird",
        "agent": "systemctl start buoy-agent",
    }.items():
        assert found[check]["remedy"].startswith(remedy)
    assert ("1", True) == (found["net.ipv4.conf.all.rp_filter"]["found"], "FORWARD policy" not in found)


def test_doctor_works_before_there_are_settings_and_says_that_there_are_none(host: BareHost) -> None:
    host.run("rm", "/etc/buoy/agent.toml")
    assert "create the file, or name another with --config" == host.doctor()["settings"]["remedy"]


def test_doctor_names_somebodys_table_that_drops_what_is_forwarded(host: BareHost) -> None:
    host.run(
        "nft", "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }"
    )
    assert "table ip filter" == host.doctor()["FORWARD policy"]["found"]


def test_doctor_names_another_speaker_on_bgps_port_also_where_a_bird_of_ours_runs_without_it(host: BareHost) -> None:
    other = ("taken, and not by our BIRD", "stop the other speaker")
    with host.another_speaker():
        found = host.doctor()["TCP 179"]
        assert other == (found["found"], found["remedy"][:22])
        unseen = host.doctor(ANYBODY)
        assert {"run as root"} == {unseen[at]["remedy"][:11] for at in ("BIRD", "TCP 179", "agent")}
        with host.bird(179):
            assert other[0] == host.doctor()["TCP 179"]["found"]
        with host.bird(1790):
            assert "TCP 179" not in host.doctor()
    with host.bird(179):
        assert "TCP 179" not in host.doctor()
    with host.another_speaker():
        assert other[0] == host.doctor()["TCP 179"]["found"], "a BIRD that was killed leaves its socket"


def test_doctor_in_a_pod_says_what_is_to_be_done_there_and_what_it_cannot_see(host: BareHost) -> None:
    host.write("/etc/buoy/agent.toml", IN_CLUSTER)
    host.run("mkdir", "-p", "/run/systemd/netif")
    host.forward(ipv4=0, ipv6=0)
    found = host.doctor()
    assert "on the node, not in its pod: sysctl -w net.ipv4.ip_forward=1" == found[FORWARDING[0]]["remedy"]
    assert not {FORWARDING[1], "systemd-networkd"} & set(found), "the node has no IPv6 for its pods"
    for check, container in {"BIRD": "bird", "agent": "agent"}.items():
        assert found[check]["remedy"].startswith(f"kubectl logs -n buoy-system -c {container} POD; kubectl get pods")
    assert "not seen from a pod" in host.buoy("doctor")[1]


def test_where_nobody_may_write_sysctls_an_agent_comes_up_and_doctor_says_what_is_off(host: BareHost) -> None:
    host.forward(ipv4=1, ipv6=0)
    host.seal()
    with host.agent() as agent:
        assert {FORWARDING[1]} == {"agent", *FORWARDING} & set(host.doctor())
        assert None is agent.poll()


@pytest.mark.parametrize(("addresses", "expected"), [("192.0.2.3", ["1", "0"]), ("192.0.2.3,2001:db8::3", ["1", "1"])])
def test_an_agents_pod_lets_its_node_forward_what_the_node_has_addresses_of(
    host: BareHost, addresses: str, expected: list[str]
) -> None:
    pod = next(yaml.safe_load_all((MANIFESTS / "agent.yaml").read_text()))["spec"]["template"]["spec"]
    [settings] = pod["initContainers"]
    assert {"privileged": True} == settings["securityContext"]
    facts = ("env", "NODE_NAME=compute-1", f"HOST_IPS={addresses}")
    host.forward(ipv4=0, ipv6=0)
    host.run(*facts, *settings["command"])
    assert expected == host.run("sysctl", "-n", *FORWARDING).split()
    # what is right already is not written: here nobody could
    host.seal()
    again = subprocess.run(host.command(*facts, *settings["command"]), capture_output=True, text=True, check=True)
    assert ("", "") == (again.stdout, again.stderr)
    assert addresses.split(",") == tomllib.loads(host.run("cat", "/etc/buoy/agent.toml"))["addresses"]


def test_an_agent_that_hangs_is_named_by_doctor_and_not_waited_for(host: BareHost) -> None:
    with host.agent() as agent:
        freeze(agent.pid)
        found = host.doctor()["agent"]
        assert ("systemctl restart buoy-agent", True) == (found["remedy"], "does not answer" in found["found"])
        code, _, said = host.buoy("plan")
        assert (2, True) == (code, "the agent does not answer" in said), said


def test_an_agent_that_is_told_to_stop_ends_well_and_leaves_the_host_as_it_is(host: BareHost) -> None:
    with host.agent() as agent:
        assert not {"agent", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} & set(host.doctor())
        held = host.run("nft", "list", "table", "inet", "buoy")
        agent.send_signal(signal.SIGTERM)
        assert 0 == agent.wait(20)
    assert held == host.run("nft", "list", "table", "inet", "buoy")
    assert "systemctl start buoy-agent" == host.doctor()["agent"]["remedy"]


def test_an_agent_that_was_killed_is_followed_by_the_next(host: BareHost) -> None:
    with host.agent() as agent:
        agent.kill()
        agent.wait()
    with host.agent():
        assert (0, "nothing to do: the host holds what is wanted\n", "") == host.buoy("plan")


def test_a_second_agent_is_refused_and_the_first_goes_on(host: BareHost) -> None:
    with host.agent():
        code, _, said = host.buoy("agent", "run")
        assert (4, True) == (code, said.startswith("buoy: ")), said
        assert 0 == host.buoy("plan")[0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('health.listen = "9705"', "health.listen: '9705' is not valid: give host:port, or '' for none"),
        ("audit_interval = 'often'", "Expected `float`, got `str` - at `$.audit_interval`"),
        ('foreign = ["tap0"]', "unknown field `foreign`"),
    ],
)
def test_settings_no_agent_can_run_with_are_refused_before_the_host_is_touched(
    host: BareHost, more: str, said: str
) -> None:
    host.configure(more)
    code, _, complaint = host.buoy("agent", "run")
    assert (2, True) == (code, said in complaint), complaint
    assert "" == host.run("nft", "list", "ruleset")


def test_a_node_without_an_address_of_its_own_is_refused(host: BareHost) -> None:
    host.write("/etc/buoy/agent.toml", '[store]\nfile = "/run/documents"\n')
    assert (2, True) == ((said := host.buoy("agent", "run"))[0], "addresses = ['192.0.2.3']" in said[2])
    assert "" == host.run("nft", "list", "ruleset")
