# SPDX-License-Identifier: Apache-2.0
"""Accounts in etcd, through its Auth service: add, list, remove, and let the cluster ask for them.

Promises: each call may be repeated, also after it was killed halfway, and ends in the
same state; a role has exactly the rights of `roles.py`, whatever it had before. The
tricky thing is a role in use: what it lacks is granted before what is too much is
taken, so its agent is never without a right it needs. An account's name may be the
common name of a client certificate; then it needs no password.
"""

from collections.abc import Mapping
from typing import Self

import msgspec
from google.protobuf.message import Message

from buoy.model.errors import Conflict, InvalidInput
from buoy.store.etcd_channel import Connection, Reply
from buoy.store.proto import etcd_pb2 as pb
from buoy.store.roles import Kind, Right, Role, agent_name, intended, kind_of
from buoy.store.settings import StoreSettings, check

ROOT = "root"
"""etcd's own administrator; a cluster that asks for accounts must have it."""

_PATIENCE = 10.0
"""Seconds a call may take: a password is hashed on each member, and a person waits."""

_ACCESS = {pb.Permission.READ: "read", pb.Permission.WRITE: "write", pb.Permission.READWRITE: "readwrite"}
_TYPES = {access: kind for kind, access in _ACCESS.items()}


class Account(msgspec.Struct, frozen=True):
    """An account with the rights of all its roles; `drift`: a role of Buoy's has other rights than it should."""

    name: str
    roles: tuple[str, ...]
    rights: tuple[Right, ...] = ()
    drift: bool = False

    @property
    def nodes(self) -> frozenset[str]:
        """The nodes whose agent it may be."""
        found = [kind_of(name) for name in self.roles]
        return frozenset(each[1] for each in found if each is not None and each[0] is Kind.AGENT)


