# SPDX-License-Identifier: Apache-2.0
"""The exceptions of Buoy, named after who must act.

A lawful *no* is never an exception: it is a `Withhold` or a `Refusal` with a
reason (`reason.py`). What stands here means that somebody has to do something.
"""


class BuoyError(Exception):
    """The parent of all; catch it at a door, never inside."""


class InvalidInput(BuoyError, ValueError):
    """The caller must correct what they passed: names the field, the value and the remedy."""

    def __init__(self, field: str, value: object, remedy: str) -> None:
        super().__init__(field, value, remedy)
        self.field = field
        self.value = value
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.field}: {self.value!r} is not valid: {self.remedy}"


class Conflict(BuoyError):
    """Somebody else wrote first: read again, decide again."""


class UnsafePlan(BuoyError):
    """An operator must confirm: the plan removes what the store may merely have forgotten."""


class StoreUnavailable(BuoyError):
    """Wait: the store does not answer; nothing was changed."""


class DataplaneError(BuoyError):
    """The host said no: carries the command and what the host printed."""

    def __init__(self, command: str, stderr: str) -> None:
        super().__init__(command, stderr)
        self.command = command
        self.stderr = stderr

    def __str__(self) -> str:
        return f"{self.command}: {self.stderr.strip()}"


class Bug(BuoyError):
    """Buoy itself is wrong: report it; the process stops."""
