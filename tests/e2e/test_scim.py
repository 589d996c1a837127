"""An identity provider feeds a running company: SCIM over a real socket, a ledger and a gateway in processes of their own."""

import http.client
import json
import socket
import threading
import time

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.company import Company
from tokenroll.api.scim import create_scim
from tokenroll.app import Reader, open_reports
from tokenroll.services.scim_documents import ENTERPRISE, GROUP, MEMBER, PATCH, USER
from tokenroll.store.verify import verify

CALL = json.dumps(
    {"model": "gpt-4o-mini", "max_completion_tokens": 20, "messages": [{"role": "user", "content": "Am I still here?"}]}
).encode()


class Provider:
    """An identity provider: asks, and reads what it is answered."""

    def __init__(self, port, secret):
        self.port = port
        self.secret = secret

    def ask(self, method, path, body=None, *, secret=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            told = {"authorization": f"Bearer {self.secret if secret is None else secret}", "content-type": "application/scim+json",
                    **{name.replace("_", "-"): value for name, value in headers.items()}}  # fmt: skip
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, f"/scim/v2{path}", data, told)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None, dict(answer.getheaders())
        finally:
            connection.close()

    def get(self, path, **headers):
        return self.ask("GET", path, **headers)

    def create(self, place, **said):
        status, found, _ = self.ask("POST", place, said)
        assert status == 201, found
        return found

    def patch(self, place, *operations, **headers):
        return self.ask("PATCH", place, {"schemas": [PATCH], "Operations": list(operations)}, **headers)


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    with Company(tmp_path_factory.mktemp("scim") / "home") as one:
        one.hire("Cleo", 0)
        one.key("Cleo", "tr-identity-provider", "provision")
        yield one


@pytest.fixture(scope="module")
def provider(company):
    reader = Reader(company.settings)
    server = uvicorn.Server(
        uvicorn.Config(Starlette(routes=[Mount("/scim/v2", create_scim(reader))]), log_level="warning", lifespan="off")
    )
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield Provider(listening.getsockname()[1], "tr-identity-provider")
    server.should_exit = True
    thread.join(10)
    listening.close()
    reader.close()


def user(name, **more):
    return {
        "schemas": [USER, ENTERPRISE], "userName": f"{name.lower()}@firm.example", "displayName": name, "active": True,
        "externalId": f"idp-{name}", "name": {"givenName": name, "familyName": "Firm"},
        "emails": [{"value": f"{name.lower()}@firm.example", "type": "work", "primary": True}], **more,
    }  # fmt: skip


def active(member, *, value):
    return {"op": "replace", "path": "active", "value": value}


def call(company, secret):
    return company.request(
        "POST",
        "/v1/chat/completions",
        CALL,
        {"authorization": f"Bearer {secret}", "content-type": "application/json"},
    )[0]


@pytest.mark.parametrize(
    ("name", "value"), [("Ada", False), ("Abe", "False")], ids=["as the protocol says", "as Entra says it"]
)
def test_a_key_stops_within_a_second_of_a_deactivation_and_stays_stopped(company, provider, name, value):
    made = provider.create("/Users", **user(name), timezone="Europe/Berlin")
    company.grant(made["id"], 10_000_000_000)
    secret = company.key(made["id"], f"tr-{name.lower()}")
    assert call(company, secret) == 200
    began = time.monotonic()
    status, found, _ = provider.patch(f"/Users/{made['id']}", active(made, value=value))
    assert (status, found["active"]) == (200, False)
    while call(company, secret) == 200:
        assert time.monotonic() - began < 1.0, "the key still works a second after its holder was deactivated"
    assert call(company, secret) == 401
    assert time.monotonic() - began < 1.0
    assert provider.patch(f"/Users/{made['id']}", active(made, value=True))[1]["active"] is True
    assert call(company, secret) == 401  # back, but what was revoked stays revoked
    assert call(company, company.key(made["id"], f"tr-{name.lower()}-again")) == 200
    assert company.wallet(made["id"]).left > 9_000_000_000


