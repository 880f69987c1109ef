# SPDX-License-Identifier: Apache-2.0
"""The text for nft as it was agreed on, and that nft itself takes it.

To agree on new text: python tests/golden/nft/test_nft_golden.py
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from buoy.model.address import Prefix
from buoy.model.group import Rule, Side
from buoy.render import nft

HERE = Path(__file__).parent
RULES = (
    Rule(side=Side.INGRESS, family=4, protocol=6, first=22, last=22),
    Rule(side=Side.INGRESS, family=4, protocol=17, first=6000, last=6100, prefix=Prefix("198.51.100.0/24")),
    Rule(side=Side.INGRESS, family=4, protocol=1, first=8, last=0),
    Rule(side=Side.INGRESS, family=4, protocol=1),
    Rule(side=Side.INGRESS, family=6, protocol=58, first=128),
    Rule(side=Side.INGRESS, family=6, group="friends"),
    Rule(side=Side.INGRESS, family=4, protocol=112, prefix=Prefix("0.0.0.0/0")),
    Rule(side=Side.EGRESS, family=4, protocol=132, first=7, group="friends"),
    Rule(side=Side.EGRESS, family=6, prefix=Prefix("2001:db8::/32")),
)
TEXTS = {
    "skeleton.nft": nft.skeleton(),
    "foreign.nft": nft.skeleton(8080, ("tap-foreign", "tap9")),
    "nothing.nft": nft.nothing(),
    "group.nft": nft.group("web", RULES),
    "empty-group.nft": nft.group("1c9d", ()),
    "combination.nft": nft.combination("ab12", ("web", "1c9d")),
    "no-groups.nft": nft.combination("none", ()),
}


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"dpg{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.parametrize("name", TEXTS)
def test_the_text_is_as_agreed(name: str) -> None:
    assert (HERE / name).read_text() == TEXTS[name]


@pytest.mark.parametrize("name", TEXTS)
def test_nft_takes_it_over_a_skeleton(name: str, namespace: str) -> None:
    text = nft.skeleton() + (HERE / name).read_text()
    command = ["ip", "netns", "exec", namespace, "nft", "-c", "-f", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


def test_an_agent_takes_over_what_an_earlier_version_loaded(namespace: str) -> None:
    inside = ["ip", "netns", "exec", namespace, "nft"]
    before = (
        "add table inet buoy; "
        "add chain inet buoy postrouting_nat { type nat hook postrouting priority 100; }; "
        "add rule inet buoy postrouting_nat counter"
    )
    subprocess.run([*inside, before], check=True)
    done = subprocess.run([*inside, "-f", "-"], input=nft.skeleton(), capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    show = [*inside, "list", "chain", "inet", "buoy", "postrouting_nat"]
    shown = subprocess.run(show, capture_output=True, text=True, check=True).stdout
    assert (True, False) == ("priority srcnat - 1;" in shown, "counter" in shown)


def test_nothing_else_is_agreed_on() -> None:
    assert sorted(TEXTS) == sorted(path.name for path in HERE.glob("*.nft"))


if __name__ == "__main__":
    for target, content in TEXTS.items():
        (HERE / target).write_text(content)
    sys.exit(0)
