# SPDX-License-Identifier: Apache-2.0
"""`buoy apply`: a file of documents, checked as a whole and written in one transaction."""

from pathlib import Path
from typing import Annotated

import typer

from buoy.cli import bgp_documents
from buoy.cli.context import DryRunOption, with_store
from buoy.model.documents import Document
from buoy.model.errors import InvalidInput
from buoy.model.node import Fence
from buoy.model.peer import BGPSettings, Filter, Peer
from buoy.model.pool import Pool
from buoy.store.yaml_documents import load

app = typer.Typer(rich_markup_mode=None)

_WISHES = (BGPSettings, Fence, Filter, Peer, Pool)


@app.command()
def apply(
    file: Annotated[Path, typer.Option("--file", "-f", help="A YAML file, or a directory of them.")],
    dry_run: DryRunOption = False,
) -> None:
    """Write the documents of a YAML file: all of them, or with any error none. Nothing is deleted.

    \b
    A file holds documents, separated by `---` or as a list:
      - kind: Peer
        name: tor-1
        address: 192.0.2.1
        asn: 64999
        bfd: {interval: 100, multiplier: 3}
      - kind: Filter
        name: only-pool
        rules:
        - {action: accept, prefix: 198.51.100.0/24}
        - {action: reject, prefix: 0.0.0.0/0}
      - kind: BGPSettings
        asn: 64512

    \b
    Examples:
      buoy apply -f peers.yaml --dry-run
      buoy apply -f peers.yaml
    """
    wanted = wishes(file)
    for line in with_store(lambda store: bgp_documents.put_all(store, wanted, dry_run=dry_run)):
        print(line)


def wishes(file: Path) -> dict[str, Document]:
    """Return the documents of a file by path; raise `InvalidInput` if one is not an operator's to write."""
    wanted = load(file)
    for at, document in wanted.items():
        if not isinstance(document, _WISHES):
            kinds = ", ".join(kind.__name__ for kind in _WISHES)
            raise InvalidInput(
                f"{file}: {at}", type(document).__name__, f"a file may hold {kinds}; Neutron writes this"
            )
    if not wanted:
        raise InvalidInput("--file", str(file), "write at least one document into it")
    return wanted