def test_a_user_is_made_found_replaced_and_shown_as_it_was_said(company, provider):
    said = user("Bo", **{ENTERPRISE: {"employeeNumber": "18", "department": "Research"}, MEMBER: {"level": "M2", "partTime": "0.8"}})  # fmt: skip
    status, made, headers = provider.ask("POST", "/Users", said)
    assert (status, headers["content-type"]) == (201, "application/scim+json")
    assert headers["location"] == made["meta"]["location"] == f"http://127.0.0.1:{provider.port}/scim/v2/Users/{made['id']}"  # fmt: skip
    assert headers["etag"] == made["meta"]["version"]
    assert (made["userName"], made["externalId"], made["name"]) == ("bo@firm.example", "idp-Bo", {"givenName": "Bo", "familyName": "Firm"})  # fmt: skip
    assert made[ENTERPRISE] == {"employeeNumber": "18", "department": "Research"}
    assert made[MEMBER] == {"level": "M2", "partTime": "0.8"}
    assert [one["display"] for one in made["groups"]] == ["Research"]
    with open_reports(company.settings) as reports:
        bo = reports.member("Bo")
    assert (bo["employee_id"], bo["department_name"], bo["level"], bo["part_time"], bo["member"]) == ("18", "Research", "M2", "0.8", made["id"])  # fmt: skip
    assert provider.get(f"/Users/{made['id']}")[1] == made
    for asked in (
        'userName eq "BO@firm.example"',
        'externalId eq "idp-Bo" and active eq true',
        f'id eq "{made["id"]}"',
    ):
        found = provider.get("/Users?filter=" + asked.replace(" ", "%20"))[1]
        assert [one["id"] for one in found["Resources"]] == [made["id"]], asked
    # a whole user that says nothing of the department leaves it alone; a name in other words is another name
    status, replaced, _ = provider.ask("PUT", f"/Users/{made['id']}", {**user("Bo"), "displayName": "Bo Firm", "emails": []})  # fmt: skip
    assert (status, replaced["displayName"], "emails" in replaced) == (200, "Bo Firm", False)
    assert replaced[ENTERPRISE] == made[ENTERPRISE]
    with open_reports(company.settings) as reports:
        assert reports.wallet("Bo Firm")["wallet"] == bo["wallet"]["wallet"]


def test_the_same_again_writes_nothing(company, provider):
    made = provider.create("/Users", **user("Dev"))
    with open_reports(company.settings) as reports:
        count = reports.connection.exec_driver_sql("SELECT count(*) FROM commands").scalar()
    same = provider.ask("PUT", f"/Users/{made['id']}", user("Dev"))[1]
    again = provider.patch(f"/Users/{made['id']}", active(made, value="True"), {"op": "Add", "path": "displayName", "value": "Dev"})[1]  # fmt: skip
    assert same == again == made
    with open_reports(company.settings) as reports:
        assert reports.connection.exec_driver_sql("SELECT count(*) FROM commands").scalar() == count


