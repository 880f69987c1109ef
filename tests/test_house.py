# SPDX-License-Identifier: Apache-2.0
"""The house rules: what ruff, mypy and import-linter cannot say.

Promises: whatever breaks a rule is named as ``file:line: rule``. Each rule is a
function from a module to the lines that break it, and stands below with a piece
of code that does, so that no rule can rest.
"""

import ast
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
GENERATED = "_pb2"


class Module(NamedTuple):
    """A parsed file; `path` is relative to the checkout."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]

    @property
    def classes(self) -> list[ast.ClassDef]:
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef)]


Rule = Callable[[Module], Iterator[int]]
"""Yields the number of each line that breaks it; its docstring is what the reader is told."""


def module_is_short(module: Module) -> Iterator[int]:
    """A module has at most 300 lines."""
    if module.text.count("\n") > 300:
        yield 301


def function_is_short(module: Module) -> Iterator[int]:
    """A function has at most 40 lines."""
    for function in module.functions:
        if function.end_lineno and function.end_lineno - function.lineno >= 40:
            yield function.lineno


def parameters_are_few(module: Module) -> Iterator[int]:
    """A function has at most 5 parameters; self, cls and the options of a command do not count."""
    for function in module.functions:
        arguments = function.args
        given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        counted = [argument for argument in given if argument.arg not in {"self", "cls"}]
        if len(counted) > 5 and not is_command(function):
            yield function.lineno


def name_says_something(module: Module) -> Iterator[int]:
    """No module or package is named utils, common, base, manager or helpers."""
    words = {word for part in module.path.with_suffix("").parts for word in part.split("_")}
    if words & {"util", "utils", "common", "base", "manager", "managers", "helper", "helpers"}:
        yield 1


def module_says_what_it_promises(module: Module) -> Iterator[int]:
    """A module begins with a docstring."""
    if not ast.get_docstring(module.tree):
        yield 1


def only_the_loop_catches_everything(module: Module) -> Iterator[int]:
    """Only runtime/loop.py catches Exception; who must clean up whatever happens ends the handler with raise."""
    if module.path.parts[-2:] == ("runtime", "loop.py"):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler) and catches_everything(node) and not passes_on(node):
            yield node.lineno


def nothing_is_mocked(module: Module) -> Iterator[int]:
    """A test brings a small fake of its own, not unittest.mock."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            origin = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            if any(f"{origin}{alias.name}".startswith("unittest.mock") for alias in node.names):
                yield node.lineno


def no_class_of_ours_is_a_parent(module: Module) -> Iterator[int]:
    """A class inherits from no class of ours but an exception."""
    ours = {node.name for node in module.classes if not names(*node.bases) & EXCEPTIONS}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("buoy."):
            ours |= {alias.asname or alias.name for alias in node.names if node.module != "buoy.model.errors"}
    for node in module.classes:
        if names(*node.bases) & ours:
            yield node.lineno


def protocol_is_small(module: Module) -> Iterator[int]:
    """A Protocol has at most 4 methods."""
    for node in module.classes:
        methods = [child for child in node.body if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)]
        if "Protocol" in names(*node.bases) and len(methods) > 4:
            yield node.lineno


def licence_is_named(module: Module) -> Iterator[int]:
    """The first line, after a #!, says under which licence it may be used."""
    lines = [line for line in module.text.splitlines()[:2] if not line.startswith("#!")]
    if lines[:1] != ["# SPDX-License-Identifier: Apache-2.0"]:
        yield 1


def nothing_is_left_to_do(module: Module) -> Iterator[int]:
    """What is not done is in an issue, not in a comment."""
    return matches(r"\b(TOD[O]|FIXM[E])\b", module.text)


def no_build_machine_is_named(module: Module) -> Iterator[int]:
    """No path of the machine it was written on: of homes, or of a builder's directory at the root."""
    # hier(7) has nothing at / that begins with w; builders have. core and cirros are the users of the lab's guests.
    return matches(r"(?<![\w.:)}\]/*-])/(home/(?!core|cirros)|(builds|Users|w\w*)/)\w", module.text)


EXCEPTIONS = {"Exception", "BuoyError", "InvalidInput", "Conflict"}

