"""PATCH as RFC 7644 §3.5.2 has it, and in the dialects of the large providers."""

import copy

import pytest

from tokenroll.services.scim_documents import ENTERPRISE, GROUPS, MEMBER, USERS, ScimError, spelled
from tokenroll.services.scim_patches import patched

ADA = {
    "userName": "ada@firm.example",
    "active": True,
    "title": "Engineer",
    "name": {"givenName": "Ada", "familyName": "Lovelace"},
    "emails": [{"value": "ada@firm.example", "type": "work", "primary": True}, {"value": "a@home.org", "type": "home"}],
    ENTERPRISE: {"department": "Engineering"},
}
TEAM = {"displayName": "Engineering", "members": [{"value": "member_1"}, {"value": "member_2"}]}


def op(verb, path=None, value=None):
    return {key: one for key, one in {"op": verb, "path": path, "value": value}.items() if one is not None}


def ada(*operations):
    before = copy.deepcopy(ADA)
    found = patched(USERS, ADA, {"Operations": list(operations)})
    assert before == ADA
    return found


def team(*operations):
    return [one["value"] for one in patched(GROUPS, TEAM, {"Operations": list(operations)})["members"]]


@pytest.mark.parametrize(
    "operation",
    [
        op("replace", "active", False),
        op("Replace", "active", "False"),  # Entra
        op("replace", None, {"active": False}),  # Okta
        op("Replace", None, {"active": "false"}),
        op("REPLACE", "urn:ietf:params:scim:schemas:core:2.0:User:active", False),
        op("add", "ACTIVE", False),
        {"OP": "replace", "PATH": "active", "VALUE": False},
    ],
)
def test_a_deactivation_is_understood_in_every_dialect(operation):
    assert ada(operation) == {**ADA, "active": False}


def test_parts_and_extensions_are_changed_by_path_and_without_one():
    found = ada(
        op("replace", "name.familyName", "Byron"),
        op("add", f"{ENTERPRISE}:manager", "member_2"),  # Entra
        op("replace", None, {f"{ENTERPRISE}:department": "Research", "name.givenName": "A.", "nickName": "not kept"}),
        op("add", None, {MEMBER: {"level": "L5"}, "schemas": ["x"], "id": "y"}),
    )
    assert found["name"] == {"givenName": "A.", "familyName": "Byron"}
    assert found[ENTERPRISE] == {"department": "Research", "manager": {"value": "member_2"}}
    assert found[MEMBER] == {"level": "L5"}
    assert set(found) == {*ADA, MEMBER}


def test_a_complex_value_is_joined_to_what_is_there():
    assert ada(op("replace", "name", {"familyName": "Byron"}))["name"] == {"givenName": "Ada", "familyName": "Byron"}


def test_what_is_removed_says_so():
    found = ada(op("remove", "title"), op("remove", f"{ENTERPRISE}:department"), op("remove", "name.givenName"))
    assert (found["title"], found[ENTERPRISE]["department"], found["name"]["givenName"]) == (None, None, None)


def test_a_whole_extension_is_changed_and_taken_away():
    found = ada(op("add", MEMBER, {"level": "L5", "leftOn": "2026-01-01"}), op("replace", ENTERPRISE, {"employeeNumber": 17}))  # fmt: skip
    assert (found[MEMBER], found[ENTERPRISE]) == (
        {"level": "L5"},
        {"department": "Engineering", "employeeNumber": "17"},
    )
    assert ada(op("remove", ENTERPRISE))[ENTERPRISE] == {"employeeNumber": None, "department": None, "manager": None}
    with pytest.raises(ScimError, match="is a JSON object"):
        ada(op("replace", ENTERPRISE, "Engineering"))


