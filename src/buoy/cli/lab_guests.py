# SPDX-License-Identifier: Apache-2.0
"""`buoy lab vm`: guests, booted and deleted as Nova would.

Promises that a boot which fails or is interrupted leaves neither port, tap nor guest.
"""

import sys
import time
from typing import Annotated

import typer

from buoy.cli.context import Output, OutputOption, show
from buoy.cli.lab_options import (
    GUEST_COLUMNS,
    CommandArgument,
    GuestArgument,
    HostOption,
    NameOption,
    become,
)
from buoy.lab import vm
from buoy.lab.control import LabError
from buoy.lab.lab import DEFAULT_NAME, Lab
from buoy.lab.launch import ignore_interrupts

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Guests, as Nova would boot them.")

_PATIENCE = 2.0


@app.command()
def boot(
    guest: Annotated[str, typer.Argument(metavar="NAME", help="Its name and host name.")],
    network: Annotated[str, typer.Option("--network", help="Network to make a port on.")] = "",
    host: HostOption = "",
    port: Annotated[str, typer.Option("--port", help="A port that is there already, instead of --network.")] = "",
    qemu: Annotated[bool, typer.Option("--qemu", help="A QEMU machine on a real tap instead of a namespace.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait until the guest has taken its addresses.")] = True,
    name: NameOption = DEFAULT_NAME,
    output: OutputOption = Output.TABLE,
) -> None:
    """Boot a guest: port, tap, wait for ACTIVE, start. Ctrl-C leaves nothing.

    \b
    Examples:
      buoy lab vm boot web1 --network blue --host compute-1
      buoy lab vm boot web2 --port web2 --qemu
    """
    wish = vm.Wish(name=guest, network=network, host=host, port=port, qemu=qemu, wait_for_addresses=wait)
    booted = vm.boot(Lab(name), wish, _Patient(), ignore_interrupts)
    show([booted], output, GUEST_COLUMNS)
    if booted["missing"]:
        print(f"{guest} has not taken {', '.join(booted['missing'])}: `buoy lab logs {guest}`", file=sys.stderr)


@app.command("exec", context_settings={"ignore_unknown_options": True})
def execute(guest: GuestArgument, command: CommandArgument = None, name: NameOption = DEFAULT_NAME) -> None:
    """Run a command in a guest; ends with the command's own exit code.

    A QEMU guest is entered by SSH from its node or the access node, which its security groups must let in.

    \b
    Examples:
      buoy lab vm exec web1
      buoy lab vm exec web1 -- ip address show eth0
    """
    lab = Lab(name)
    if guest not in [one["name"] for one in lab.status()["guests"]]:
        raise LabError(f"there is no guest {guest}: `buoy lab vm list` shows those there are")
    become(lab, guest, command or [])


@app.command()
def delete(guest: GuestArgument, name: NameOption = DEFAULT_NAME, output: OutputOption = Output.TABLE) -> None:
    """End a guest and delete its tap and port.

    \b
    Example:
      buoy lab vm delete web1
    """
    show([vm.delete(Lab(name), guest)], output, GUEST_COLUMNS)


@app.command("list")
def list_guests(name: NameOption = DEFAULT_NAME, output: OutputOption = Output.TABLE) -> None:
    """List guests with their ports' addresses."""
    show(vm.listing(Lab(name)), output, GUEST_COLUMNS)


class _Patient:
    """Says what is waited for, once it takes more than two seconds, and only when it changes."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._said = ""

    def __call__(self, text: str) -> None:
        if text != self._said and time.monotonic() - self._began > _PATIENCE:
            print(f"… {text}", file=sys.stderr)
            self._said = text