# Each rule with code that breaks it.
RULES: dict[Rule, str] = {
    module_is_short: "x = 1\n" * 301,
    function_is_short: "def f():\n" + "    x = 1\n" * 40,
    parameters_are_few: "def f(self, a, b, c, d, *, e, f): ...",
    name_says_something: "",
    module_says_what_it_promises: "x = 1",
    only_the_loop_catches_everything: "try: ...\nexcept (OSError, Exception): ...",
    nothing_is_mocked: "from unittest import mock",
    no_class_of_ours_is_a_parent: "class A: ...\nclass B(A): ...",
    protocol_is_small: "class P(Protocol):\n" + "".join(f"    def f{n}(self): ...\n" for n in range(5)),
    licence_is_named: "x = 1",
    nothing_is_left_to_do: "x = 1  # TO" + "DO",
    no_build_machine_is_named: "x = '/ho" + "me/me/x'",
}
TEXT_RULES: list[Rule] = [nothing_is_left_to_do, no_build_machine_is_named]
RULE_IDS = [rule.__name__ for rule in RULES]


def is_command(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether Typer makes a command of it: ``@app.command(...)`` or ``@app.callback(...)``."""
    calls = [node.func for node in function.decorator_list if isinstance(node, ast.Call)]
    return any(isinstance(call, ast.Attribute) and call.attr in {"command", "callback"} for call in calls)


def catches_everything(handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler is bare or names Exception or BaseException."""
    return handler.type is None or bool(names(handler.type) & {"Exception", "BaseException"})


def passes_on(handler: ast.ExceptHandler) -> bool:
    """Tell whether the last thing a handler does is a plain ``raise``."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def names(*nodes: ast.expr) -> set[str]:
    """Return every plain name and attribute in these expressions."""
    inner = [child for node in nodes for child in ast.walk(node)]
    plain = {child.id for child in inner if isinstance(child, ast.Name)}
    return plain | {child.attr for child in inner if isinstance(child, ast.Attribute)}


def matches(pattern: str, text: str) -> Iterator[int]:
    """Yield the numbers of the lines where a pattern is found."""
    for number, line in enumerate(text.splitlines(), start=1):
        if re.search(pattern, line):
            yield number


@functools.cache
def python_modules() -> list[Module]:
    """Return every module we wrote, the script ./dev among them."""
    files = [path for folder in ("src", "tests", "bench") for path in (ROOT / folder).rglob("*.py")]
    ours = [path for path in files if GENERATED not in path.stem]
    texts = {path.relative_to(ROOT): path.read_text() for path in [ROOT / "dev", *sorted(ours)]}
    return [Module(path, text, ast.parse(text)) for path, text in texts.items()]


@functools.cache
def documents() -> list[Module]:
    """Return every text that is no Python as a module without code."""
    names = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "pyproject.toml", ".ci/run"]
    folders = [path for folder in ("docs", "packaging", "requirements") for path in (ROOT / folder).rglob("*")]
    files = [ROOT / name for name in names] + [path for path in folders if path.is_file()]
    return [Module(path.relative_to(ROOT), path.read_text(), ast.Module([], [])) for path in files]


def broken(rule: Rule, modules: list[Module]) -> list[str]:
    """Return ``file:line: rule`` for each place where a rule is broken."""
    return [f"{module.path}:{line}: {rule.__doc__}" for module in modules for line in rule(module)]


@pytest.mark.parametrize("rule", RULES, ids=RULE_IDS)
def test_code_obeys(rule: Rule) -> None:
    assert "\n".join(broken(rule, python_modules())) == ""


@pytest.mark.parametrize("rule", TEXT_RULES, ids=[rule.__name__ for rule in TEXT_RULES])
def test_documents_obey(rule: Rule) -> None:
    assert "\n".join(broken(rule, documents())) == ""


@pytest.mark.parametrize("rule", RULES, ids=RULE_IDS)
def test_rule_finds_what_breaks_it(rule: Rule) -> None:
    example = Module(Path("src/buoy/utils.py"), RULES[rule], ast.parse(RULES[rule]))
    assert len(broken(rule, [example])) == 1