class Administrator:
    """A connection as an administrator; methods raise `InvalidInput` without the right to it, `StoreUnavailable`."""

    def __init__(self, settings: StoreSettings) -> None:
        check(settings)
        self._connection = Connection(settings)
        self._prefix = settings.prefix

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def asks(self) -> bool:
        """Tell whether the cluster asks for accounts."""
        try:
            # nobody's name: only a cluster that asks looks at it
            nobody = pb.AuthenticateRequest(name="-", password="-")  # noqa: S106  nobody's password
            await self._call("Authenticate", nobody, pb.AuthenticateResponse)
        except Conflict:
            return False
        except InvalidInput:
            return True
        return True

    async def accounts(self) -> dict[str, Account]:
        """Return every account of the cluster by name, also those that are not Buoy's."""
        listed = await self._call("UserList", pb.AuthUserListRequest(), pb.AuthUserListResponse)
        roles: dict[str, frozenset[Right]] = {}
        found = {}
        for name in sorted(listed.users):
            held = await self._roles(name) or ()
            for each in held:
                roles[each] = roles.get(each) or await self._rights(each) or frozenset()
            found[name] = self._account(name, held, roles)
        return found

    async def add(self, name: str, wanted: Role, password: str = "") -> str:
        """Make an account with a role and what rights it has; return what was done, such as ``created``.

        Raises `Conflict` if the account is etcd's own or has another role of Buoy's.
        """
        held = await self._roles(name)
        _check_free(name, wanted, held)
        done = ["rights corrected"] if await self._make(wanted) else []
        if held is None:
            options = pb.UserAddOptions(no_password=not password)
            await self._ask("UserAdd", pb.AuthUserAddRequest(name=name, password=password, options=options))
            done = ["created"]
        elif password:
            await self._ask("UserChangePassword", pb.AuthUserChangePasswordRequest(name=name, password=password))
            done.append("password set")
        if wanted.name not in (held or ()):
            await self._ask("UserGrantRole", pb.AuthUserGrantRoleRequest(user=name, role=wanted.name))
            done = done if held is None else [*done, f"role {wanted.name} granted"]
        return ", ".join(done) or "unchanged"

    async def remove(self, account: Account) -> None:
        """Delete an account, and an agent's role with its last account."""
        await self._find("UserDelete", pb.AuthUserDeleteRequest(name=account.name), pb.AuthResponse)
        left = {name for each in (await self.accounts()).values() for name in each.roles}
        for node in account.nodes:
            if agent_name(node) not in left:
                await self._find("RoleDelete", pb.AuthRoleDeleteRequest(role=agent_name(node)), pb.AuthResponse)

    async def enable(self, root_password: str) -> bool:
        """Create etcd's account ``root`` and let the cluster ask for accounts; tell whether it did not ask before."""
        if await self.asks():
            return False
        await self._make(Role(ROOT, ()))
        held = await self._roles(ROOT)
        if held is None:
            await self._ask("UserAdd", pb.AuthUserAddRequest(name=ROOT, password=root_password))
        else:
            await self._ask("UserChangePassword", pb.AuthUserChangePasswordRequest(name=ROOT, password=root_password))
        if ROOT not in (held or ()):
            await self._ask("UserGrantRole", pb.AuthUserGrantRoleRequest(user=ROOT, role=ROOT))
        await self._ask("AuthEnable", pb.AuthEnableRequest())
        return True

    async def disable(self) -> None:
        """Let everybody who reaches the cluster in again."""
        await self._ask("AuthDisable", pb.AuthDisableRequest())

    def _account(self, name: str, held: tuple[str, ...], rights: Mapping[str, frozenset[Right]]) -> Account:
        ours = (found for each in held if (found := intended(each, self._prefix)))
        drift = any(frozenset(found.rights) != rights[found.name] for found in ours)
        return Account(name, held, tuple(sorted({right for each in held for right in rights[each]})), drift)

    async def _make(self, wanted: Role) -> bool:
        """Bring a role to its rights; tell whether it had others."""
        held = await self._rights(wanted.name)
        if held is None:
            await self._ask("RoleAdd", pb.AuthRoleAddRequest(name=wanted.name))
        for right in wanted.rights:
            if right not in (held or ()):
                await self._ask("RoleGrantPermission", _grant(wanted.name, right))
        ranges = {(right.key, right.end) for right in wanted.rights}
        excess = [right for right in held or () if (right.key, right.end) not in ranges] if wanted.name != ROOT else []
        for right in excess:
            key, end = right.key.encode(), right.end.encode()
            revoke = pb.AuthRoleRevokePermissionRequest(role=wanted.name, key=key, range_end=end)
            await self._ask("RoleRevokePermission", revoke)
        return held is not None and held != frozenset(wanted.rights)

    async def _roles(self, account: str) -> tuple[str, ...] | None:
        answer = await self._find("UserGet", pb.AuthUserGetRequest(name=account), pb.AuthUserGetResponse)
        return None if answer is None else tuple(sorted(answer.roles))

    async def _rights(self, name: str) -> frozenset[Right] | None:
        answer = await self._find("RoleGet", pb.AuthRoleGetRequest(role=name), pb.AuthRoleGetResponse)
        return None if answer is None else frozenset(_right(permission) for permission in answer.perm)

    async def _ask(self, method: str, request: Message) -> None:
        await self._call(method, request, pb.AuthResponse)

    async def _call(self, method: str, request: Message, reply: type[Reply]) -> Reply:
        return await self._connection.call(f"Auth/{method}", request, reply, _PATIENCE)

    async def _find(self, method: str, request: Message, reply: type[Reply]) -> Reply | None:
        """Return the answer, None if what it is about does not exist."""
        try:
            return await self._call(method, request, reply)
        except Conflict as error:
            if "not found" in str(error):
                return None
            raise


def _check_free(name: str, wanted: Role, held: tuple[str, ...] | None) -> None:
    if name == ROOT:
        raise Conflict("root is etcd's own account: `buoy store auth enable` makes it")
    others = [each for each in held or () if kind_of(each) and each != wanted.name]
    if others:
        raise Conflict(f"account {name} has the role {others[0]}: `buoy store account remove {name}` first")


def _right(permission: pb.Permission) -> Right:
    key, end = (raw.decode(errors="backslashreplace") for raw in (permission.key, permission.range_end))
    return Right(key, end, _ACCESS[permission.permType])


def _grant(name: str, right: Right) -> pb.AuthRoleGrantPermissionRequest:
    permission = pb.Permission(permType=_TYPES[right.access], key=right.key.encode(), range_end=right.end.encode())
    return pb.AuthRoleGrantPermissionRequest(name=name, perm=permission)
