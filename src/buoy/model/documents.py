# SPDX-License-Identifier: Apache-2.0
"""Documents: which struct stands under which key, and how it is written.

One key per fact. A path is relative to `ownership.STORE_PREFIX` and begins with
the kind. `decode` names the field that is wrong, for a broken client may have
written anything.
"""

from typing import TypeAlias

import msgspec

from buoy.model import validate
from buoy.model.errors import InvalidInput
from buoy.model.group import Member, SecurityGroup
from buoy.model.network import Network, Subnet
from buoy.model.node import Fence, Node
from buoy.model.peer import BGPSettings, Filter, Peer
from buoy.model.pool import Pool
from buoy.model.proxied import Eligibility
from buoy.model.service_ip import ServiceIP
from buoy.model.status import AddressStatus, Witness, WorkloadStatus
from buoy.model.workload import Workload
from buoy.model.writer import Writer

SCHEMA = 1
"""The version written; one version back and one forward is read."""

_UNSAID = 1
"""The version of a text that names none, for ever: what is left out must not mean another version to another reader.

Inside, every document has this one: the version is of the text, and two that say the same are equal.
"""

Document: TypeAlias = (
    Pool
    | Network
    | Subnet
    | Workload
    | ServiceIP
    | SecurityGroup
    | Member
    | Node
    | Fence
    | Writer
    | Peer
    | Filter
    | BGPSettings
    | AddressStatus
    | WorkloadStatus
    | Witness
    | Eligibility
)

_KINDS: dict[str, type[Document]] = {
    "pools": Pool,
    "networks": Network,
    "subnets": Subnet,
    "workloads": Workload,
    "service-ips": ServiceIP,
    "groups": SecurityGroup,
    "members": Member,
    "nodes": Node,
    "fences": Fence,
    "writers": Writer,
    "peers": Peer,
    "filters": Filter,
    "settings": BGPSettings,
    "eligibility": Eligibility,
}
_STATUS: dict[str, type[Document]] = {"address": AddressStatus, "workload": WorkloadStatus, "witness": Witness}

_encoder = msgspec.json.Encoder(order="deterministic")
_decoders = {struct: msgspec.json.Decoder(struct, strict=True) for struct in (*_KINDS.values(), *_STATUS.values())}


def path(document: Document) -> str:
    """Return where a document stands."""
    match document:
        case Pool(name=name):
            return f"pools/{name}"
        case Network(id=identity):
            return f"networks/{identity}"
        case Subnet(id=identity):
            return f"subnets/{identity}"
        case Workload(node=node, id=identity):
            return f"workloads/{node}/{identity}"
        case ServiceIP(address=address):
            return f"service-ips/{address}"
        case SecurityGroup(id=identity):
            return f"groups/{identity}"
        case Member(group=group, prefix=prefix):
            return f"members/{group}/{prefix}"
        case Node(name=name):
            return f"nodes/{name}"
        case Fence(node=node):
            return f"fences/{node}"
        case Writer(name=name):
            return f"writers/{name}"
        case Peer(name=name):
            return f"peers/{name}"
        case Filter(name=name):
            return f"filters/{name}"
        case BGPSettings():
            return "settings/bgp"
        case Eligibility(node=node):
            return f"eligibility/{node}"
        case AddressStatus(node=node, address=address):
            return f"status/{node}/address/{address}"
        case Witness(node=node):
            return f"status/{node}/witness/store"
        case _:
            return f"status/{document.node}/workload/{document.workload}"


def kind(at: str) -> type[Document] | None:
    """Return the struct that stands under a path, None if no kind of ours does."""
    segments = at.split("/")
    if segments[0] == "status":
        return _STATUS.get(segments[2]) if len(segments) > 3 else None
    return _KINDS.get(segments[0]) if len(segments) > 1 else None


def kinds() -> dict[str, type[Document]]:
    """Return every struct by where its documents stand, for who describes them all."""
    return {
        **{f"{segment}/…": struct for segment, struct in _KINDS.items()},
        **{f"status/NODE/{segment}/…": struct for segment, struct in _STATUS.items()},
    }


def encode(document: Document) -> bytes:
    """Return the one JSON text of a document: equal documents have equal bytes."""
    return _encoder.encode(_of_version(document, SCHEMA))


def decode(at: str, raw: bytes) -> Document:
    """Return the document written under `at`; raise `InvalidInput` if it is none, or is not the one for this path."""
    struct = kind(at)
    if struct is None:
        raise InvalidInput(at, raw[:80], "no kind of document stands here; delete the key")
    try:
        document = _decoders[struct].decode(raw)
    except msgspec.MsgspecError as error:
        raise InvalidInput(at, raw[:80], f"rewrite it as {struct.__name__} ({error})") from error
    if abs(document.schema - SCHEMA) > 1:
        raise InvalidInput(f"{at}.schema", document.schema, f"this version reads {SCHEMA - 1} to {SCHEMA + 1}")
    if path(document) != at:
        raise InvalidInput(at, path(document), "the document must stand under the path it names")
    validate.check(at, document)
    return _of_version(document, _UNSAID)


def _of_version(document: Document, schema: int) -> Document:
    return document if document.schema == schema else msgspec.structs.replace(document, schema=schema)
