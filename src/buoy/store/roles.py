"""Accounts in etcd: who may write what, so that one node's agent cannot speak for another.

Promises: each call may be repeated and ends in the same state. An agent reads
everything under the prefix and writes only its own status and heartbeat; a writer
(Neutron, an operator) writes everything under it. An account's name may be the
common name of a client certificate; then it needs no password.
"""

from collections.abc import Sequence
from typing import Self

from google.protobuf.message import Message

from buoy.model.errors import Conflict
from buoy.store.etcd_channel import Connection
from buoy.store.etcd_listing import range_end
from buoy.store.proto import etcd_pb2 as pb
from buoy.store.settings import StoreSettings, check

WRITER = "buoy-writer"
"""The role of Neutron and of operators."""


def agent_name(node: str) -> str:
    """Return the name of a node's role and account."""
    return f"buoy-agent-{node}"


async def add_agent(settings: StoreSettings, node: str, password: str = "") -> str:
    """Create a node's role and account, or set its password anew; return the account's name.

    `settings` are an administrator's. Raises `InvalidInput` without the right to it, `StoreUnavailable`.
    """
    permissions = (
        _permission(settings, pb.Permission.READ, "", tree=True),
        _permission(settings, pb.Permission.READWRITE, f"status/{node}/", tree=True),
        _permission(settings, pb.Permission.READWRITE, f"nodes/{node}", tree=False),
    )
    name = agent_name(node)
    async with _Administrator(settings) as administrator:
        await administrator.role(name, permissions)
        await administrator.user(name, name, password)
    return name


async def add_writer(settings: StoreSettings, name: str, password: str = "") -> None:
    """Create an account that writes everything under the prefix; see `add_agent`."""
    everything = (_permission(settings, pb.Permission.READWRITE, "", tree=True),)
    async with _Administrator(settings) as administrator:
        await administrator.role(WRITER, everything)
        await administrator.user(name, WRITER, password)


async def enable(settings: StoreSettings, root_password: str) -> None:
    """Create etcd's account ``root`` and let the cluster ask for accounts from now on; see `add_agent`."""
    async with _Administrator(settings) as administrator:
        await administrator.role("root", ())
        await administrator.user("root", "root", root_password)
        await administrator.ask("AuthEnable", pb.AuthEnableRequest())


class _Administrator:
    """A connection for etcd's Auth service."""

    def __init__(self, settings: StoreSettings) -> None:
        check(settings)
        self._connection = Connection(settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def role(self, name: str, permissions: Sequence[pb.Permission]) -> None:
        await self._add("RoleAdd", pb.AuthRoleAddRequest(name=name))
        for permission in permissions:
            await self.ask("RoleGrantPermission", pb.AuthRoleGrantPermissionRequest(name=name, perm=permission))

    async def user(self, name: str, role: str, password: str) -> None:
        options = pb.UserAddOptions(no_password=not password)
        added = await self._add("UserAdd", pb.AuthUserAddRequest(name=name, password=password, options=options))
        if not added and password:
            await self.ask("UserChangePassword", pb.AuthUserChangePasswordRequest(name=name, password=password))
        await self.ask("UserGrantRole", pb.AuthUserGrantRoleRequest(user=name, role=role))

    async def ask(self, method: str, request: Message) -> None:
        await self._connection.call(f"Auth/{method}", request, pb.AuthResponse)

    async def _add(self, method: str, request: Message) -> bool:
        try:
            await self.ask(method, request)
        except Conflict:
            return False
        return True


def _permission(settings: StoreSettings, kind: pb.Permission.Type, path: str, *, tree: bool) -> pb.Permission:
    key = (settings.prefix + path).encode()
    return pb.Permission(permType=kind, key=key, range_end=range_end(key) if tree else b"")
