# SPDX-License-Identifier: Apache-2.0
"""Sentences with blanks: the words of a reason, filled in with what it is about."""

from collections.abc import Mapping


def filled(sentence: str, details: Mapping[str, str]) -> str:
    """Fill in a format string; what is not known stays readable, in capitals, instead of failing in mid-sentence."""
    return sentence.format_map(_Blank(details))


class _Blank(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return name.upper()
