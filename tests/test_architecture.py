"""Holds the layer table, the technology boxes and the sizes that docs/architecture.md promises, by reading the code."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# package or module -> layer; each imports only layers of a lower number, and itself
LAYERS = {
    "lake.errors": 0,
    "lake.settings": 0,
    "lake.clock": 0,
    "lake.spec": 1,
    "lake.store": 2,
    "lake.kernels": 2,
    "lake.query": 3,
    "lake.ledgers": 4,
    "lake.learn": 5,  # below the facade, whose lk.models and lk.datasets it is
    "lake.lake": 6,
    "lake.aio": 6,
    "lake.importers": 7,
    "lake.exporters": 7,
    "lake.sources": 7,
    "lake.report": 7,
    "lake.splits": 7,  # the splitters of lake.learn under their public name
    "lake": 8,  # the front door: it only gathers public names
    "jobs": 9,
    "lake.cli": 10,  # `lake run` schedules the jobs
    "lake.__main__": 11,
}
# within these layers the packages know one another: errors serve settings, the async facade wraps the other
SOCIABLE = {0, 6}

# technology -> the only places that import it
BOXES = {
    "sqlite3": ("lake.store.hot", "lake.sources.octobot", "lake.importers.reading.sqlite", "lake.exporters.sqlite"),
    "adbc_driver_postgresql": ("lake.importers.reading.postgres", "lake.exporters.postgres"),
    "redis": ("lake.importers.reading.redis",),
    "deltalake": ("lake.store",),
    "duckdb": ("lake.query",),
    "s3fs": ("lake.store.location",),
    "fsspec": ("lake.store.location",),
    "botocore": ("lake.store.location",),
    "aiohttp": ("lake.store.location",),
    "sklearn": ("lake.learn",),
    "skops": ("lake.learn",),
    "joblib": ("lake.learn",),
    "numba": ("lake.kernels",),
    "click": ("lake.cli", "jobs"),
    "rich": ("lake.cli",),
    "ccxt": ("lake.sources",),
    "pandas": ("lake.spec", "lake.sources"),
    "arcticdb": (),
    "talib": (),
    "pickle": (),
}

MODULE_LINES = 350
FUNCTION_LINES = 50
PARAMETERS = 6

# "module:function" -> why it may have more parameters
MORE_PARAMETERS: dict[str, str] = {}

# "module:function" -> why it catches everything and does not raise it again
BROAD_EXCEPTS = {
    "lake.learn.features.registry:_run": "what a user's file raises is its author's to choose",
    "lake.learn.models.foreign:_loaded": "what loading a pickle raises is its author's to choose",
    "lake.store.hot.group:_commit_waiting": "every waiter of a group must learn of its error, whatever that is",
}

# builtin errors that say what Python expects to hear; all others come from lake/errors.py
BUILTIN_ERRORS = {
    "FileNotFoundError": "a missing file, which callers ask about with `except`",
    "NotImplementedError": "an abstract method",
    "AttributeError": "a module's or object's __getattr__",
    "StopIteration": "the end of an iterator",
    "StopAsyncIteration": "the end of an async iterator",
}


@dataclass(frozen=True)
class Module:
    """One source file, parsed."""

    path: Path

    @property
    def name(self) -> str:
        """Its dotted name."""
        parts = self.path.relative_to(ROOT).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, str(self.path))

    def at(self, node: ast.AST, what: str) -> str:
        """A finding, with its place."""
        return f"{self.path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}: {what}"

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node

    def imports(self, tree: ast.AST | None = None) -> Iterator[tuple[ast.AST, str]]:
        """(statement, dotted name) of all that is imported; ``from a import b`` is ``a.b`` where that is a module."""
        for node in ast.walk(tree or self.tree):
            if isinstance(node, ast.Import):
                yield from ((node, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self._absolute(node)
                yield from ((node, f"{base}.{a.name}" if is_module(f"{base}.{a.name}") else base) for a in node.names)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]
        for _ in range(node.level - 1):
            package = package.rpartition(".")[0]
        return f"{package}.{node.module}" if node.module else package


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def package_of(name: str) -> str | None:
    """The row of the layer table that a module belongs to."""
    rows = [row for row in LAYERS if is_within(name, row) and (row != "lake" or name == "lake")]
    return max(rows, key=len, default=None)


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    found = [Module(path) for folder in ("lake", "jobs") for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(found) > 20
    return found


Finder = Callable[[Module], Iterator[str]]


def findings(modules: list[Module], find: Finder) -> str:
    return "\n".join(finding for module in modules for finding in find(module))


def test_every_module_has_its_row_in_the_layer_table(modules: list[Module]) -> None:
    assert [m.name for m in modules if package_of(m.name) is None] == []


def test_a_package_imports_only_layers_above_it(modules: list[Module]) -> None:
    def find(module: Module) -> Iterator[str]:
        mine = package_of(module.name)
        for node, name in module.imports():
            theirs = package_of(name)
            if mine is None or theirs is None or mine == theirs:
                continue
            if LAYERS[theirs] < LAYERS[mine] or (LAYERS[theirs] == LAYERS[mine] and LAYERS[mine] in SOCIABLE):
                continue
            yield module.at(node, f"{mine} (layer {LAYERS[mine]}) imports {name} (layer {LAYERS[theirs]})")

    assert findings(modules, find) == ""


def test_no_two_modules_import_each_other(modules: list[Module]) -> None:
    graph = {m.name: {n for _, n in m.imports() if is_within(n, "lake") and n != m.name} for m in modules}
    assert cycle(graph) == []


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """One circle of imports; empty when there is none."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        done.add(name)
        return next((found for child in sorted(graph.get(name, ())) if (found := visit(child, [*path, name]))), [])

    return next((found for name in sorted(graph) if (found := visit(name, []))), [])


