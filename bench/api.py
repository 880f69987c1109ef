# SPDX-License-Identifier: Apache-2.0
"""A Neutron over one connection that stays, so that a request costs no more than itself."""

import http.client
import json
from typing import Any

_PATIENCE = 60.0


class Api:
    """What benches ask of Neutron; `endpoint` is its URL. An answer that is no success is an `AssertionError`."""

    def __init__(self, endpoint: str) -> None:
        self._connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=_PATIENCE)

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  any JSON
        """Return what Neutron answers."""
        text = json.dumps(body) if body is not None else None
        self._connection.request(method, f"/v2.0/{path}", text, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        raw = response.read()
        assert response.status < 300, f"{method} {path}: {response.status} {raw.decode()[:300]}"
        return json.loads(raw) if raw else None

    def create(self, kind: str, **fields: object) -> dict[str, Any]:
        """Create a resource."""
        return dict(self.call("POST", f"{kind.replace('_', '-')}s", {kind: fields})[kind])
