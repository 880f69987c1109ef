# SPDX-License-Identifier: Apache-2.0
"""`buoy store account`: who may do what in etcd.

Promises: what would lock out an agent that lives is held until a person says `--yes`;
passwords are read from files and never printed. Every command may be repeated.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from buoy.cli import bgp_options
from buoy.cli.context import DryRunOption, Output, OutputOption, show, store_settings, with_store
from buoy.cli.reading import listing
from buoy.model.errors import Conflict, InvalidInput, UnsafePlan
from buoy.model.node import Node
from buoy.store.accounts import ROOT, Account, Administrator
from buoy.store.roles import Kind, Role, agent_name, kind_of, role
from buoy.store.settings import StoreSettings

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Who may read and write what in etcd.\n\n"
    "An agent reads everything of Buoy's and writes only its own node's status; Neutron and operators are writers; "
    "a reader suffices for `buoy status`. etcd asks for accounts only after `buoy store auth enable`.",
)

AdminOption = Annotated[str, typer.Option("--admin", metavar="ACCOUNT", help="Act as this account, such as root.")]
AdminPassword = Annotated[
    str, typer.Option("--admin-password-file", metavar="FILE", help="File that holds that account's password.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do it although a living agent loses the store.")]
Result = TypeVar("Result")

_COLUMNS = ("account", "role", "node", "reads", "writes", "note")
_RIGHTS = ("access", "keys")


@app.command()
def add(
    kind: Annotated[Kind, typer.Argument(metavar="KIND", help="Who it is for.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="An agent's node; else the account's name.")],
    password_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Read its password from FILE, `-` for stdin.")
    ] = None,
    certificate: Annotated[
        bool, typer.Option("--certificate", help="No password: its name is a client certificate's common name.")
    ] = False,
    account: Annotated[
        str, typer.Option("--account", help="An agent's account, if not buoy-agent-NODE: a common name.")
    ] = "",
    admin: AdminOption = "",
    admin_password_file: AdminPassword = "",
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Add an account, or give one that is there its password and exactly its rights again.

    \b
    Examples:
      buoy store account add agent compute-1 --password-file /root/compute-1.password
      buoy store account add agent compute-1 --certificate --account compute-1.example.org
      buoy store account add writer buoy-neutron --password-file -
      buoy store account add reader monitoring --certificate --dry-run
    """
    settings = acting_as(admin, admin_password_file)
    wanted = role(kind, name, settings.prefix)
    if account and kind is not Kind.AGENT:
        raise InvalidInput("--account", account, f"leave it out: a {kind}'s account is its NAME")
    called = account or (agent_name(name) if kind is Kind.AGENT else name)
    secret = password(password_file, certificate=certificate)
    done = administer(settings, lambda one: _add(one, called, wanted, None if dry_run else secret))
    rights = msgspec.to_builtins(wanted.rights)
    if output in (Output.JSON, Output.YAML):
        show([{"account": called, "role": wanted.name, "done": done, "rights": rights}], output, [])
        return
    print(f"account {called} {done}, role {wanted.name}:")
    show([{"access": right.access, "keys": right.keys, "end": right.end} for right in wanted.rights], output, _RIGHTS)


async def _add(administrator: Administrator, name: str, wanted: Role, password: str | None) -> str:
    if password is not None:
        return await administrator.add(name, wanted, password)
    there = (await administrator.accounts()).get(name)
    if there is None:
        return "would be created"
    right = wanted.name in there.roles and not there.drift
    return "is there already" if right else "would be corrected"


def password(file: str | None, *, certificate: bool) -> str:
    """Return the password in a file, "" for an account by certificate; raise `InvalidInput` unless one is given."""
    if certificate == (file is not None):
        raise InvalidInput("--password-file", file, "give it, or --certificate, and not both")
    found = bgp_options.password({"password": None, "password_file": file}, "")
    if file is not None and not found:
        raise InvalidInput("--password-file", file, "write a password into it: an empty one lets nobody in")
    return found


