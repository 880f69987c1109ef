# SPDX-License-Identifier: Apache-2.0
"""Documents as people write them: a YAML file, or a directory of them.

Promises: a file is taken as a whole or not at all, and an error names file, number
of the document, field, value and remedy. The tricky thing is YAML's own taste: an
unquoted ``on`` is a boolean and a MAC of digits a number, so types are not coerced.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import yaml

from buoy.model import documents
from buoy.model.documents import Document
from buoy.model.errors import InvalidInput
from buoy.model.group import Member, SecurityGroup
from buoy.model.network import Network, Subnet
from buoy.model.node import Fence
from buoy.model.peer import BGPSettings, Filter, Peer
from buoy.model.pool import Pool
from buoy.model.service_ip import ServiceIP
from buoy.model.workload import Workload

KINDS: dict[str, type[Document]] = {
    struct.__name__: struct
    for struct in (
        BGPSettings, Fence, Filter, Member, Network, Peer, Pool, SecurityGroup, ServiceIP, Subnet, Workload
    )
}  # fmt: skip
"""What may be wished in a file, by the word after ``kind:``; status is not wished."""


def load(source: Path) -> dict[str, Document]:
    """Return the documents of a file, or of all ``*.yaml`` in a directory, by path.

    A file holds documents separated by ``---``, or lists of them. Raises `InvalidInput`.
    """
    found: dict[str, Document] = {}
    origin: dict[str, str] = {}
    for where, item in items(source):
        document = parse(item, where)
        path = documents.path(document)
        if path in found:
            raise InvalidInput(where, path, f"write it once; {origin[path]} is the same")
        found[path], origin[path] = document, where
    return found


def items(source: Path) -> Iterator[tuple[str, object]]:
    """Yield what the files of a source hold, each with where it stands; raise `InvalidInput` for what is no YAML."""
    for file in files(source):
        for number, item in enumerate(_items(file), 1):
            yield f"{file} document {number}", item


def dump(wishes: Sequence[Document]) -> str:
    """Return documents as the text that `load` reads."""
    items = [{"kind": type(wish).__name__, **msgspec.to_builtins(wish)} for wish in wishes]
    return yaml.safe_dump(items, sort_keys=False, default_flow_style=False)


def files(source: Path) -> list[Path]:
    """Return the files that make up a source, in the order they are read; raise `InvalidInput` if there is none."""
    if source.is_dir():
        return sorted(source.glob("*.yaml"))
    if not source.exists():
        raise InvalidInput("file", str(source), "give a YAML file or a directory of *.yaml files")
    return [source]


def parse(item: object, where: str) -> Document:
    """Return the document that one YAML mapping describes; raise `InvalidInput` naming `where`."""
    if not isinstance(item, dict):
        raise InvalidInput(where, item, "write a mapping that begins with `kind: Peer`")
    kind = item.get("kind")
    struct = KINDS.get(kind) if isinstance(kind, str) else None
    if struct is None:
        raise InvalidInput(f"{where}.kind", kind, f"use one of {', '.join(KINDS)}")
    fields = {str(name): value for name, value in item.items() if name != "kind"}
    for name, value in fields.items():
        if name not in struct.__struct_fields__:
            known = ", ".join(struct.__struct_fields__)
            raise InvalidInput(f"{where}.{name}", value, f"{kind} has no such field; it has {known}")
    try:
        document = msgspec.convert(fields, struct)
    except msgspec.ValidationError as error:
        field, found, told = _located(str(error), fields)
        raise InvalidInput(f"{where}.{field}" if field else where, found, f"{told}, in {kind}") from error
    return documents.decode(documents.path(document), documents.encode(document))


def _items(file: Path) -> Iterator[object]:
    try:
        parts = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise InvalidInput("file", str(file), f"make it readable ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InvalidInput("file", str(file), "write it in UTF-8") from error
    except RecursionError as error:
        raise InvalidInput("file", str(file), "nest less deeply: no document has so many levels") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise InvalidInput("file", f"{file}{line}", f"correct the YAML: {problem}") from error
    for part in parts:
        if isinstance(part, list):
            yield from part
        elif part is not None:
            yield part


def _located(message: str, fields: dict[str, object]) -> tuple[str, object, str]:
    """Return field, value and message of a validation error, such as "Expected `int`, got `str` - at `$.asn`"."""
    told, _, place = message.partition(" - at ")
    field = place.strip("`").removeprefix("$").removeprefix(".")
    top = field.partition(".")[0].partition("[")[0]
    return field, fields.get(top, fields), told
