"""Filters as RFC 7644 §3.4.2.2 writes them, and as providers do."""

import pytest

from tokenroll.services.scim_documents import ENTERPRISE, GROUPS, USERS, ScimError
from tokenroll.services.scim_filters import read_filter, read_path

BARBARA = {
    "id": "member_1",
    "externalId": "X1",
    "userName": "bjensen",
    "name": {"familyName": "O'Malley", "givenName": "Barbara"},
    "title": "Engineer",
    "userType": "Employee",
    "active": True,
    "emails": [{"value": "barbara@example.com", "type": "work"}, {"value": "b@home.org", "type": "home"}],
    "meta": {"lastModified": "2011-05-13T04:42:34Z"},
    ENTERPRISE: {"employeeNumber": "701984", "manager": {"value": "member_2"}},
}
RFC = {
    'userName Eq "john"': False,
    'Username eq "BJENSEN"': True,
    'name.familyName co "O\'Malley"': True,
    'userName sw "b"': True,
    'urn:ietf:params:scim:schemas:core:2.0:User:userName sw "B"': True,
    "title pr": True,
    'meta.lastModified gt "2011-05-13T04:42:34Z"': False,
    'meta.lastModified ge "2011-05-13T04:42:34Z"': True,
    'meta.lastModified lt "2011-05-13T04:42:34Z"': False,
    'meta.lastModified le "2011-05-13T04:42:34Z"': True,
    'title pr and userType eq "Employee"': True,
    'title pr or userType eq "Intern"': True,
    'userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")': True,
    'userType ne "Employee" and not (emails co "example.com" or emails.value co "example.org")': False,
    'userType eq "Employee" and (emails.type eq "work")': True,
    'userType eq "Employee" and emails[type eq "work" and value co "@example.com"]': True,
    'emails[type eq "work" and value co "@example.com"] or emails[type eq "other"]': True,
    'emails[type eq "home" and value co "@example.com"]': False,
}
OTHERS = {
    "active eq true": True,
    'meta.lastModified gt "2011-05-13T04:42:33.9Z"': True,
    'meta.lastModified lt "2011-05-13T04:42:34.1Z"': True,
    'meta.lastModified eq "2011-05-13T06:42:34+02:00"': True,
    'meta.lastModified sw "2011-05"': True,
    'active eq "False"': False,
    "active ne true": False,
    'externalId eq "x1"': False,  # ids are exact
    "displayName pr": False,
    "displayName eq null": True,
    "title eq null": False,
    "title ne null": True,
    'displayName ne "x"': True,
    'userName ew "SEN"': True,
    'not (userName eq "x") and not (title co "Manager")': True,
    f'{ENTERPRISE}:employeeNumber eq "701984"': True,
    f'{ENTERPRISE}:manager.value eq "member_2"': True,
    f'{ENTERPRISE}:manager eq "member_2"': True,
    'title eq "x" or title eq "y" and userName pr or active eq true': True,
    'title eq "x" and (title eq "y" or userName pr)': False,
    'title eq "\\"quoted\\""': False,
    "((((title pr))))": True,
}


@pytest.mark.parametrize(("text", "lets_through"), [*RFC.items(), *OTHERS.items()])
def test_it_asks_what_the_text_says(text, lets_through):
    assert read_filter(USERS, text).test(BARBARA) is lets_through


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("userName", "something is missing"),
        ("userName eq", "something is missing"),
        ('userName like "x"', "'like' is no comparison; there are eq, ne, co, sw, ew, gt, ge, lt, le and pr"),
        ("userName eq x", "'x' is no value; a text stands between double quotes"),
        ('userName eq "x', "a text is not closed"),
        ('(userName eq "x"', "a parenthesis is not closed"),
        ('userName eq "x")', "')' does not belong there"),
        ('emails[type eq "x"', "a bracket is not closed"),
        ('emails[kind eq "x"]', "emails has no part 'kind'; it has value, display, type, primary"),
        ('shoe eq "x"', "there is no attribute 'shoe'; there are id, externalId, userName"),
        ('name.middle eq "x"', "there is no attribute 'name.middle'"),
        ("not title pr", "`not` stands before a parenthesis"),
        ("active gt true", "active is true or false, compared by eq or ne"),
        ("active eq 7", "active is true or false"),
        ('meta.lastModified gt "May"', "'May' is no moment such as 2026-01-31T09:00:00Z"),
        ("title gt null", "null is compared by eq or ne"),
        ("(" * 33 + "title pr" + ")" * 33, "more than 32 parentheses"),
        ("title pr or " * 400 + "title pr", "more than 4096 characters"),
        ("title pr and and title pr", "there is no attribute 'and'"),
    ],
)  # fmt: skip
def test_it_says_what_is_wrong_with_a_filter(text, says):
    with pytest.raises(ScimError) as found:
        read_filter(USERS, text)
    assert (found.value.status, found.value.kind) == (400, "invalidFilter")
    assert says in found.value.detail


def test_a_question_for_one_user_is_known_for_what_it_is():
    assert read_filter(USERS, 'username eq "Ada"').equals == ("userName", "Ada")
    for longer in ('userName eq "Ada" and active eq true', 'not (userName eq "Ada")', 'userName sw "Ada"', 'id eq "1" or title pr'):  # fmt: skip
        assert read_filter(USERS, longer).equals is None


@pytest.mark.parametrize(
    ("text", "attribute", "part", "creates"),
    [
        ("members", "members", None, None),
        ('members[value eq "member_1"]', "members", None, {"value": "member_1"}),
        ('members[value eq "a" or value eq "b"].display', "members", "display", None),
        ("displayName", "displayName", None, None),
    ],
)
def test_a_path_says_where_something_stands(text, attribute, part, creates):
    path = read_path(GROUPS, text)
    assert (path.attribute.name, path.part and path.part.name, path.creates) == (attribute, part, creates)


@pytest.mark.parametrize("text", ["displayName[value eq 1]", "members[value pr].shoe", "members[value pr]x", "members extra", ""])  # fmt: skip
def test_a_path_that_is_none_is_refused(text):
    with pytest.raises(ScimError) as found:
        read_path(GROUPS, text)
    assert found.value.kind == "invalidPath"
