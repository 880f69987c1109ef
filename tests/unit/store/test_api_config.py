# SPDX-License-Identifier: Apache-2.0
"""Where the API server is said to be, and who we are there."""

import base64
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from buoy.model.errors import InvalidInput
from buoy.store.api_config import ApiSettings, Secret, find, in_cluster, kubeconfig


def config(user: Mapping[str, object] | None = None, **cluster: object) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{"name": "one", "cluster": {"server": "https://192.0.2.1:6443", **cluster}}],
        "users": [{"name": "me", "user": {"token": "secret"} if user is None else user}],
        "contexts": [{"name": "lab", "context": {"cluster": "one", "user": "me"}}],
    }


def write(directory: Path, content: object, name: str = "config") -> Path:
    file = directory / name
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return file


def refused(file: Path, context: str = "") -> InvalidInput:
    with pytest.raises(InvalidInput) as error:
        kubeconfig([file], context)
    return error.value


def test_current_context_is_taken(tmp_path: Path) -> None:
    file = write(tmp_path, config())
    wanted = ApiSettings(server="https://192.0.2.1:6443", token=Secret(data=b"secret"), source=f"{file} context lab")
    assert wanted == kubeconfig([file])


def test_another_context_can_be_named(tmp_path: Path) -> None:
    content = config()
    content["clusters"] = [*content["clusters"], {"name": "two", "cluster": {"server": "https://[2001:db8::1]:6443"}}]  # type: ignore[misc]
    content["contexts"] = [*content["contexts"], {"name": "other", "context": {"cluster": "two", "namespace": "x"}}]  # type: ignore[misc]
    settings = kubeconfig([write(tmp_path, content)], "other")
    assert ("https://[2001:db8::1]:6443", "x", Secret()) == (settings.server, settings.namespace, settings.token)


def test_files_are_beside_the_kubeconfig_and_read_when_used(tmp_path: Path) -> None:
    user = {"tokenFile": "token", "client-certificate": "me.pem", "client-key": "/keys/me.pem"}
    settings = kubeconfig([write(tmp_path, config(user, **{"certificate-authority": "ca.pem"}))])
    assert Secret(str(tmp_path / "ca.pem")) == settings.ca
    assert Secret(str(tmp_path / "me.pem")) == settings.cert
    assert Secret("/keys/me.pem") == settings.key
    with pytest.raises(InvalidInput, match="tokenFile"):
        settings.token.read("tokenFile")
    (tmp_path / "token").write_text("one")
    assert b"one" == settings.token.read("tokenFile")
    (tmp_path / "token").write_text("two")
    assert b"two" == settings.token.read("tokenFile")


def test_content_wins_over_a_file(tmp_path: Path) -> None:
    cluster = {"certificate-authority": "ca.pem", "certificate-authority-data": base64.b64encode(b"PEM").decode()}
    assert Secret(data=b"PEM") == kubeconfig([write(tmp_path, config({}, **cluster))]).ca


def test_file_of_a_token_wins_over_a_token(tmp_path: Path) -> None:
    user: dict[str, object] = {"token": "old", "tokenFile": "/run/token"}
    assert Secret("/run/token") == kubeconfig([write(tmp_path, config(user))]).token


def test_first_of_several_files_wins(tmp_path: Path) -> None:
    first = write(tmp_path, {"users": [{"name": "me", "user": {"token": "first"}}]}, "first")
    settings = kubeconfig([first, write(tmp_path, config(), "second")])
    assert (b"first", "https://192.0.2.1:6443") == (settings.token.data, settings.server)


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    assert "hidden" not in repr(kubeconfig([write(tmp_path, config({"token": "hidden"}))]))


@pytest.mark.parametrize(
    ("user", "cluster", "field", "remedy"),
    [
        ({}, {"insecure-skip-tls-verify": True}, "insecure-skip-tls-verify", "give certificate-authority"),
        ({}, {"proxy-url": "http://192.0.2.9"}, "proxy-url", "server's own address"),
        ({}, {"server": "192.0.2.1:6443"}, "server", "write it as https://host:port"),
        ({}, {"server": "https://192.0.2.1:99999"}, "server", "write it as https://host:port"),
        ({}, {"server": "http://192.0.2.1:8080"}, "server", "use https://"),
        ({}, {"certificate-authority-data": "%%%"}, "certificate-authority-data", "base64"),
        ({"exec": {"command": "aws"}}, {}, "user.exec", "tokenFile or client-certificate"),
        ({"auth-provider": {"name": "oidc"}}, {}, "user.auth-provider", "tokenFile or client-certificate"),
        ({"username": "me", "password": "x"}, {}, "user.username", "tokenFile or client-certificate"),
        ({"as": "another"}, {}, "user.as", "tokenFile or client-certificate"),
        ({"client-certificate": "me.pem"}, {}, "client-key", "together"),
    ],
)
def test_what_cannot_work_or_would_not_be_safe_is_refused(
    user: dict[str, object], cluster: dict[str, object], field: str, remedy: str, tmp_path: Path
) -> None:
    error = refused(write(tmp_path, config(user, **cluster)))
    assert field == error.field
    assert remedy in error.remedy