def test_two_cannot_overwrite_each_other(company, provider):
    made = provider.create("/Users", **user("Eve"))
    place, tag = f"/Users/{made['id']}", made["meta"]["version"]
    assert provider.get(place, if_none_match=tag)[0] == 304
    renamed = {"op": "replace", "path": "displayName", "value": "Eve the first"}
    status, changed, _ = provider.patch(place, renamed, if_match=tag)
    assert status == 200
    status, told, _ = provider.patch(place, {**renamed, "value": "Eve the second"}, if_match=tag)
    assert (status, told["status"]) == (412, "412")
    assert provider.ask("DELETE", place, if_match=tag)[0] == 412
    threads = [
        threading.Thread(
            target=provider.patch, args=(place, {"op": "replace", "path": path, "value": f"{path} {number}"})
        )
        for number in range(4)
        for path in ("title", "name.familyName")
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    found = provider.get(place)[1]
    assert found["title"].startswith("title ")
    assert found["name"]["familyName"].startswith("name.familyName ")
    assert found["meta"]["version"] != changed["meta"]["version"]


def test_a_deleted_user_is_gone_for_the_provider_and_comes_back_as_the_same_member(company, provider):
    made = provider.create("/Users", **user("Fay"))
    secret = company.key(made["id"], "tr-fay")
    company.grant(made["id"], 5_000_000_000)
    assert call(company, secret) == 200
    assert provider.ask("DELETE", f"/Users/{made['id']}")[0] == 204
    assert call(company, secret) == 401
    for method in ("GET", "DELETE"):
        status, told, _ = provider.ask(method, f"/Users/{made['id']}")
        assert (status, told["schemas"]) == (404, ["urn:ietf:params:scim:api:messages:2.0:Error"])
    assert provider.get("/Users?filter=userName%20eq%20%22fay@firm.example%22")[1]["totalResults"] == 0
    back = provider.create("/Users", **user("Fay"))
    assert (back["id"], back["active"]) == (made["id"], True)
    assert company.wallet("Fay").left > 4_000_000_000


@pytest.mark.parametrize("how", ["another number", "another id of the provider", "has left"])
def test_an_address_that_is_given_to_somebody_else_does_not_bring_the_wallet_with_it(company, provider, how):
    name = "Kim" + how.split()[-1]
    first = provider.create("/Users", **user(name, **{ENTERPRISE: {"employeeNumber": f"n1 {how}"}}))
    company.grant(first["id"], 5_000_000_000)
    assert provider.ask("DELETE", f"/Users/{first['id']}")[0] == 204
    said = user(name)
    if how == "another number":
        said[ENTERPRISE] = {"employeeNumber": "n2"}
    elif how == "another id of the provider":
        said["externalId"] = "idp-somebody-else"
    else:
        del said["externalId"]
        company.do("member.leave", member=first["id"], left_on="2026-01-31")
    second = provider.create("/Users", **said)
    assert second["id"] != first["id"]
    assert company.wallet(second["id"]).left == 0
    assert company.wallet(first["id"]).left == (0 if how == "has left" else 5_000_000_000)  # forfeited with the leaving
    with open_reports(company.settings) as reports:
        assert reports.member(second["id"])["name"] == f"{name} ({name.lower()}@firm.example)"


def test_a_name_that_hr_gives_stays_until_the_provider_says_another(company, provider):
    company.do("member.import", rows=[{"line": 2, "id": "78", "name": "Lea Firm", "department": "Engineering"}])
    made = provider.create("/Users", **user("Lea", **{ENTERPRISE: {"employeeNumber": "78"}}))
    place = f"/Users/{made['id']}"
    assert provider.patch(place, {"op": "replace", "path": "title", "value": "Lead"})[0] == 200
    with open_reports(company.settings) as reports:
        assert reports.member(made["id"])["name"] == "Lea Firm"
    assert provider.patch(place, {"op": "replace", "path": "displayName", "value": "Lea F."})[0] == 200
    with open_reports(company.settings) as reports:
        assert reports.member(made["id"])["name"] == "Lea F."


def test_a_member_who_was_imported_is_joined_by_their_number(company, provider):
    company.do(
        "member.import", rows=[{"line": 2, "id": "77", "name": "Gus", "department": "Engineering", "level": "L3"}]
    )
    made = provider.create("/Users", **user("Gus", **{ENTERPRISE: {"employeeNumber": "77"}}))
    assert made[MEMBER] == {"level": "L3"}
    assert made[ENTERPRISE] == {"employeeNumber": "77", "department": "Engineering"}
    status, told, _ = provider.ask("POST", "/Users", user("Gustav", **{ENTERPRISE: {"employeeNumber": "77"}}))
    assert (status, told["scimType"]) == (409, "uniqueness")


def test_a_department_that_is_taken_away_is_gone_and_taking_it_again_writes_nothing(company, provider):
    made = provider.create(
        "/Users", **user("Max", **{ENTERPRISE: {"department": "Engineering", "employeeNumber": "79"}})
    )
    place, gone = f"/Users/{made['id']}", {"op": "remove", "path": f"{ENTERPRISE}:department"}
    first = provider.patch(place, gone)[1]
    assert first[ENTERPRISE] == {"employeeNumber": "79"}
    assert [one["display"] for one in first["groups"]] == ["Unassigned"]
    assert provider.patch(place, gone)[1] == first


def test_somebody_whose_last_day_is_to_come_is_still_active_and_one_whose_is_over_stays_away(company, provider):
    made = provider.create("/Users", **user("Nia", **{ENTERPRISE: {"employeeNumber": "80"}}))
    place = f"/Users/{made['id']}"

    def leaves(on):
        company.do("member.import", rows=[{"line": 2, "id": "80", "name": "Nia", "department": "People", "left_on": on}])  # fmt: skip

    leaves("2999-12-31")
    assert provider.patch(place, active(made, value=True))[1]["active"] is True
    leaves("2026-01-31")
    assert provider.get(place)[1]["active"] is False
    assert provider.patch(place, {"op": "replace", "path": "title", "value": "was here"})[0] == 200
    status, told, _ = provider.patch(place, active(made, value=True))
    assert (status, told["scimType"]) == (400, "mutability")
    assert "has left on 2026-01-31: the people system takes that back" in told["detail"]


def test_two_people_of_one_name_are_told_apart(company, provider):
    first = provider.create("/Users", **user("Hal"))
    second = provider.create("/Users", **{**user("Hal"), "userName": "hal2@firm.example", "externalId": "idp-Hal2"})
    assert (first["displayName"], second["displayName"]) == ("Hal", "Hal")
    with open_reports(company.settings) as reports:
        names = {one["member"]: one["name"] for one in reports.members()}
    assert (names[first["id"]], names[second["id"]]) == ("Hal", "Hal (hal2@firm.example)")


def test_groups_are_departments_and_everybody_is_in_one(company, provider):
    ida, jon = (provider.create("/Users", **user(name)) for name in ("Ida", "Jon"))
    assert [one["display"] for one in ida["groups"]] == ["Unassigned"]
    group = provider.create("/Groups", schemas=[GROUP], displayName="Sales", externalId="g-1", members=[{"value": ida["id"]}])  # fmt: skip
    place = f"/Groups/{group['id']}"
    # the ways in which providers add and take away
    assert provider.patch(place, {"op": "Add", "path": "members", "value": [{"value": jon["id"]}]})[0] == 200
    assert {one["display"] for one in provider.get(place)[1]["members"]} == {"Ida", "Jon"}
    assert "members" not in provider.get(f"{place}?excludedAttributes=members")[1]
    assert provider.patch(place, {"op": "remove", "path": f'members[value eq "{ida["id"]}"]'})[0] == 200
    assert [one["display"] for one in provider.get(f"/Users/{ida['id']}")[1]["groups"]] == ["Unassigned"]
    assert provider.patch(place, {"op": "Remove", "path": "members", "value": [{"value": jon["id"]}]})[0] == 200
    assert provider.get(place)[1].get("members", []) == []
    assert provider.patch(place, {"op": "replace", "value": {"id": group["id"], "displayName": "Sales West"}})[0] == 200
    status, found, _ = provider.ask("PUT", place, {"displayName": "Sales West", "members": [{"value": ida["id"]}, {"value": jon["id"]}]})  # fmt: skip
    assert (status, len(found["members"]), found["externalId"]) == (200, 2, "g-1")
    assert [one["id"] for one in provider.get('/Groups?filter=displayName%20eq%20"sales%20west"'.replace('"', "%22"))[1]["Resources"]] == [group["id"]]  # fmt: skip
    assert [one["id"] for one in provider.get(f"/Groups?filter=members%5Bvalue%20eq%20%22{jon['id']}%22%5D")[1]["Resources"]] == [group["id"]]  # fmt: skip
    with open_reports(company.settings) as reports:
        assert reports.member("Ida")["department_name"] == "Sales West"
    assert provider.ask("DELETE", place)[0] == 204
    assert provider.get(place)[0] == 404
    assert [one["display"] for one in provider.get(f"/Users/{jon['id']}")[1]["groups"]] == ["Unassigned"]
    assert provider.create("/Groups", displayName="Sales West")["id"] == group["id"]


def test_it_pages_through_everybody_once(company, provider):
    for number in range(5):
        provider.create("/Users", **user(f"Page{number}"))
    whole = provider.get("/Users?filter=userName%20sw%20%22page%22")[1]
    assert (whole["totalResults"], whole["itemsPerPage"], whole["startIndex"]) == (5, 5, 1)
    seen = []
    for start in (1, 3, 5, 7):
        page = provider.get(f"/Users?filter=userName%20sw%20%22page%22&startIndex={start}&count=2&attributes=userName")[
            1
        ]
        assert page["totalResults"] == 5
        seen += page["Resources"]
    assert [one["userName"] for one in seen] == [f"page{number}@firm.example" for number in range(5)]
    assert set(seen[0]) == {"schemas", "id", "userName"}
    assert provider.get("/Users?count=0")[1]["Resources"] == []
    status, said, _ = provider.get("/Users?count=")
    assert (status, said["scimType"], said["detail"]) == (400, "invalidValue", "count is a whole number, not ''")
    found = provider.ask("POST", "/Users/.search", {"filter": 'userName sw "page"', "count": 1})[1]
    assert (found["totalResults"], len(found["Resources"])) == (5, 1)
    both = provider.ask("POST", "/.search", {"filter": 'displayName sw "Page" or displayName eq "Engineering"'})[1]
    assert [one["meta"]["resourceType"] for one in both["Resources"]] == ["User"] * 5 + ["Group"]
    only = provider.ask("POST", "/.search", {"filter": 'userName eq "page1@firm.example"', "attributes": ["userName"]})[
        1
    ]
    assert [one["userName"] for one in only["Resources"]] == ["page1@firm.example"]
    assert provider.ask("POST", "/.search", {"filter": "shoe pr"})[1]["scimType"] == "invalidFilter"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "kind", "says"),
    [
        ("POST", "/Users", {"displayName": "Nobody"}, 400, "invalidValue", "userName is needed"),
        ("POST", "/Users", [], 400, "invalidSyntax", "a User is a JSON object"),
        ("POST", "/Users", b"{", 400, "invalidSyntax", "the body is not JSON"),
        ("POST", "/Users", {"userName": "x", "active": "perhaps"}, 400, "invalidValue", "active is true or false"),
        ("POST", "/Users", {"userName": "x", "timezone": "Mars"}, 400, "invalidValue", "'Mars' is not an IANA time zone"),
        ("POST", "/Users", {"userName": "x", ENTERPRISE: {"manager": "member_1"}}, 400, "invalidValue", "is no user's id"),
        ("POST", "/Users", {"userName": "x", MEMBER: {"employmentType": "friend"}}, 400, "invalidValue", "is one of employee, fixed_term"),
        ("GET", "/Users?filter=userName%20is%20%22x%22", None, 400, "invalidFilter", "'is' is no comparison"),
        ("GET", "/Users?filter=shoeSize%20pr", None, 400, "invalidFilter", "there is no attribute 'shoeSize'"),
        ("GET", "/Users?count=many", None, 400, "invalidValue", "count is a whole number"),
        ("GET", "/Users/member_1", None, 404, "", "there is no User"),
        ("PATCH", "/Users/member_1", {"Operations": [{"op": "remove", "path": "title"}]}, 404, "", "there is no User"),
        ("POST", "/Groups", {"members": []}, 400, "invalidValue", "displayName is needed"),
        ("POST", "/Groups", {"displayName": "Engineering"}, 409, "uniqueness", "is another group's"),
        ("POST", "/Groups", {"displayName": "G", "members": [{"value": "member_1"}]}, 400, "invalidValue", "is no user's id"),
        ("GET", "/Me", None, 501, "", "not offered"),
        ("GET", "/Nothing", None, 404, "", "Not Found"),
        ("DELETE", "/Users", None, 405, "", "Method Not Allowed"),
        ("POST", "/Users", b" " * (4 * 1024 * 1024 + 1), 413, "tooMany", "at most 4194304 bytes"),
    ],
)  # fmt: skip
def test_a_problem_is_told_in_the_words_of_the_protocol(provider, method, path, body, status, kind, says):
    got, told, headers = provider.ask(method, path, body)
    assert (got, told["status"], told.get("scimType", ""), headers["content-type"]) == (
        status,
        str(status),
        kind,
        "application/scim+json",
    )
    assert says in told["detail"]


