# SPDX-License-Identifier: Apache-2.0
"""The demo's stories, told by a cloud that is as it should be, and by one that is not."""

import json
import re
from subprocess import CompletedProcess
from typing import Any, cast

import pytest

from buoy.lab import play, stories
from buoy.lab.lab import Lab
from buoy.lab.play import Player, StoryEndedError

NODES = {"compute-1": "192.168.8.3", "compute-2": "192.168.8.4"}
FIXED = {"testvm1": "10.28.0.11", "testvm2": "10.28.0.12", "testvm3": "10.65.0.13"}
PUBLIC = "172.16.1.30"


class TellsTheStory:
    """A cloud that answers each command as the documents do, but for commands that contain `wrong`."""

    name = "told"

    def __init__(self, wrong: str = "") -> None:
        self._wrong = wrong
        self.guests: list[dict[str, str]] = []
        self._service = ""
        self._associated = False

    def status(self) -> dict[str, Any]:
        nodes = [{"name": name, "address4": f"{address}/24"} for name, address in NODES.items()]
        return {"nodes": [{"name": "access", "address4": "192.168.8.1/24"}, *nodes], "guests": self.guests}

    def client(self, *command: str, **_: object) -> CompletedProcess[str]:
        words = list(command)
        if "boot" in words:
            name, host = words[words.index("boot") + 1], words[words.index("--host") + 1]
            self.guests.append({"name": name, "node": host, "port": f"{len(self.guests)}5e4d3c2b1a-f00d"})
        return CompletedProcess(command, 0, "", "")

    def exec(self, machine: str, *command: str, **_: object) -> CompletedProcess[str]:
        asked = command[-1]
        wrong = bool(self._wrong) and self._wrong in asked
        return CompletedProcess(command, 0, "wrong" if wrong else self._answer(asked), "")

    def _answer(self, asked: str) -> str:
        if "port show -f json" in asked:
            return json.dumps(self._port(asked.rsplit(maxsplit=1)[-1]))
        if "port-update" in asked:
            self._service = asked.rsplit(maxsplit=1)[-1] if stories.SERVICE_IP in asked else ""
        if "floatingip-" in asked:
            self._associated = "associate" in asked and "disassociate" not in asked
        if asked.startswith("ssh core@"):
            return self._on_node(asked.split()[1].partition("@")[2])
        return {
            "ip r": self._router(),
            f"ssh cirros@{stories.SERVICE_IP} hostname": self._owner(),
            f"curl -s http://{stories.SERVICE_IP}/": self._owner(),
            f"curl -s http://{PUBLIC}/": "testvm3",
        }.get(asked) or f"| id | 1d |\n| floating_ip_address | {PUBLIC} |\n{stories.SERVICE_IP}\nstatus  | ACTIVE"

    def _port(self, port: str) -> dict[str, Any]:
        [guest] = [one for one in self.guests if one["port"] == port]
        return {"fixed_ips": [{"ip_address": FIXED[guest["name"]], "subnet_id": "5ab"}]}

    def _owner(self) -> str:
        return next((one["name"] for one in self.guests if one["port"] == self._service), "")

    def _router(self) -> str:
        at = {one["name"]: NODES[one["node"]] for one in self.guests}
        routes = [f"{stories.SERVICE_IP} via {at[self._owner()]} dev eth0 proto bird"] if self._owner() else []
        return "\n".join(
            [*routes, *([f"{PUBLIC} via {at['testvm3']} dev eth0 proto bird"] if self._associated else [])]
        )

    def _on_node(self, address: str) -> str:
        here = {one["port"]: one["name"] for one in self.guests if NODES[one["node"]] == address}
        lines = [f"{stories.SERVICE_IP} dev tap{self._service[:11]} scope link"] if self._service in here else []
        for port, name in here.items():
            if name == "testvm3" and self._associated:
                lines += [f"{PUBLIC} dev tap{port[:11]} scope link", f"{PUBLIC} : {FIXED[name]}"]
        return "\n".join(lines)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play, "PATIENCE", 0.0)


def told(wrong: str = "") -> tuple[int, int, str]:
    """Play every story; return what passed, what failed, and everything shown."""
    shown: list[str] = []
    player = Player(cast("Lab", TellsTheStory(wrong)), shown.append)
    for story in (stories.prepare, stories.service_ip, stories.floating_ip):
        story(player)
    return player.passed, player.failed, "\n".join(shown)


def test_every_claim_of_the_documents_holds_in_a_cloud_that_is_as_it_should_be() -> None:
    passed, failed, shown = told()
    assert (15, 0) == (passed, failed), shown


@pytest.mark.parametrize(
    ("wrong", "claim"),
    [
        (f"curl -s http://{stories.SERVICE_IP}/", "and answers HTTP"),
        (f"curl -s http://{PUBLIC}/", f"{PUBLIC} answers: it is testvm3"),
        ("openstack floating ip show", "Neutron says so too"),
    ],
)
def test_what_is_not_as_the_documents_say_is_counted_and_the_story_goes_on(wrong: str, claim: str) -> None:
    passed, failed, shown = told(wrong)
    assert (14, 1) == (passed, failed)
    assert [claim] == re.findall(r"✗ (.*)", shown)


def test_a_router_that_learns_nothing_fails_what_needs_it_and_nothing_else() -> None:
    _, _, shown = told("ip r")
    failed = re.findall(r"✗ (.*)", shown)
    assert [f"{stories.SERVICE_IP} is routed to testvm1's node", "on that node, to testvm1's tap"] == failed[:2]


def test_an_answer_that_lacks_what_the_story_needs_ends_it() -> None:
    with pytest.raises(StoryEndedError, match="subnet-create: no id in the answer"):
        told("subnet-create --gateway")
