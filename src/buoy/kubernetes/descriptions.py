# SPDX-License-Identifier: Apache-2.0
"""What structs and their fields mean, for ``kubectl explain``.

Promises the words that stand in the source, with fields called as in Kubernetes. The
tricky thing: what a field means stands as a docstring below it, which Python forgets;
so the source is read, which only who writes CRDs does.
"""

import ast
import functools
import inspect
import re
import textwrap

import msgspec

from buoy.kubernetes.twins import camel

_FIELD = re.compile(r"`([a-z]+(?:_[a-z0-9]+)+)`")


def of_struct(struct: type[msgspec.Struct]) -> str:
    """Return what a struct is, on one line."""
    return _line(struct.__doc__ or "")


@functools.cache
def of_fields(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return what is said below each field of a struct."""
    (made,) = ast.parse(textwrap.dedent(inspect.getsource(struct))).body
    assert isinstance(made, ast.ClassDef)
    told: dict[str, str] = {}
    for field, below in zip(made.body, made.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            told[field.target.id] = _line(ast.literal_eval(below.value))
    return told


def _line(text: str) -> str:
    return _FIELD.sub(lambda found: f"`{camel(found[1])}`", " ".join(text.split())).replace("``", "`")
