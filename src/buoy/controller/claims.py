# SPDX-License-Identifier: Apache-2.0
"""Claims as objects of the API server: one per address, named after it, so that no address has two."""

from typing import Any

import msgspec

from buoy.controller.subject import Claim
from buoy.kubernetes.escaping import escape, unescape
from buoy.kubernetes.own import STRUCTS, decode, encode
from buoy.kubernetes.resources import KINDS
from buoy.model import documents
from buoy.model.address import Address
from buoy.model.errors import InvalidInput
from buoy.model.service_ip import Mode, ServiceIP
from buoy.store.api_names import ObjectName

_KIND = next(kind for kind in KINDS if kind.struct is ServiceIP)
CLAIMS = _KIND.resource
CLAIM_OBJECT: Any = STRUCTS[CLAIMS]
"""The struct of a claim's object."""


def object_of(document: ServiceIP) -> dict[str, Any]:
    """Return the object to send for a claim."""
    return encode(documents.path(document), document)


def claim_of(found: Any) -> Claim:  # noqa: ANN401  a struct made at run time has no static type
    """Return the claim an object is; raise `InvalidInput` if it says what cannot be."""
    document = decode(_KIND, found)
    assert isinstance(document, ServiceIP)
    return Claim(document, found.metadata.resource_version)


def of_cluster(claim: Claim, cluster: str) -> Claim:
    """Return a floating IP as that of a cluster: who gives one by hand seldom writes where its owner is."""
    document = claim.document
    if not cluster or document.mode is not Mode.TRANSLATED or all(owner.cluster for owner in document.owners):
        return claim
    owners = tuple(msgspec.structs.replace(each, cluster=each.cluster or cluster) for each in document.owners)
    return claim._replace(document=msgspec.structs.replace(document, owners=owners))


def name_of(address: Address) -> ObjectName:
    """Return what the claim of an address is called."""
    return ObjectName("", escape(address))


def address_of(name: ObjectName) -> Address | None:
    """Return the address a claim's name says, None if it says none."""
    try:
        address, rest = unescape(name.name)
    except InvalidInput:
        return None
    return None if rest else address
