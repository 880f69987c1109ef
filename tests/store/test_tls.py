# SPDX-License-Identifier: Apache-2.0
"""Mutual TLS: certificates are asked for, and those that change on disk are used without a restart."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from buoy.model.errors import InvalidInput, StoreUnavailable
from buoy.store.accounts import Administrator
from buoy.store.etcd import EtcdStore
from buoy.store.roles import Kind, role
from buoy.store.settings import StoreSettings
from tests.store.certificates import Authority
from tests.store.etcd_server import EtcdServer
from tests.store.watching import Watching, put, texts

Connect = Callable[[StoreSettings], EtcdStore]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def secured(authority: Authority) -> Iterator[EtcdServer]:
    cert, key = authority.issue("server")
    arguments = ["--cert-file", str(cert), "--key-file", str(key)]
    server = EtcdServer([*arguments, "--client-cert-auth", "--trusted-ca-file", str(authority.ca)], "https")
    try:
        server.start()
        yield server
    finally:
        server.remove()


def identified(server: EtcdServer, authority: Authority, name: str) -> StoreSettings:
    cert, key = authority.issue(name)
    return msgspec.structs.replace(server.settings(), ca=str(authority.ca), cert=str(cert), key=str(key))


async def test_a_certificate_opens_the_store(secured: EtcdServer, authority: Authority, connect: Connect) -> None:
    store = connect(identified(secured, authority, "compute-1"))
    await store.write([put("a")])
    async with Watching(store) as watching:
        assert texts(await watching.next()) == {"a": ""}


async def test_without_a_certificate_nothing_is_said(
    secured: EtcdServer, authority: Authority, connect: Connect
) -> None:
    with pytest.raises(StoreUnavailable):
        await connect(msgspec.structs.replace(secured.settings(), ca=str(authority.ca))).read("pools/a")


async def test_a_server_of_another_authority_is_not_believed(
    secured: EtcdServer, authority: Authority, connect: Connect, tmp_path: Path
) -> None:
    settings = identified(secured, authority, "compute-1")
    with pytest.raises(StoreUnavailable):
        await connect(msgspec.structs.replace(settings, ca=str(Authority(tmp_path / "other").ca))).read("pools/a")


async def test_a_missing_certificate_is_named(secured: EtcdServer, authority: Authority, connect: Connect) -> None:
    settings = identified(secured, authority, "compute-1")
    Path(settings.key).unlink()
    with pytest.raises(InvalidInput, match=r"key: .*compute-1-key\.pem.*No such file"):
        await connect(settings).read("pools/a")


async def test_a_new_authority_and_new_certificates_are_used_without_a_restart_of_ours(
    secured: EtcdServer, authority: Authority, connect: Connect, tmp_path: Path
) -> None:
    settings = identified(secured, authority, "compute-1")
    store = connect(settings)
    await store.write([put("a")])
    async with Watching(store) as watching:
        await watching.next()
        secured.kill()
        new = Authority(tmp_path / "new")
        new.issue("server")
        new.issue("compute-1")
        for file in (tmp_path / "new").iterdir():
            shutil.copy(file, tmp_path / "authority" / file.name)
        secured.start()
        await store.write([put("b")])
        assert (await watching.next()).changed == frozenset({"pools/b"})


async def test_a_renewed_certificate_is_shown_on_the_next_call_while_the_server_runs(
    secured: EtcdServer, authority: Authority, connect: Connect
) -> None:
    settings = identified(secured, authority, "neutron")
    async with Administrator(settings) as administrator:
        await administrator.add("neutron", role(Kind.WRITER, "neutron", settings.prefix))
        await administrator.add("buoy-agent-compute-1", role(Kind.AGENT, "compute-1", settings.prefix))
    async with Administrator(identified(secured, authority, "root")) as administrator:
        await administrator.enable("r")
    store = connect(settings)
    await store.write([put("a")])
    cert, key = authority.issue("buoy-agent-compute-1")
    shutil.copy(cert, settings.cert)
    shutil.copy(key, settings.key)
    with pytest.raises(InvalidInput, match="permission denied"):
        await store.write([put("b")])
    assert (await store.read("pools/a")).revision > 0


async def test_an_account_with_a_password_is_used_beside_a_certificate_from_when_the_cluster_asks_for_it(
    secured: EtcdServer, authority: Authority, connect: Connect, tmp_path: Path
) -> None:
    settings = identified(secured, authority, "host-of-nobody")
    (tmp_path / "password").write_text("n\n")
    store = connect(msgspec.structs.replace(settings, username="neutron", password_file=str(tmp_path / "password")))
    await store.write([put("before")])
    async with Administrator(settings) as administrator:
        await administrator.add("neutron", role(Kind.WRITER, "neutron", settings.prefix), "n")
    async with Administrator(identified(secured, authority, "root")) as administrator:
        await administrator.enable("r")
    await store.write([put("after")])
    async with Watching(store) as watching:
        assert {"before", "after"} == texts(await watching.next()).keys()