def test_server_on_this_host_may_be_spoken_to_in_clear(tmp_path: Path) -> None:
    for server in ("http://127.0.0.1:8001", "http://localhost:8001", "http://[::1]:8001"):
        assert server == kubeconfig([write(tmp_path, config({}, server=server))]).server


@pytest.mark.parametrize("name", ["cluster", "user"])
def test_name_that_leads_nowhere_is_refused_with_those_there_are(name: str, tmp_path: Path) -> None:
    content = config()
    content["contexts"] = [{"name": "lab", "context": {"cluster": "one", "user": "me", name: "nobody"}}]
    error = refused(write(tmp_path, content))
    assert (name, "nobody") == (error.field, error.value)
    assert {"cluster": "one", "user": "me"}[name] in error.remedy


def test_context_that_is_not_there_is_refused_with_those_there_are(tmp_path: Path) -> None:
    assert "lab" in refused(write(tmp_path, config()), "other").remedy
    assert "current-context" == refused(write(tmp_path, {**config(), "current-context": ""})).field


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("users: [", "correct the YAML"),
        ("- a list", "Expected `object`"),
        ("clusters: [{name: one}]", "cluster"),
        ("users: [{name: me, user: {token: 5}}]", "token"),
    ],
)
def test_what_is_no_kubeconfig_is_refused(text: str, remedy: str, tmp_path: Path) -> None:
    file = write(tmp_path, text)
    error = refused(file)
    assert ("kubeconfig", str(file)) == (error.field, error.value)
    assert remedy in error.remedy


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "nowhere").remedy
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xff")
    assert "UTF-8" in refused(tmp_path / "binary").remedy


def account(directory: Path) -> Path:
    for name, text in (("token", "pod"), ("ca.crt", "PEM"), ("namespace", "buoy-system\n")):
        (directory / name).write_text(text)
    return directory


def test_pod_finds_its_server_by_its_surroundings(tmp_path: Path) -> None:
    surroundings = {"KUBERNETES_SERVICE_HOST": "2001:db8::1", "KUBERNETES_SERVICE_PORT": "6443"}
    settings = in_cluster(surroundings, account(tmp_path))
    assert "https://[2001:db8::1]:6443" == settings.server
    assert (Secret(f"{tmp_path}/token"), Secret(f"{tmp_path}/ca.crt")) == (settings.token, settings.ca)
    assert "buoy-system" == settings.namespace


def test_pod_without_an_account_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="serviceAccountName"):
        in_cluster({"KUBERNETES_SERVICE_HOST": "192.0.2.1"}, tmp_path)
    with pytest.raises(InvalidInput, match="KUBERNETES_SERVICE_HOST"):
        in_cluster({}, account(tmp_path))


def test_order_of_places(tmp_path: Path) -> None:
    named = write(tmp_path, config(server="https://192.0.2.1:1"), "named")
    environment = write(tmp_path, config(server="https://192.0.2.1:2"), "environment")
    (tmp_path / ".kube").mkdir()
    write(tmp_path / ".kube", config(server="https://192.0.2.1:3"))
    surroundings = {"HOME": str(tmp_path), "KUBECONFIG": f"{tmp_path}/missing:{environment}"}
    assert "https://192.0.2.1:1" == find(str(named), "", surroundings).server
    assert "https://192.0.2.1:2" == find("", "", surroundings).server
    assert "https://192.0.2.1:3" == find("", "", {"HOME": str(tmp_path)}).server
    assert "https://192.0.2.1:3" == find("", "", {"HOME": str(tmp_path), "KUBECONFIG": ":"}).server
    with pytest.raises(InvalidInput, match="service"):
        # in a pod its own account goes before a file that happens to lie about
        find("", "", {"HOME": str(tmp_path), "KUBERNETES_SERVICE_HOST": "192.0.2.1"})
    with pytest.raises(InvalidInput, match="name a kubeconfig file"):
        find("", "", {"HOME": str(tmp_path / "nowhere")})
