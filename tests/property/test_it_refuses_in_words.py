"""Whatever a file or a command says, it is a plan or a sentence; never anything else that goes wrong."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.firm import CREDIT
from tokenroll.model.plan_terms import PlanTerms
from tokenroll.services.plan_fields import FIELDS, quoted
from tokenroll.services.plan_files import PlanFileError, problems_of, toml_from_plans
from tokenroll.services.plan_sheets import _Reader as SheetReader
from tokenroll.services.plan_sheets import xlsx_from_plans
from tokenroll.services.plan_sources import read_plan_source
from tokenroll.services.plan_terms import given_from_terms, terms_from_given
from tokenroll.services.refusal import Refused

PARTS = [
    "tax",
    "use_scope",
    "leaving",
    "windows",
    "clawback",
    "months",
    "formula",
    "levels",
    "eligibility",
    "rollover",
    "access",
]
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8)
    | st.sampled_from(["business_only", "full", "per_level", "2027-01-01"])
)  # fmt: skip
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(PARTS) | st.text(max_size=5), inner, max_size=4)
)  # fmt: skip
CELLS = st.text(max_size=12) | st.sampled_from(
    ["yes", "=1+1", "L4=40; L5=65", "involuntary_death=90", "2027-01-01=1", '"', ";", "1e9", "9" * 25, "tool", "compensation", "1m", "²"]
)  # fmt: skip


def sentence(do):
    """What was refused and why; empty for what was done. Anything else that goes wrong goes on."""
    try:
        do()
    except (Refused, PlanFileError) as error:
        return str(error) or "nothing was said"
    return ""


@given(JSON)
def test_terms_are_terms_or_a_sentence(given_terms):
    said = json.loads(json.dumps(given_terms))
    told = sentence(lambda: terms_from_given(said))
    assert told != "nothing was said"
    if not told:
        terms = terms_from_given(said)
        assert isinstance(terms, PlanTerms)
        assert terms_from_given(given_from_terms(terms)) == terms


@given(st.lists(st.tuples(st.sampled_from(["name", *FIELDS]), CELLS), min_size=1, max_size=8))
def test_a_row_is_a_plan_or_a_sentence_with_its_cell(cells):
    row = {"name": "x", "kind": "stipend", "classification": "tool", "amount": "1"} | dict(cells)
    reader = SheetReader("plans.csv")
    entries = reader.entries([list(row), list(row.values())])
    if reader.problems:
        assert all(one.startswith("plans.csv, cell ") for one in reader.problems)
        return
    assert problems_of(entries[0].arguments) == []


@settings(max_examples=25)
@given(st.sampled_from([".toml", ".csv", ".xlsx"]), st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_bytes_are_plans_or_a_sentence(tmp_path_factory, suffix, content):
    path = tmp_path_factory.mktemp("any") / f"plans{suffix}"
    path.write_bytes(content)
    assert sentence(lambda: read_plan_source(path)).startswith(str(path))


WORKBOOK = xlsx_from_plans([{"name": "x", "kind": "stipend", "classification": "tool", "amount_nanos": CREDIT}])


@given(
    st.lists(st.tuples(st.integers(0, len(WORKBOOK) - 1), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(0, 40),
)
def test_a_workbook_with_bytes_changed_is_plans_or_a_sentence(tmp_path_factory, changes, lost):
    content = bytearray(WORKBOOK)
    for position, value in changes:
        content[position] = value
    path = tmp_path_factory.mktemp("any") / "plans.xlsx"
    path.write_bytes(content[: len(content) - lost])
    told = sentence(lambda: read_plan_source(path))
    assert not told or told.startswith(str(path))


@given(st.sampled_from(sorted(FIELDS)), st.text(max_size=20))
def test_a_toml_value_of_another_type_is_a_sentence(tmp_path_factory, name, value):
    plan = {"name": "x", "kind": "stipend", "classification": "tool", "amount_nanos": CREDIT}
    table, _, key = name.rpartition(".")
    text = toml_from_plans([plan]) + f"\n[plans.y{f'.{table}' if table else ''}]\n{key} = [{quoted(value)}]\n"
    path = tmp_path_factory.mktemp("any") / "plans.toml"
    path.write_text(text, encoding="utf-8")
    assert sentence(lambda: read_plan_source(path)).startswith(f"{path}:")
