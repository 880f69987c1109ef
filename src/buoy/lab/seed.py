# SPDX-License-Identifier: Apache-2.0
"""Write the lab's first documents: the access node as everybody's BGP neighbour.

Speaks etcd's JSON gateway, so that a lab whose store client is broken still
comes up and shows it. A document that is there already is left as it is.
"""

import base64
import http.client
import json
import sys

from buoy.lab.configuration import ACCESS_AS
from buoy.model import documents, ownership
from buoy.model.address import parse_address
from buoy.model.documents import Document
from buoy.model.peer import Bfd, BGPSettings, Peer


def first_documents(access: str) -> tuple[Document, ...]:
    """Return what a fresh lab's store holds."""
    return (
        Peer(name="access", address=parse_address(access), asn=ACCESS_AS, bfd=Bfd(interval=100, multiplier=5)),
        BGPSettings(),
    )


def put_absent(connection: http.client.HTTPConnection, document: Document) -> None:
    """Write one document unless its key exists; raise OSError if the store does not take it."""
    key = _text(f"{ownership.STORE_PREFIX}{documents.path(document)}".encode())
    request = {
        "compare": [{"key": key, "target": "CREATE", "result": "EQUAL", "create_revision": "0"}],
        "success": [{"request_put": {"key": key, "value": _text(documents.encode(document))}}],
    }
    connection.request("POST", "/v3/kv/txn", json.dumps(request))
    response = connection.getresponse()
    said = response.read()
    if response.status != http.client.OK:
        raise OSError(f"etcd refused {documents.path(document)}: {said.decode(errors='replace')}")


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def main() -> None:
    """``python -m buoy.lab.seed ETCD-HOST ETCD-PORT ACCESS-ADDRESS``."""
    host, port, access = sys.argv[1:]
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    for document in first_documents(access):
        put_absent(connection, document)


if __name__ == "__main__":
    main()
