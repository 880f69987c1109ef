# SPDX-License-Identifier: Apache-2.0
"""Calico's selectors over labels: ``role == 'edge' && !has(maintenance)``.

Promises the whole grammar of Calico 3.30 for node selectors; what it does not hold is
refused with its place. The tricky thing is ``!=`` and ``not in``: both are true of an
object that lacks the label.

Source: https://docs.tigera.io/calico/latest/reference/resources/bgppeer#selectors.
"""

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from buoy.model.errors import InvalidInput

Match: TypeAlias = Callable[[Mapping[str, str]], bool]

_TOKEN = re.compile(
    r"""\s*(?:(?P<word>(?:has|all|global)\s*(?=\()|[A-Za-z0-9_./-]+)
    |(?P<text>'[^']*'|"[^"]*")
    |(?P<mark>&&|\|\||==|!=|[!(){},]))""",
    re.VERBOSE,
)


def selector(text: str, field: str) -> Match:
    """Return whether labels match, as a function; "" matches all. Raises `InvalidInput` naming `field`."""
    parser = _Parser(text, field)
    if not parser.tokens:
        return lambda _: True
    match = parser.either()
    if parser.tokens:
        raise parser.wrong()
    return match


class _Parser:
    """Recursive descent; `tokens` are those not yet read."""

    def __init__(self, text: str, field: str) -> None:
        self._text = text
        self._field = field
        self.tokens: list[str] = []
        at = 0
        while at < len(text.rstrip()):
            found = _TOKEN.match(text, at)
            if found is None:
                raise self.wrong(text[at:])
            self.tokens.append(found[found.lastgroup or 0].strip())
            at = found.end()

    def wrong(self, at: str = "") -> InvalidInput:
        """Return the error for what cannot be read."""
        where = at or " ".join(self.tokens) or "its end"
        return InvalidInput(
            self._field, self._text, f"write a selector, such as role == 'edge'; not understood: {where}"
        )

    def either(self) -> Match:
        """Read alternatives."""
        matches = [self._both()]
        while self._skip("||"):
            matches.append(self._both())
        return lambda labels: any(match(labels) for match in matches)

    def _both(self) -> Match:
        matches = [self._one()]
        while self._skip("&&"):
            matches.append(self._one())
        return lambda labels: all(match(labels) for match in matches)

    def _one(self) -> Match:
        if self._skip("!"):
            inner = self._one()
            return lambda labels: not inner(labels)
        if self._skip("("):
            inner = self.either()
            self._expect(")")
            return inner
        word = self._word()
        if word in {"all", "global"} and self._skip("("):
            self._expect(")")
            return lambda _: True
        if word == "has" and self._skip("("):
            label = self._word()
            self._expect(")")
            return lambda labels: label in labels
        return self._comparison(word)

    def _comparison(self, label: str) -> Match:
        if self._skip("=="):
            value = self._value()
            return lambda labels: labels.get(label) == value
        if self._skip("!="):
            value = self._value()
            return lambda labels: labels.get(label) != value
        if self._skip("contains"):
            value = self._value()
            return lambda labels: value in labels.get(label, "") if label in labels else False
        for words, test in (("starts", str.startswith), ("ends", str.endswith)):
            if self._skip(words):
                self._expect("with")
                value = self._value()
                return lambda labels, test=test: label in labels and test(labels[label], value)  # type: ignore[misc]
        return self._membership(label)

    def _membership(self, label: str) -> Match:
        outside = self._skip("not")
        self._expect("in")
        self._expect("{")
        values = set()
        while not self._skip("}"):
            values.add(self._value())
            self._skip(",")
        if outside:
            return lambda labels: labels.get(label) not in values
        return lambda labels: labels.get(label) in values

    def _skip(self, token: str) -> bool:
        if self.tokens and self.tokens[0] == token:
            self.tokens.pop(0)
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._skip(token):
            raise self.wrong()

    def _word(self) -> str:
        if not self.tokens or not re.match(r"[A-Za-z0-9_./-]", self.tokens[0]):
            raise self.wrong()
        return self.tokens.pop(0)

    def _value(self) -> str:
        if not self.tokens or self.tokens[0][0] not in "'\"":
            raise self.wrong()
        return self.tokens.pop(0)[1:-1]