def test_only_a_key_for_it_opens_the_door_and_it_calls_no_model(company, provider):
    assert call(company, provider.secret) == 403
    assert provider.ask("GET", "/Users", secret=company.key("Cleo", "tr-cleo-admin", "admin"))[0] == 200
    secret = company.key("Cleo", "tr-cleo-calls")
    assert provider.ask("GET", "/Users", secret="")[0] == 401
    assert provider.ask("GET", "/Users", secret="tr-nobody")[2]["www-authenticate"] == "Bearer"
    assert provider.ask("POST", "/Users", user("Mallory"), secret=secret)[0] == 403
    assert provider.get("/Users?filter=userName%20eq%20%22mallory@firm.example%22")[1]["totalResults"] == 0


def test_it_says_what_it_can(provider):
    config = provider.get("/ServiceProviderConfig")[1]
    assert {name: config[name]["supported"] for name in ("patch", "bulk", "filter", "sort", "etag")} == {
        "patch": True, "bulk": False, "filter": True, "sort": False, "etag": True,
    }  # fmt: skip
    types = provider.get("/ResourceTypes")[1]["Resources"]
    assert [(one["id"], one["endpoint"]) for one in types] == [("User", "/Users"), ("Group", "/Groups")]
    found = provider.get("/Schemas")[1]["Resources"]
    assert [one["id"] for one in found] == [USER, ENTERPRISE, MEMBER, GROUP]
    assert provider.get(f"/Schemas/{USER}")[1]["attributes"] == found[0]["attributes"]
    assert {one["schema"] for one in types} <= {one["id"] for one in found}
    assert provider.get("/Schemas/urn:none")[0] == 404


def test_without_a_ledger_nothing_is_written_and_the_provider_is_told_to_come_again(company, provider, monkeypatch):
    monkeypatch.setattr("tokenroll.services.ledger_client._BUSY_SECONDS_MAX", 0.2)
    monkeypatch.setattr("tokenroll.app.Settings.socket_path", company.home / "run" / "nothing.sock", raising=False)
    status, told, headers = provider.ask("POST", "/Users", user("Late"))
    assert (status, headers["retry-after"]) == (503, "5")
    assert "is not served" in told["detail"]


def test_the_books_hold_after_all_of_it(company, provider):
    company.quiet()
    with open_reports(company.settings) as reports:
        found = verify(reports.connection, reports.now)
    assert found.differences == []
