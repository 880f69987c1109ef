# SPDX-License-Identifier: Apache-2.0
"""The service accounts of Buoy's programs, and the tokens that a kubelet puts where a pod finds them.

Here the programs are no pods, but a service account is one: it can be deleted, and its tokens end. The file
is replaced as a whole, for who reads it may do so at any time.
"""

from pathlib import Path
from typing import Any

NAMESPACE = "buoy-system"
AGENT, CONTROLLER = "buoy-agent", "buoy-controller"
FILE = "/run/secrets/buoy/token"
SECONDS = 86400

REQUEST: dict[str, Any] = {"spec": {"expirationSeconds": SECONDS}}
"""What is asked for at `path`."""


def path(account: str) -> str:
    """Return where the API server gives tokens of one of Buoy's accounts."""
    return f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token"


def put(answer: dict[str, Any], file: str = FILE) -> None:
    """Put the token of an answer where the program looks for it."""
    place = Path(file)
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.with_suffix(".new")
    unfinished.write_text(answer["status"]["token"])
    unfinished.rename(place)
