# SPDX-License-Identifier: Apache-2.0
"""Write `docs/reference/` from what the code says: `python -m buoy.cli.reference [DIRECTORY]`.

Promises that equal code gives equal pages, whatever the terminal. The tricky
thing: what a field means stands as a docstring below it, which Python forgets;
so the source is read.
"""

import ast
import enum
import functools
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import msgspec
import typer

from buoy.cli.main import app
from buoy.cli.status_writers import gauges
from buoy.model import documents
from buoy.model.reason import Reason
from buoy.runtime.settings import Settings
from buoy.runtime.telemetry import AddressStates, Telemetry

_DIRECTORY = Path(__file__).resolve().parents[3] / "docs" / "reference"
_PRINTED = "Printed from the code by `python -m buoy.cli.reference`."
_ALWAYS = ("help", "install_completion", "show_completion")


def pages() -> dict[str, str]:
    """Return every page of the reference by file name, as Markdown."""
    made = {"cli": _cli(), "settings": _settings(), "documents": _documents(), "reasons": _reasons()}
    return {f"{name}.md": "\n".join(lines) + "\n" for name, lines in {**made, "metrics": _metrics()}.items()}


def commands(command: Any = None, words: tuple[str, ...] = ("buoy",)) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401  Typer's own
    """Yield every command and group by its words; Typer's objects, of which `params` and `help` are read."""
    command = command or typer.main.get_command(app)
    yield words, command
    if hasattr(command, "list_commands"):
        context = command.make_context(words[-1], [], resilient_parsing=True)
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), (*words, name))


def _cli() -> Iterator[str]:
    yield from ("# Commands", "", _PRINTED, "`--help` is understood everywhere and prints the same.", "")
    for words, command in commands():
        yield from (f"## `{' '.join(words)}`", "", *_help(command.help or ""), "")
        given = [each for each in command.params if each.name not in _ALWAYS]
        if hasattr(command, "list_commands"):
            context = command.make_context(words[-1], [], resilient_parsing=True)
            below = (" ".join((*words, name)) for name in command.list_commands(context))
            yield from ("Commands: " + ", ".join(f"[`{name}`](#{name.replace(' ', '-')})" for name in below), "")
        if given:
            rows = ((_names(each), _choices(each), _given(each), each.help or "") for each in given)
            yield from (*_table(("option or argument", "value", "default", "meaning"), rows), "")


def _help(text: str) -> Iterator[str]:
    """Yield help as Markdown: what Click's backspace marks stays as it is written."""
    for index, paragraph in enumerate(text.strip().split("\n\n")):
        yield from ("",) if index else ()
        if not paragraph.startswith("\b"):
            yield from (line.strip() for line in paragraph.split("\n"))
            continue
        lines = textwrap.dedent(paragraph.removeprefix("\b").strip("\n")).split("\n")
        if lines[0].endswith(":"):
            yield from (lines.pop(0), "")
        yield from ("```", *textwrap.dedent("\n".join(lines)).split("\n"), "```")


def _names(option: Any) -> str:  # noqa: ANN401  Typer's own
    named = [*option.opts, *option.secondary_opts]
    if not any(name.startswith("-") for name in named):
        named = [f"{option.metavar or option.name.upper()}{'…' if option.nargs < 0 else ''}"]
    variable = f" (or ${option.envvar})" if option.envvar else ""
    return ", ".join(f"`{name}`" for name in named) + variable


def _given(option: Any) -> str:  # noqa: ANN401  Typer's own
    return "needed" if option.required else _default(option.default)


def _choices(option: Any) -> str:  # noqa: ANN401  Typer's own
    if getattr(option, "is_flag", False):
        return ""
    plain = _plain(option.type_descriptor.annotation).removeprefix("list of ")
    return f"{plain}, repeatable" if option.multiple else plain


def _settings() -> Iterator[str]:
    yield from ("# Settings of an agent", "", _PRINTED, "")
    yield "`/etc/buoy/agent.toml`, or the file that `--config` or `$BUOY_CONFIG` names. Read once at start; an unknown"
    yield from (
        "or wrong field is refused with file, field, value and remedy. `packaging/agent.toml` is an example.",
        "",
    )
    yield from _fields(Settings)
    for name, hint in get_type_hints(Settings).items():
        if _is_struct(hint):
            yield from ("", f"## `[{name}]`", "", *_prose(hint), "", *_fields(hint))
    yield from ("", "Commands on a machine without this file find the store by `$BUOY_ETCD`, URLs separated by commas.")


