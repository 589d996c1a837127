"""House rules that no other tool knows; each is a function from source text to the problems found in it.

Rules are functions so that every one of them is also run on a snippet that breaks it: a check that cannot fail says
nothing.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SRC = ROOT / "src" / "tokenroll"

MAX_FILE_LINES = 700
MAX_FUNCTION_LINES = 70

# What `model` and `engine` may import: parts of the standard library without I/O, clock, randomness or floats.
PURE_MODULES = frozenset({
    "__future__", "abc", "base64", "binascii", "bisect", "calendar", "collections", "dataclasses", "datetime",
    "decimal", "enum", "fractions", "functools", "hashlib", "heapq", "itertools", "json", "operator", "re", "string",
    "struct", "textwrap", "types", "typing", "unicodedata", "zlib",
})  # fmt: skip
IMPURE_ATTRIBUTES = frozenset({"now", "today", "utcnow", "random", "urandom", "uuid1", "uuid4", "getenv"})
IMPURE_NAMES = frozenset({"open", "input", "print", "eval", "exec", "breakpoint", "__import__"})

# Assembled from halves, so that this file does not contain what it forbids.
MACHINE_MARKS = tuple(
    "".join(halves)
    for halves in (
        ("/wo", "rk/"), ("/ro", "ot/"), ("/opt/", "pypi"), ("/opt/", "wheels"), ("py", "pi.org"),
        ("python", "hosted"), ("registry.", "npmjs"), ("npm", "mirror"), ("deb.", "debian.org"),
        ("proxy.", "golang"), ("crates", ".io"),
    )
)  # fmt: skip
LEFT_OVER = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK", "WI" + "P")) + r")\b")
MARKDOWN_LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
HTML_SOURCE = re.compile(r"""\b(?:src|srcset|href)="([^"]+)\"""")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def tracked(*suffixes: str) -> list[Path]:
    """Files that git tracks or would track; the tree of a newcomer holds nothing else."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    paths = [ROOT / name for name in names if name]
    return [path for path in paths if path.is_file() and (not suffixes or path.suffix in suffixes)]


def python_files(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def too_long(text: str) -> Iterator[str]:
    lines = text.count("\n")
    if lines >= MAX_FILE_LINES:
        yield f"{lines} lines; a file has fewer than {MAX_FILE_LINES}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield f"line {node.lineno}: {node.name} has {length} lines; a function has at most {MAX_FUNCTION_LINES}"


def floats(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name) and node.id in {"float", "complex"}:
            yield f"line {node.lineno}: the type {node.id}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield f"line {node.lineno}: the literal {node.value}"
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            yield f"line {node.lineno}: true division; money uses // and a named rounding"


def impurities(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        for module in imported_modules(node):
            if module.split(".")[0] not in PURE_MODULES | {"tokenroll"}:
                yield f"line {node.lineno}: imports {module}"  # type: ignore[attr-defined]
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in IMPURE_NAMES:
                yield f"line {node.lineno}: calls {node.func.id}()"
            if isinstance(node.func, ast.Attribute) and node.func.attr in IMPURE_ATTRIBUTES:
                yield f"line {node.lineno}: calls .{node.func.attr}()"


def imported_modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [node.module or ""]
    return []


def environment_reads(text: str) -> Iterator[str]:
    if "env" not in text:  # most files: nothing to parse
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv", "putenv"}:
            yield f"line {node.lineno}: .{node.attr}; only settings.py reads the environment"
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            for alias in node.names:
                if alias.name in {"environ", "environb", "getenv", "putenv"}:
                    yield f"line {node.lineno}: imports {alias.name}; only settings.py reads the environment"


def left_overs(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        if found := LEFT_OVER.search(line):
            yield f"line {number}: left-over mark {found.group()}"


def stubs(text: str) -> Iterator[str]:
    """A body that only raises NotImplementedError is a promise in place of a product; abstract methods use `...`."""
    if "NotImplementedError" not in text:
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Raise):
            raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if isinstance(raised, ast.Name) and raised.id == "NotImplementedError":
                yield f"line {node.lineno}: raises NotImplementedError"


def machine_marks(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        for mark in MACHINE_MARKS:
            if mark in line:
                yield f"line {number}: {mark}"


def broken_links(path: Path, text: str) -> Iterator[str]:
    """Relative links of a page lead to files (and headings) that exist."""
    prose = FENCE.sub("", text)
    for target in [*MARKDOWN_LINK.findall(prose), *HTML_SOURCE.findall(prose)]:
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        file, _, anchor = target.partition("#")
        goal = (path.parent / file).resolve() if file else path
        if not goal.exists():
            yield f"{target}: no such file"
        elif anchor and goal.suffix == ".md" and anchor not in anchors(goal.read_text()):
            yield f"{target}: no such heading"


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ +(.*?) *$", FENCE.sub("", text), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-") for heading in headings)
    return {*plain, *re.findall(r'\bid="([^"]+)"', text)}


def lacking_companions(root: Path, modules: Iterable[str]) -> Iterator[str]:
    """Ten-second law: one noun, one spelling, so that its page and its tests are found without a search."""
    for module in modules:
        for companion in (f"docs/concepts/{module}.md", f"tests/unit/model/test_{module}.py"):
            if not (root / companion).is_file():
                yield f"src/tokenroll/model/{module}.py has no {companion}"
