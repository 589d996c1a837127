"""Pages lead where they say they lead, and the glossary knows every noun that has a page."""

import re
from pathlib import Path

from tests.tidy import checks
from tests.tidy.checks import ROOT, tracked


def test_links_resolve():
    pages = tracked(".md")
    found = [
        f"{page.relative_to(ROOT)}: {problem}"
        for page in pages
        for problem in checks.broken_links(page, page.read_text())
    ]
    assert pages
    assert not found


def test_every_concept_is_linked_from_the_index_and_the_glossary():
    concepts = sorted(path.name for path in (ROOT / "docs/concepts").glob("*.md"))
    index, glossary = (ROOT / "docs/README.md").read_text(), (ROOT / "docs/glossary.md").read_text()
    assert concepts
    assert not [name for name in concepts if f"concepts/{name}" not in index]
    assert not [name for name in concepts if f"concepts/{name}" not in glossary]


def test_every_decision_is_listed():
    folder = ROOT / "docs/decisions"
    records = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert records
    assert not [name for name in records if f"({name})" not in (folder / "README.md").read_text()]


def untried(page: str) -> list[str]:
    """What a table of failures lacks: numbers without a row of their own, and tests that are not there."""
    rows = re.findall(r"^\| T(\d+) \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE)
    lacking = [f"T{number}" for number in range(1, 46) if [one for one, _ in rows].count(str(number)) != 1]
    for number, cell in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", cell)
        real = [
            ROOT / path
            for path, name in named
            if (ROOT / path).is_file() and f"def {name}(" in (ROOT / path).read_text()
        ]
        if not named or len(real) != len(named):
            lacking.append(f"T{number}: {cell}")
    return lacking


def test_every_failure_of_other_gateways_is_tried_here():
    assert untried((ROOT / "docs/peers_failures.md").read_text()) == []


def test_a_failure_that_nobody_tries_is_found():
    page = (ROOT / "docs/peers_failures.md").read_text()
    assert untried(page.replace("| T7 |", "| T8 |")) == ["T7", "T8"]
    assert len(untried(page.replace("::test_t19_", "::test_nobody_wrote_"))) == 1


def test_changelog_fragments_have_a_known_type():
    known = {"amounts", "breaking", "feature", "fix", "docs"}
    fragments = [path for path in (ROOT / "changelog.d").iterdir() if path.name not in {"README.md", ".gitignore"}]
    assert not [path.name for path in fragments if path.suffix != ".md" or path.stem.split(".")[1] not in known]


def test_a_broken_link_is_found(tmp_path: Path):
    page = tmp_path / "page.md"
    (tmp_path / "other.md").write_text("# A `heading` here\n")
    text = "[a](other.md) [b](other.md#a-heading-here) [c](https://example.com/x) `[d](no.md)`\n```\n[e](no.md)\n```\n"
    assert list(checks.broken_links(page, text)) == ["no.md: no such file"]
    assert list(checks.broken_links(page, "[a](other.md#nowhere)")) == ["other.md#nowhere: no such heading"]
    assert list(checks.broken_links(page, '<img src="no.svg">')) == ["no.svg: no such file"]