def test_one_address_of_many_is_changed_made_and_removed():
    assert ada(op("replace", 'emails[type eq "work"].value', "ada@new.example"))["emails"][0] == {
        "value": "ada@new.example", "type": "work", "primary": True,
    }  # fmt: skip
    assert ada(op("add", 'emails[type eq "other"].value', "x@y.z"))["emails"][2] == {"type": "other", "value": "x@y.z"}
    whole = ada(op("replace", 'emails[type eq "home"]', {"value": "a@new.org"}))["emails"][1]
    assert whole == {"value": "a@new.org", "type": "home"}
    assert [one["type"] for one in ada(op("remove", 'emails[type eq "home"]'))["emails"]] == ["work"]
    assert ada(op("remove", "emails"))["emails"] == []
    primary = ada(op("add", "emails", [{"value": "p@q.r", "primary": True}]))["emails"]
    assert [(one["value"], one.get("primary")) for one in primary] == [
        ("ada@firm.example", False), ("a@home.org", None), ("p@q.r", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        (op("add", "members", [{"value": "member_3"}]), ["member_1", "member_2", "member_3"]),
        (op("Add", "members", [{"value": "member_2"}]), ["member_1", "member_2"]),
        (op("add", None, {"members": [{"value": "member_3"}]}), ["member_1", "member_2", "member_3"]),
        (op("add", "members", {"value": "member_3"}), ["member_1", "member_2", "member_3"]),
        (
            op("add", "members", [{"$ref": "https://x.example/scim/v2/Users/member_3"}]),
            ["member_1", "member_2", "member_3"],
        ),
        (op("remove", 'members[value eq "member_1"]'), ["member_2"]),
        (op("Remove", "members", [{"value": "member_1"}]), ["member_2"]),  # Entra
        (op("remove", 'members[value eq "member_9"]'), ["member_1", "member_2"]),
        (op("remove", "members"), []),
        (op("replace", "members", [{"value": "member_3"}]), ["member_3"]),
        (op("replace", None, {"members": []}), []),
    ],
)
def test_members_of_a_group_come_and_go(operation, members):
    assert team(operation) == members


@pytest.mark.parametrize(
    ("request_", "kind", "says"),
    [
        ({}, "invalidSyntax", "has a list of Operations"),
        ({"Operations": []}, "invalidSyntax", "has a list of Operations"),
        ([], "invalidSyntax", "has a list of Operations"),
        ({"Operations": ["x"]}, "invalidSyntax", "an operation is add, replace or remove"),
        ({"Operations": [op("move", "title")]}, "invalidSyntax", "not 'move'"),
        ({"Operations": [op("remove")]}, "noTarget", "remove needs a path"),
        ({"Operations": [op("replace", None, "x")]}, "invalidValue", "takes an object of attributes"),
        ({"Operations": [op("replace", "shoe", "x")]}, "invalidPath", "there is no attribute 'shoe'"),
        ({"Operations": [op("replace", "id", "x")]}, "mutability", "id is read-only"),
        ({"Operations": [op("replace", "groups", [])]}, "mutability", "groups is read-only"),
        ({"Operations": [op("remove", "userName")]}, "mutability", "userName cannot be removed"),
        ({"Operations": [op("replace", 'emails[type eq "work"]', [""])]}, "invalidValue", "a value of emails is one JSON object"),
        ({"Operations": [op("replace", "active")]}, "invalidValue", "active needs a value"),
        ({"Operations": [op("replace", None, {"userName": ""})]}, "invalidValue", "userName needs a value"),
        ({"Operations": [op("remove", "active")]}, "mutability", "active cannot be removed"),
        ({"Operations": [op("replace", 'emails[type eq "fax"].value', "1")]}, "noTarget", "no value of emails"),
        ({"Operations": [op("replace", "active", "no")]}, "invalidValue", "active is true or false"),
        ({"Operations": [op("replace", "title", ["x"])]}, "invalidValue", "title is a text"),
        ({"Operations": [op("replace", "title", "x" * 201)]}, "invalidValue", "at most 200 printable characters"),
        ({"Operations": [op("replace", "title", "x")] * 1_001}, "tooMany", "at most 1000 operations"),
        ({"Operations": [op("add", "emails", [{"value": str(one)} for one in range(21)])]}, "tooMany", "at most 20"),
    ],
)  # fmt: skip
def test_it_says_what_is_wrong_with_a_patch(request_, kind, says):
    with pytest.raises(ScimError) as found:
        patched(USERS, ADA, request_)
    assert found.value.kind == kind
    assert says in found.value.detail


def test_one_spelling_comes_of_many():
    told = {"USERNAME": " ada ", "Active": "TRUE", "emails": "ada@x.y", "Name": {"GIVENNAME": "Ada", "middleName": "K."},
            ENTERPRISE.upper(): {"EmployeeNumber": 17, "manager": "member_2", "costCenter": "x"}, "password": "secret",
            f"{MEMBER}:level": "L4", "meta": {}, "groups": [{"value": "x"}]}  # fmt: skip
    assert spelled(USERS, told) == {
        "userName": "ada", "active": True, "emails": [{"value": "ada@x.y"}], "name": {"givenName": "Ada"},
        ENTERPRISE: {"employeeNumber": "17", "manager": {"value": "member_2"}}, MEMBER: {"level": "L4"},
    }  # fmt: skip
