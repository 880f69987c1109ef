# SPDX-License-Identifier: Apache-2.0
"""`buoy store`: whether etcd answers, and whether it asks who is there.

Promises: what would lock out an agent that lives is held until a person says `--yes`.
"""

import asyncio
from typing import Annotated, Any

import msgspec
import typer

from buoy.cli import accounts
from buoy.cli.accounts import AdminOption, AdminPassword, Yes, acting_as, administer, living
from buoy.cli.context import DryRunOption, Output, OutputOption, show
from buoy.model.errors import StoreUnavailable, UnsafePlan
from buoy.store.etcd_member import member
from buoy.store.roles import Kind, kind_of
from buoy.store.settings import StoreSettings

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="etcd, which holds everything Buoy knows: its state, and its accounts.\n\n"
    "Where it is, and who asks, say the settings ($BUOY_CONFIG, else /etc/buoy/agent.toml) or $BUOY_ETCD.",
)
auth_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Whether etcd asks who is there. Without, everybody who reaches it may redirect traffic.",
)
app.add_typer(accounts.app, name="account")
app.add_typer(auth_app, name="auth")


@app.command()
def status(output: OutputOption = Output.TABLE) -> None:
    """Show each endpoint of etcd, and whether it asks for accounts. Ends with 3 if one does not answer.

    \b
    Examples:
      buoy store status
      BUOY_ETCD=http://192.0.2.10:2379 buoy store status -o json
    """
    settings = acting_as("", "")
    rows = [asyncio.run(_endpoint(settings, endpoint)) for endpoint in settings.endpoints]
    show(rows, output, ["endpoint", "ok", "version", "leader", "revision", "size", "accounts", "note"])
    if not all(row["ok"] for row in rows):
        raise typer.Exit(3)


async def _endpoint(settings: StoreSettings, endpoint: str) -> dict[str, Any]:
    one = msgspec.structs.replace(settings, endpoints=(endpoint,))
    try:
        told = await member(one)
    except StoreUnavailable as error:
        return {"endpoint": endpoint, "ok": False, "note": str(error)}
    return {"endpoint": endpoint, "ok": True, **msgspec.structs.asdict(told), "note": ""}


@auth_app.command()
def enable(
    root_password_file: Annotated[
        str, typer.Option("--root-password-file", metavar="FILE", help="Password for etcd's account root, `-`: stdin.")
    ],
    yes: Yes = False,
    dry_run: DryRunOption = False,
) -> None:
    """Let etcd ask for accounts from now on; makes its account root, who alone administers the others.

    Held (exit code 5) while a living agent has no account, or nobody may write. Where etcd asks
    already nothing changes, root's password neither.

    \b
    Examples:
      buoy store auth enable --root-password-file /root/etcd.password --dry-run
      buoy store auth enable --root-password-file /root/etcd.password
    """
    settings = acting_as("", "")
    password = accounts.password(root_password_file, certificate=False)
    if administer(settings, lambda one: one.asks()):
        print("etcd asks for accounts already")
        return
    problems = _locked_out(settings)
    if problems and not yes:
        raise UnsafePlan(f"{'; '.join(problems)}: add what is missing first, or say --yes")
    if not dry_run:
        administer(settings, lambda one: one.enable(password))
    print(f"etcd {'would ask' if dry_run else 'asks'} for accounts")


@auth_app.command()
def disable(
    admin: AdminOption = "",
    admin_password_file: AdminPassword = "",
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without this the command only says what it means.")
    ] = False,
) -> None:
    """Let everybody who reaches etcd read and write everything again; accounts are kept."""
    settings = acting_as(admin, admin_password_file)
    if not administer(settings, lambda one: one.asks()):
        print("etcd asks nobody")
        return
    if not yes:
        raise UnsafePlan("whoever reaches etcd could then redirect traffic: say --yes")
    administer(settings, lambda one: one.disable())
    print("etcd asks nobody from now on")


def _locked_out(settings: StoreSettings) -> list[str]:
    """Return what would stop working if etcd asked for accounts now."""
    held = administer(settings, lambda one: one.accounts()).values()
    known = {node for account in held for node in account.nodes}
    kinds = {found[0] for account in held for name in account.roles if (found := kind_of(name))}
    problems = [f"the agent of {node} has no account" for node in sorted(living(settings) - known)]
    return [*problems, *([] if Kind.WRITER in kinds else ["Neutron has no account: there is no writer"])]
