# SPDX-License-Identifier: Apache-2.0
"""Settings no agent can run with are refused before it starts, by field, value and remedy."""

from pathlib import Path

import pytest

from buoy.model.errors import InvalidInput
from buoy.runtime.settings import load


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("[metadata]\nport = 99999", "metadata.port", 99999),
        ("[metadata]\nport = -1", "metadata.port", -1),
        ("[store]\nendpoints = ['ftp://192.0.2.10']", "endpoints", "ftp://192.0.2.10"),
        ("[store]\nprefix = 'buoy'", "prefix", "buoy"),
        ("node = 'a/b'", "node", "a/b"),
        ("addresses = ['192.0.2.300']", "addresses", "192.0.2.300"),
        ("[health]\nlisten = '9705'", "health.listen", "9705"),
        ("[health]\nlisten = '127.0.0.1:http'", "health.listen", "127.0.0.1:http"),
        ("[health]\nlisten = '127.0.0.1:70000'", "health.listen", "127.0.0.1:70000"),
    ],
)
def test_a_setting_that_cannot_be_is_named(tmp_path: Path, text: str, field: str, value: object) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(text)
    with pytest.raises(InvalidInput) as refused:
        load(str(file))
    assert (True, value) == (refused.value.field.endswith(field), refused.value.value)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match=r"agent\.toml: .* is not valid: make it readable TOML"):
        load(str(file))


def test_a_store_in_a_file_needs_no_endpoints(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text("[store]\nfile = '/srv/documents'\nendpoints = []")
    assert "/srv/documents" == load(str(file)).store.file