@app.command("list")
def list_accounts(
    admin: AdminOption = "", admin_password_file: AdminPassword = "", output: OutputOption = Output.TABLE
) -> None:
    """List accounts with what they may read and write; the note says which have other rights than they should."""
    found = administer(acting_as(admin, admin_password_file), lambda one: one.accounts())
    show([_row(account) for account in found.values()], output, _COLUMNS)


def _row(account: Account) -> dict[str, Any]:
    ours = [found for name in account.roles if (found := kind_of(name))]
    note = f"rights differ: buoy store account add {' '.join(ours[0]).strip()} …" if account.drift else ""
    return {
        "account": account.name,
        "role": [str(kind) for kind, _ in ours] or list(account.roles),
        "node": sorted(account.nodes),
        "reads": [right.keys for right in account.rights if right.access == "read"],
        "writes": ["*"] if ROOT in account.roles else [each.keys for each in account.rights if each.access != "read"],
        "note": note,
        "rights": account.rights,
    }


@app.command()
def remove(
    name: Annotated[str, typer.Argument(metavar="ACCOUNT", help="As `buoy store account list` prints it.")],
    admin: AdminOption = "",
    admin_password_file: AdminPassword = "",
    yes: Yes = False,
    dry_run: DryRunOption = False,
) -> None:
    """Remove an account, and a node's role with its last account.

    Refused for accounts that are not Buoy's, and held (exit code 5) for the agent of a node that lives.

    \b
    Example:
      buoy store account remove buoy-agent-compute-1 --admin root --admin-password-file /root/etcd.password
    """
    settings = acting_as(admin, admin_password_file)
    found = administer(settings, lambda one: one.accounts())
    if name not in found:
        raise Conflict(f"account {name} does not exist: `buoy store account list` shows what does")
    if not any(kind_of(each) for each in found[name].roles):
        raise Conflict(f"account {name} is not Buoy's: remove it with etcdctl, if you must")
    alive = found[name].nodes & living(settings)
    if alive and not yes:
        raise UnsafePlan(f"{', '.join(sorted(alive))} has a living agent: stop it first, or say --yes")
    if not dry_run:
        administer(settings, lambda one: one.remove(found[name]))
    print(f"account {name} {'would be ' if dry_run else ''}removed")


def living(settings: StoreSettings) -> frozenset[str]:
    """Return the nodes whose agents are alive."""
    nodes = with_store(lambda store: listing(store, "nodes/"), settings)
    return frozenset(each.name for each in nodes.documents.values() if isinstance(each, Node))


def acting_as(admin: str, password_file: str) -> StoreSettings:
    """Return the settings, with the administrator's account in them if one is given."""
    settings = store_settings()
    if settings.file:
        raise InvalidInput("store.file", settings.file, "this host reads documents from a file; accounts are etcd's")
    if settings.kubeconfig:
        remedy = "this store is a cluster, whose accounts are Kubernetes' own; for etcd give BUOY_ETCD=http://HOST:2379"
        raise InvalidInput("store.kubeconfig", settings.kubeconfig, remedy)
    if bool(admin) != bool(password_file):
        raise InvalidInput(
            "--admin-password-file", password_file or None, "give --admin and its password file together"
        )
    if not admin:
        return settings
    return msgspec.structs.replace(settings, username=admin, password_file=password_file)


def administer(settings: StoreSettings, act: Callable[[Administrator], Awaitable[Result]]) -> Result:
    """Run one coroutine as an administrator; raise `InvalidInput` that says how to become one."""

    async def acting() -> Result:
        async with Administrator(settings) as administrator:
            return await act(administrator)

    try:
        return asyncio.run(acting())
    except InvalidInput as error:
        if error.field != "username":
            raise
        remedy = f"{error.remedy}; an administrator says --admin root --admin-password-file FILE"
        raise InvalidInput("--admin", settings.username or None, remedy) from error