def test_a_technology_stays_in_its_box(modules: list[Module]) -> None:
    def find(module: Module) -> Iterator[str]:
        for node, name in module.imports():
            for technology, places in BOXES.items():
                if is_within(name, technology) and not any(is_within(module.name, place) for place in places):
                    yield module.at(node, f"{name} belongs in {', '.join(places) or 'no module'}")

    assert findings(modules, find) == ""


def test_no_module_of_ours_is_imported_inside_a_function(modules: list[Module]) -> None:
    def find(module: Module) -> Iterator[str]:
        for function in module.functions():
            for node, name in module.imports(function):
                if package_of(name) is not None:
                    yield module.at(node, f"{function.name} imports {name}")

    assert findings(modules, find) == ""


def test_no_except_is_broad(modules: list[Module]) -> None:
    def find(module: Module) -> Iterator[str]:
        allowed = [f for f in module.functions() if f"{module.name}:{f.name}" in BROAD_EXCEPTS]
        excused = {id(node) for function in allowed for node in ast.walk(function)}
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ExceptHandler) and id(node) not in excused and is_broad(node):
                yield module.at(node, "catches everything, and does not raise it again")

    assert findings(modules, find) == ""


def is_broad(handler: ast.ExceptHandler) -> bool:
    """Whether a handler may swallow any error; one that tidies up and ends in a bare ``raise`` does not."""
    caught = (
        {"BaseException"} if handler.type is None else {n.id for n in ast.walk(handler.type) if isinstance(n, ast.Name)}
    )
    last = handler.body[-1]
    return bool(caught & {"Exception", "BaseException"}) and not (isinstance(last, ast.Raise) and last.exc is None)


def test_only_the_command_line_prints(modules: list[Module]) -> None:
    def find(module: Module) -> Iterator[str]:
        if is_within(module.name, "lake.cli"):
            return
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                yield module.at(node, "prints")

    assert findings(modules, find) == ""


def test_nothing_is_validated_by_assert(modules: list[Module]) -> None:
    def find(module: Module) -> Iterator[str]:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Assert):
                yield module.at(node, f"assert {ast.unparse(node.test)}")

    assert findings(modules, find) == ""


def test_errors_come_from_the_one_file(modules: list[Module]) -> None:
    def find(module: Module) -> Iterator[str]:
        for node in ast.walk(module.tree):
            raised = node.exc if isinstance(node, ast.Raise) else None
            raised = raised.func if isinstance(raised, ast.Call) else raised
            if not isinstance(raised, ast.Name) or raised.id in BUILTIN_ERRORS:
                continue
            kind = getattr(builtins, raised.id, None)
            if isinstance(kind, type) and issubclass(kind, BaseException):
                yield module.at(node, f"raises {raised.id}")

    assert findings(modules, find) == ""


def test_no_module_is_long(modules: list[Module]) -> None:
    def find(module: Module) -> Iterator[str]:
        lines = module.text.count("\n")
        if lines > MODULE_LINES:
            yield module.at(module.tree, f"{lines} lines")

    assert findings(modules, find) == ""


def test_no_function_is_long(modules: list[Module]) -> None:
    def find(module: Module) -> Iterator[str]:
        for function in module.functions():
            lines = (function.end_lineno or 0) - function.lineno + 1
            if lines > FUNCTION_LINES:
                yield module.at(function, f"{function.name} has {lines} lines")

    assert findings(modules, find) == ""


def test_no_function_takes_many_parameters(modules: list[Module]) -> None:
    def find(module: Module) -> Iterator[str]:
        for function in module.functions():
            names = [a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
            count = len([name for name in names if name not in ("self", "cls")])
            if count > PARAMETERS and f"{module.name}:{function.name}" not in MORE_PARAMETERS:
                yield module.at(function, f"{function.name} takes {count}")

    assert findings(modules, find) == ""


def test_every_exception_to_the_rules_is_still_needed(modules: list[Module]) -> None:
    there = {f"{m.name}:{f.name}" for m in modules for f in m.functions()}
    assert {*MORE_PARAMETERS, *BROAD_EXCEPTS} - there == set()
    assert all([*MORE_PARAMETERS.values(), *BROAD_EXCEPTS.values()])


def test_annotations_are_postponed_everywhere(modules: list[Module]) -> None:
    def find(module: Module) -> Iterator[str]:
        annotated = any(
            isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.AnnAssign) for n in ast.walk(module.tree)
        )
        if annotated and "from __future__ import annotations" not in module.text:
            yield module.at(module.tree, "lacks from __future__ import annotations")

    assert findings(modules, find) == ""
