# SPDX-License-Identifier: Apache-2.0
"""What an API server's refusals become."""

import json

import pytest

from buoy.model.errors import BuoyError, Conflict, InvalidInput, StoreUnavailable
from buoy.store.api_errors import Gone, Throttled, failure, status_of


def refusal(code: int, message: str = "no", retry_after: str = "", **details: object) -> BuoyError:
    body = {"kind": "Status", "code": code, "message": message, "details": details or None}
    return failure("write things", status_of(json.dumps(body).encode(), code), retry_after)


def invalid(error: BuoyError) -> InvalidInput:
    assert isinstance(error, InvalidInput)
    return error


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (409, Conflict),
        (410, Gone),
        (429, Throttled),
        (408, StoreUnavailable),
        (500, StoreUnavailable),
        (503, StoreUnavailable),
        (302, StoreUnavailable),
        (400, InvalidInput),
        (401, InvalidInput),
        (403, InvalidInput),
        (405, InvalidInput),
        (415, InvalidInput),
        (422, InvalidInput),
    ],
)
def test_kind_of_a_refusal(code: int, kind: type[BuoyError]) -> None:
    assert kind is type(refusal(code))


def test_an_account_that_is_not_known_is_named() -> None:
    status = status_of(b'{"message": "Unauthorized"}', 401)
    told = invalid(failure("list things", status, account="token /run/token"))
    assert ("account", "token /run/token") == (told.field, told.value)
    assert "(none)" == invalid(failure("list things", status)).value


def test_patience_is_the_header_or_the_details_or_a_second() -> None:
    seconds = []
    for error in (
        refusal(429, retry_after="7"),
        refusal(429, retryAfterSeconds=5),
        refusal(429, retry_after="Sat, 21 Nov 2026 17:00:00 GMT"),
        refusal(503, retry_after="3"),
    ):
        assert isinstance(error, Throttled)
        seconds.append(error.seconds)
    assert [7.0, 5.0, 1.0, 3.0] == seconds


def test_missing_right_is_told_from_another_prohibition() -> None:
    message = (
        'services is forbidden: User "system:serviceaccount:buoy-system:agent" cannot list resource "services" '
        'in API group "" at the cluster scope: RBAC: not found'
    )
    right = invalid(refusal(403, message))
    assert ("account", "system:serviceaccount:buoy-system:agent") == (right.field, right.value)
    assert right.remedy.startswith(
        'give it a role with the right to list resource "services" in API group "" at the cluster scope ('
    )
    quota = invalid(refusal(403, 'services "web" is forbidden: exceeded quota: few'))
    assert "request" == quota.field
    assert "exceeded quota" in str(quota)


def test_every_cause_is_told_and_the_first_is_the_field() -> None:
    causes = [
        {"field": "spec.type", "message": 'Unsupported value: "Odd": supported values: "ClusterIP"'},
        {"field": "spec.ports[0].port", "message": "Invalid value: 0: must be between 1 and 65535"},
        {"message": "and more"},
    ]
    error = invalid(refusal(422, 'Service "web" is invalid', causes=causes))
    assert ("spec.type", "Odd") == (error.field, error.value)
    assert "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535; and more" in error.remedy


def test_cause_without_a_value_names_the_request() -> None:
    causes = [{"field": "spec.ports", "message": "Required value"}]
    error = invalid(refusal(422, "invalid", causes=causes))
    assert ("spec.ports", "write things") == (error.field, error.value)


def test_page_of_a_proxy_is_its_own_message() -> None:
    page = b"<html>\n<h1>Bad   gateway</h1>" + b" " * 1000 + b"</html>"
    error = failure("list things", status_of(page, 502))
    assert "list things: <html> <h1>Bad gateway</h1>" == str(error)


def test_answer_without_words_says_its_status() -> None:
    assert "list things: HTTP status 500" == str(failure("list things", status_of(b"", 500)))
