"""Whatever a provider sends, it is understood or refused in the protocol's own words: never a defect, and nothing half done."""

import contextlib
import copy

from hypothesis import given
from hypothesis import strategies as st

from tokenroll.services.scim_documents import ENTERPRISE, GROUPS, MEMBER, USERS, ScimError, spelled
from tokenroll.services.scim_filters import read_filter, read_path
from tokenroll.services.scim_patches import patched

NAMES = st.sampled_from(
    ["userName", "active", "emails", "name", "name.givenName", "displayName", "members", "schemas", "id", "meta", "groups", ENTERPRISE,
     MEMBER, f"{ENTERPRISE}:manager", f"{MEMBER}:level", "timezone", "emails.value", 'emails[type eq "work"]', "op", "path"]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
OPERATION = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "replace", "remove", "Add", "x"])},
    optional={
        "path": NAMES | st.sampled_from(["emails[value pr].type", 'members[value eq "a"]', "emails[", "x.y"]) | JSON,
        "value": JSON,
    },
)  # fmt: skip
WORDS = st.sampled_from(
    ["userName", "emails", "active", "title", "(", ")", "[", "]", "and", "or", "not", "eq", "co", "pr", "gt", '"x"', "true", "null", ".value",
     "meta.lastModified", "\\", '"', "7"]
)  # fmt: skip
TEXTS = st.lists(WORDS, max_size=12).map(" ".join) | st.text(max_size=30)
ADA = {
    "userName": "ada", "active": True, "emails": [{"value": "a@b.c", "type": "work"}], "name": {"givenName": "Ada"},
    "meta": {"lastModified": "2026-01-31T09:00:00Z"}, ENTERPRISE: {"manager": {"value": "member_1"}},
}  # fmt: skip


@given(st.sampled_from([USERS, GROUPS]), JSON)
def test_any_document_is_spelled_or_refused(kind, given_):
    with contextlib.suppress(ScimError):
        once = spelled(kind, given_)
        assert spelled(kind, once) == once


@given(st.lists(OPERATION, max_size=4) | JSON)
def test_any_patch_is_applied_or_refused_and_leaves_the_document_alone(operations):
    before = copy.deepcopy(ADA)
    with contextlib.suppress(ScimError):
        found = patched(USERS, ADA, {"Operations": operations})
        assert spelled(USERS, found)["userName"]
    assert before == ADA


@given(TEXTS)
def test_any_filter_is_a_question_or_refused(text):
    with contextlib.suppress(ScimError):
        assert read_filter(USERS, text).test(ADA) in {True, False}
    with contextlib.suppress(ScimError):
        assert read_path(USERS, text).attribute.name