def _documents() -> Iterator[str]:
    yield from ("# Documents", "", _PRINTED, "")
    yield "One key in etcd per fact: `/buoy/v1/` and the path. Neutron writes networks, subnets, workloads, service"
    yield "IPs, groups, members, its pools and its heartbeat; agents write nodes and statuses; operators write"
    yield "the rest, by `buoy peer`, `buoy filter`, `buoy bgp`, `buoy node` and `buoy apply -f FILE` (`kind:` is the"
    yield from ("heading here).", "")
    shown: set[type] = set()
    for segment, struct in documents.kinds().items():
        yield from (f"## {struct.__name__}", "", f"Under `{segment}`.", "", *_prose(struct), "")
        yield from (*_fields(struct), "")
        shown |= set(_parts(struct))
    yield from ("# Parts of documents", "")
    for struct in sorted(shown, key=lambda each: each.__name__):
        yield from (f"## {struct.__name__}", "", *_prose(struct), "", *_fields(struct), "")


def _parts(struct: type) -> Iterator[type]:
    """Yield the structs inside a struct, at any depth."""
    for hint in get_type_hints(struct).values():
        for inner in (hint, *get_args(hint)):
            if _is_struct(inner):
                yield from (inner, *_parts(inner))


def _reasons() -> Iterator[str]:
    yield from ("# Reasons", "", _PRINTED, "")
    yield "Why an address is not served, as `buoy why` says it and statuses, `buoy_withheld` and scripts name it."
    yield from ("Words in capitals stand for what the case is about.", "")
    rows = ((f"`{each}`", _capitals(each.sentence), _capitals(each.remedy)) for each in Reason)
    yield from _table(("reason", "what is the case", "what to do"), rows)


def _capitals(text: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: found.group(1).upper(), text)


def _metrics() -> Iterator[str]:
    yield from ("# Metrics and health", "", _PRINTED, "")
    yield "Served where `[health] listen` says: `/metrics` for Prometheus, `/healthz` (503: the loop has not run for"
    yield from ("30 s), `/readyz` (503: no complete snapshot reconciled yet).", "")
    found = [*Telemetry().registry.collect(), *AddressStates(list).collect()]
    rows = ((f"`{_exposed(each.name, each.type)}`", each.type, each.documentation) for each in found)
    yield from _table(("name", "type", "meaning"), rows)
    yield from ("", "`buoy status --metrics` prints, for a textfile collector, what Neutron last said:", "")
    yield from _table(("name", "type", "meaning"), ((f"`{name}`", "gauge", text) for name, text in gauges()))


def _exposed(name: str, kind: str) -> str:
    return f"{name}_total" if kind == "counter" else name


def _fields(struct: type) -> Iterator[str]:
    hints, meant = get_type_hints(struct), _meanings(struct)
    rows = []
    for field in msgspec.structs.fields(struct):
        if _is_struct(hints[field.name]) and struct is Settings:
            continue
        default = "needed" if field.required else _default(field.default)
        rows.append((f"`{field.name}`", _plain(hints[field.name]), default, meant.get(field.name, "")))
    yield from _table(("field", "value", "default", "meaning"), rows)


@functools.cache
def _meanings(struct: type) -> dict[str, str]:
    """Return the docstrings below the fields of a struct."""
    [parsed] = ast.parse(textwrap.dedent(inspect.getsource(struct))).body
    assert isinstance(parsed, ast.ClassDef)
    found = {"schema": "version of the document's form"}
    for field, below in zip(parsed.body, parsed.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            assert isinstance(below.value, ast.Constant)
            found[field.target.id] = " ".join(str(below.value.value).split())
    return found


def _prose(struct: type) -> list[str]:
    return inspect.cleandoc(struct.__doc__ or "").replace("``", "`").split("\n")


def _plain(hint: Any) -> str:  # noqa: ANN401  any annotation
    parts = [part for part in get_args(hint) if part not in {NoneType, Ellipsis}]
    if parts:
        text = _plain(parts[0])
        return f"list of {text}" if getattr(hint, "__origin__", None) in {tuple, list} else text
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return ", ".join(f"`{each.value}`" for each in hint) if len(hint) < 9 else f"a [{hint.__name__}](reasons.md)"
    if _is_struct(hint):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    words = {"str": "text", "int": "number", "float": "number", "bool": "yes or no", "Path": "path"}
    name = str(hint.__name__)
    return words.get(name, name.lower() if name != "Mac" else "MAC address")


def _default(value: object) -> str:
    if isinstance(value, enum.Enum):
        value = value.value
    if value in ("", (), None) or value is msgspec.NODEFAULT:
        return ""
    if isinstance(value, tuple):
        return f"`{list(value)}`".replace("'", '"')
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _is_struct(hint: object) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _table(head: tuple[str, ...], rows: Any) -> Iterator[str]:  # noqa: ANN401  tuples as wide as the head
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        cells = (" ".join(cell.replace("``", "`").replace("|", "\\|").split()) for cell in row)
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    """Write every page."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else _DIRECTORY
    for name, text in pages().items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
