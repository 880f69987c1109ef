# SPDX-License-Identifier: Apache-2.0
"""Documents as people write them."""

from pathlib import Path

import pytest

from buoy.model.address import Address, Prefix
from buoy.model.errors import InvalidInput
from buoy.model.peer import Peer
from buoy.model.pool import Pool
from buoy.store.yaml_documents import dump, load

ROUTER = Peer(name="router", address=Address("192.0.2.1"), asn=64500)
POOL = Pool(name="public", prefixes=(Prefix("198.51.100.0/24"), Prefix("2001:db8::/64")))


def written(directory: Path, text: str, name: str = "peers.yaml") -> Path:
    file = directory / name
    file.write_text(text)
    return file


def refusal(directory: Path, text: str) -> InvalidInput:
    with pytest.raises(InvalidInput) as refused:
        load(written(directory, text))
    return refused.value


def test_a_list_of_documents_is_read(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """
- kind: Peer
  name: router
  address: 192.0.2.1
  asn: 64500
- kind: Pool
  name: public
  prefixes: [198.51.100.0/24, "2001:db8::/64"]
""",
    )
    assert load(file) == {"peers/router": ROUTER, "pools/public": POOL}


def test_documents_separated_by_dashes_are_read(tmp_path: Path) -> None:
    text = "kind: Peer\nname: router\naddress: 192.0.2.1\nasn: 64500\n---\n---\nkind: BGPSettings\n"
    assert set(load(written(tmp_path, text))) == {"peers/router", "settings/bgp"}


def test_a_directory_is_all_its_yaml_files(tmp_path: Path) -> None:
    written(tmp_path, dump([ROUTER]), "one.yaml")
    written(tmp_path, dump([POOL]), "two.yaml")
    written(tmp_path, "not: yours", "notes.txt")
    assert load(tmp_path) == {"peers/router": ROUTER, "pools/public": POOL}


def test_what_is_dumped_is_read_again(tmp_path: Path) -> None:
    assert load(written(tmp_path, dump([ROUTER, POOL]))) == {"peers/router": ROUTER, "pools/public": POOL}


def test_an_empty_file_wishes_nothing(tmp_path: Path) -> None:
    assert load(written(tmp_path, "")) == {}


@pytest.mark.parametrize(
    ("text", "field", "value", "remedy"),
    [
        (
            ("- {kind: Peer, name: a, address: 192.0.2.1, asn: 1}\n"
            "- {kind: Peer, name: b, address: 192.0.2.2, asn: '7'}"),
            "peers.yaml document 2.asn", "7", "Expected `int`, got `str`",
        ),
        ("kind: Peer\nname: a\nasn: 1", "peers.yaml document 1", {"name": "a", "asn": 1}, "required field `address`"),
        (
            "kind: Peer\nname: a\nadress: 192.0.2.1",
            "peers.yaml document 1.adress", "192.0.2.1", "it has schema, name, address",
        ),
        ("kind: Pear\nname: a", "peers.yaml document 1.kind", "Pear", "use one of BGPSettings, Fence"),
        ("name: a", "peers.yaml document 1.kind", None, "use one of"),
        ("[" * 5000, "file", "peers.yaml", "nest less deeply"),
        ("kind: Node\nname: compute-1", "peers.yaml document 1.kind", "Node", "use one of"),
        ("- just text", "peers.yaml document 1", "just text", "kind: Peer"),
        ("kind: [", "file", "peers.yaml line 1", "correct the YAML"),
        ("a: !!python/name:os.system x", "file", "peers.yaml line 1", "correct the YAML"),
    ],
)  # fmt: skip
def test_an_error_names_file_document_field_value_and_remedy(
    tmp_path: Path, text: str, field: str, value: object, remedy: str
) -> None:
    error = refusal(tmp_path, text)
    where = f"{tmp_path}/"
    assert error.field.removeprefix(where) == field
    assert (error.value.removeprefix(where) if isinstance(error.value, str) else error.value) == value
    assert remedy in error.remedy


def test_the_same_document_twice_is_refused_with_both_places(tmp_path: Path) -> None:
    error = refusal(tmp_path, dump([ROUTER, ROUTER]))
    assert error.field == f"{tmp_path}/peers.yaml document 2"
    assert f"{tmp_path}/peers.yaml document 1" in error.remedy


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"absent\.yaml"):
        load(tmp_path / "absent.yaml")


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "peers.yaml").write_bytes(b"kind: Peer\nname: \xff")
    with pytest.raises(InvalidInput, match="UTF-8"):
        load(tmp_path / "peers.yaml")
