"""What docs/endpoints.md says of fields that buy something is what requests meet."""

import re
from pathlib import Path

import pytest

from tokenroll.upstream.dialect import RequestRefused
from tokenroll.upstream.fields import check_fields

PAGE = (Path(__file__).parents[3] / "docs/endpoints.md").read_text()
PARAGRAPH = PAGE.split("And what is known to buy something", 1)[1].split("\n", 1)[0]
HEAD, _, FIELDS = PARAGRAPH.partition("any other: ")
NAMES = sorted(set(re.findall(r"`([A-Za-z_]+)`", FIELDS)) - {"self", "output_format"})
"""`output_format` is refused for one value at the endpoints that read it."""
MULTIPLY = {"n", "best_of", "n_cmpl", "use_beam_search", "n_predict", "max_new_tokens"}


def refused(value, *, writes=True):
    """Those of the names that a request with this value in them is refused for."""
    found = set()
    for name in NAMES:
        try:
            check_fields({name: value}, {}, writes=writes)
        except RequestRefused:
            found.add(name)
    return found


def test_the_page_names_fields():
    assert {"extra_body", "billing_policy", "models", "svg", *MULTIPLY} <= set(NAMES)


@pytest.mark.parametrize("value", [2, True, "other", {"any": 1}, {}, ["one"]])
def test_every_field_that_the_page_names_is_refused_where_something_is_written(value):
    assert refused(value) == set(NAMES)


@pytest.mark.parametrize("value", [None, False, 0, 1, [], "", "auto", "default", "standard", "global"])
def test_a_value_that_the_page_calls_harmless_passes(value):
    assert refused(value) == set()
    assert str(value).lower().replace("none", "null") in HEAD or value in ("", [])


def test_what_only_multiplies_passes_where_nothing_is_written():
    assert set(NAMES) - refused(2, writes=False) == MULTIPLY
