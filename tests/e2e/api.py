# SPDX-License-Identifier: Apache-2.0
"""Neutron's API as it is spoken on the wire, for what no client can do: many requests at one instant."""

import http.client
import json
from collections.abc import Sequence
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """What the API said."""

    status: int
    body: dict[str, Any]


class Neutron:
    """The API's workers; every call names one."""

    def __init__(self, endpoints: Sequence[str]) -> None:
        self.endpoints = endpoints

    def ask(self, method: str, at: str, body: object = None, worker: int = 0) -> Answer:
        connection = http.client.HTTPConnection(self.endpoints[worker % len(self.endpoints)], timeout=300)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, f"/v2.0/{at}", text, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            raw = answer.read()
        finally:
            connection.close()
        return Answer(answer.status, json.loads(raw) if raw else {})

    def made(self, at: str, body: object) -> Any:  # noqa: ANN401  # whatever JSON the API answers
        answer = self.ask("POST", at, body)
        assert answer.status == 201, answer
        [value] = answer.body.values()
        return value

    def all(self, kind: str, query: str = "") -> list[dict[str, Any]]:
        answer = self.ask("GET", f"{kind}?{query}")
        assert answer.status == 200, answer
        return list(answer.body[kind.replace("-", "_")])
