# SPDX-License-Identifier: Apache-2.0
"""`buoy dhcp`: the DHCP and RA responder of this host, and what it tells a guest."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from buoy.agent import dhcp

app = typer.Typer(no_args_is_help=True, help="Run the DHCP and RA responder of this host.")

_Directory = Annotated[Path, typer.Option("--directory", help="Where the guests' files are.")]


@app.command()
def run(directory: _Directory = dhcp.DIRECTORY) -> None:
    """Answer DHCPv4, DHCPv6 and router solicitations of this host's guests until killed."""
    dhcp.serve(directory)


@app.command()
def show(
    interface: Annotated[str, typer.Argument(metavar="INTERFACE", help="The guest's, such as tap1c2d3e4f-5a.")],
    directory: _Directory = dhcp.DIRECTORY,
) -> None:
    """Print as JSON what the guest on an interface is told, and on standard error what is left out.

    Ends with 4 if it is told nothing.

    \b
    Example:
      buoy dhcp show tap1c2d3e4f-5a
    """
    found = dhcp.read(directory, interface)
    if found is None:
        typer.echo(f"{interface} has no file in {directory}: its guest is not answered", err=True)
        raise typer.Exit(4)
    config, left_out = found
    typer.echo(msgspec.json.format(msgspec.json.encode(config), indent=2).decode())
    for problem in left_out:
        typer.echo(f"left out: {problem}", err=True)
