# SPDX-License-Identifier: Apache-2.0
"""Which way into a guest with a kernel of its own is taken, and what is said if there is none."""

from collections.abc import Sequence

import pytest

from buoy.lab import login
from buoy.lab.control import LabError

CONSOLE = """booting
addresses: 192.0.2.7/24
dhcpcd: carrier lost
addresses: 192.0.2.8/24 2001:db8::8/64
"""


def only(node: str, address: str) -> login.Answers:
    """Let the guest answer one node at one address."""

    def answers(asked: str, probe: Sequence[str]) -> bool:
        return (node, address) == (asked, probe[-1])

    return answers


@pytest.mark.parametrize(
    ("console", "addresses"), [(CONSOLE, ["192.0.2.8", "2001:db8::8"]), ("booting\n", []), ("addresses: \n", [])]
)
def test_a_guests_addresses_are_those_it_told_last(console: str, addresses: list[str]) -> None:
    assert addresses == login.told_addresses(console)


@pytest.mark.parametrize("found", [("compute-1", "2001:db8::8"), ("access", "192.0.2.8")])
def test_it_is_entered_from_the_first_node_that_it_answers(found: tuple[str, str]) -> None:
    assert found == login.way("vm", ("compute-1", "access"), ["192.0.2.8", "2001:db8::8"], only(*found))


def test_a_guest_that_answers_nobody_is_refused_with_what_to_do() -> None:
    with pytest.raises(LabError) as refused:
        login.way("vm", ("compute-1", "access"), ["192.0.2.8"], only("nobody", ""))
    assert str(refused.value) == (
        "vm is a QEMU machine, entered by SSH; at 192.0.2.8 it answers neither compute-1 nor access: has it booted? "
        "`buoy lab logs vm`; is SSH let in? `openstack security group rule create --protocol tcp --dst-port 22 default`"
    )


def test_a_guest_without_an_address_is_refused_with_where_to_look() -> None:
    with pytest.raises(LabError, match="vm is a QEMU machine and has no address to log in at yet: `buoy lab logs vm`"):
        login.way("vm", ("compute-1",), [], only("compute-1", ""))


@pytest.mark.parametrize(
    ("command", "text"),
    [(["ip", "a"], ["ip a"]), (["printf", "%s", "a b", "$HOME"], ["printf %s 'a b' '$HOME'"]), ([], [])],
)
def test_the_words_of_a_command_stay_what_they_are_in_the_guests_shell(command: list[str], text: list[str]) -> None:
    words = [word for word in login.words("192.0.2.8", command) if word != "-t"]
    assert ["ssh", "cirros@192.0.2.8", *text] == words
