# SPDX-License-Identifier: Apache-2.0
"""What an operator may write wrongly about BGP is told by field, value and remedy, and changes nothing."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.bare import Bare, bare_cloud


@pytest.fixture(scope="module")
def cloud() -> Iterator[Bare]:
    """A cloud with one peer beside the lab's own."""
    with bare_cloud("peer-input") as made:
        made.buoy("peer", "add", "plain", "--address", "192.168.8.21", "--asn", "65021")
        yield made


@pytest.fixture(scope="module")
def before(cloud: Bare) -> str:
    return everything(cloud)


def everything(cloud: Bare) -> str:
    """Return all that is stored of BGP."""
    return "".join(cloud.etcdctl("get", "--prefix", f"/buoy/v1/{kind}") for kind in ("peers", "filters", "settings"))


@pytest.mark.usefixtures("before")
@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("peer add x --address 192.168.8.300 --asn 65001", ("--address", "192.168.8.300")),
        ("peer add x --address 127.0.0.1 --asn 65001", ("address", "127.0.0.1", "another router")),
        ("peer add x --address 192.168.8.99", ("--asn", "peer needs it")),
        ("peer set plain --asn 0", ("peers/plain.asn", "0", "1 to 4294967295")),
        ("peer set plain --hold-time 2", ("peers/plain.hold_time", "2", "3 to 65535")),
        ("peer set plain --keepalive 60", ("peers/plain.keepalive", "60", "half the hold time")),
        ("peer set plain --bfd-interval 1", ("peers/plain.bfd.interval", "1", "10 to 60000")),
        ("peer set plain --bfd-multiplier 0", ("peers/plain.bfd.multiplier", "0", "2 to 255")),
        ("peer set plain --multihop 300", ("peers/plain.multihop", "300", "1 to 255")),
        ("peer set plain --port 70000", ("peers/plain.port", "70000", "1 to 65535")),
        ("peer set plain --source fd00:8::1", ("peers/plain.source", "fd00:8::1", "family")),
        ("peer set plain --password 'a\"b'", ("peers/plain.password", "(hidden)", "double quote")),
        ("peer set plain --export-filter nowhere", ("peers/plain.export_filter", "nowhere", "buoy filter add")),
        ("peer set plain --reflector-client", ("peers/plain.reflector_client", "AS 65021", "inside AS 64512")),
        ("peer set plain --password-file /nowhere", ("--password-file", "/nowhere", "readable")),
        ("bgp set --asn 23456", ("settings/bgp.asn", "23456")),
        ("bgp set --cluster-id fd00::1", ("settings/bgp.cluster_id", "fd00::1", "IPv4")),
        ("bgp set --originate 10.0.0.1/8", ("--originate", "10.0.0.1/8")),
        ("filter add x reject", ("RULE", "reject", "accept 192.0.2.0/24")),
        ("filter add x 'reject 10.0.0.0/8 4..32'", ("filters/x.rules[0]", "4..32", "8 <= low")),
        ("apply -f /run/tmp/nowhere.yaml", ("nowhere.yaml", "give a YAML file")),
    ],
)
def test_bad_input_is_refused_by_field_value_and_remedy(cloud: Bare, words: str, parts: tuple[str, ...]) -> None:
    done = cloud.lab.exec("controller", "sh", "-c", f"buoy {words}", check=False)
    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("buoy: ")
    assert 1 == len(done.stderr.splitlines())
    assert [] == [part for part in parts if part not in done.stderr], done.stderr


def test_what_was_refused_changed_nothing(cloud: Bare, before: str) -> None:
    names = {one["name"] for one in json.loads(cloud.buoy("peer", "list", "-o", "json"))}
    assert ({"access", "plain"}, before) == (names, everything(cloud))
