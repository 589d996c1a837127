import pytest

from tests.firm import CREDIT, DAY, FEBRUARY, JANUARY, MARCH, Firm


@pytest.fixture
def firm():
    one = Firm()
    one.do("company.set", name="A small firm", zone="Europe/Berlin")
    one.hire("Ada", zone="Europe/Berlin")
    return one


def tools(firm, **changes):
    facts = {"name": "tools", "kind": "stipend", "classification": "tool", "amount_nanos": 100 * CREDIT}
    return firm.do("plan.create", **facts | changes)


def test_it_gives_each_member_a_wallet_in_the_companys_zone(firm):
    made = firm.do("member.create", name="Bo", department="Engineering")
    assert made["zone"] == "Europe/Berlin"
    assert firm.reports.wallet("Bo")["left_nanos"] == 0
    assert firm.reports.wallet(made["wallet"])["name"] == "Bo"


@pytest.mark.parametrize(
    ("name", "arguments", "kind", "says"),
    [
        ("member.create", {"name": "Ada", "department": "Engineering"}, "taken", "there is a member 'Ada' already"),
        ("member.create", {"name": "Bo", "department": "Sales"}, "not_found", "there is no department 'Sales'"),
        (
            "member.create",
            {"name": "Bo", "department": "Engineering", "zone": "Mars"},
            "zone",
            "'Mars' is not an IANA time zone",
        ),
        ("member.create", {"department": "Engineering"}, "argument", "the name is missing"),
        ("member.create", {"name": " \u2003 ", "department": "Engineering"}, "argument", "the name is missing"),
        ("department.create", {"name": "  "}, "argument", "the name is missing"),
        ("pool.create", {"name": " "}, "argument", "the name is missing"),
        ("plan.create", {"name": " "}, "argument", "the name is missing"),
        ("member.create", {"name": " Ada ", "department": "Engineering"}, "taken", "there is a member 'Ada' already"),
        (
            "member.create",
            {"name": "B\no", "department": "Engineering"},
            "invalid",
            "member name must be 1 to 200 printable",
        ),
        ("member.leave", {"member": "Ada", "left_on": "soon"}, "argument", "'soon' is not a date"),
        ("department.create", {"name": "Engineering"}, "taken", "there is a department 'Engineering' already"),
        ("grant.create", {"to": "Ada", "plan": "gold"}, "not_found", "there is no plan 'gold'"),
        ("grant.create", {"to": "Bo", "plan": "gold"}, "not_found", "there is no wallet 'Bo'"),
        ("grant.top_up", {"to": "Ada", "amount_nanos": 1}, "no_plan", "Ada was never granted anything"),
        (
            "plan.create",
            {"name": "x", "kind": "gift", "classification": "tool", "amount_nanos": 1},
            "invalid",
            "'gift' is not a valid",
        ),
        (
            "plan.create",
            {"name": "x", "kind": "stipend", "classification": "tool", "amount_nanos": -1},
            "invalid",
            "must lie between",
        ),
        (
            "plan.create",
            {"name": "x", "kind": "stipend", "classification": "tool", "amount_nanos": 1, "lifetime": "3 months"},
            "argument",
            "a lifetime is a number of days or months such as 90d or 12m",
        ),
        ("key.revoke", {"key": "laptop"}, "not_found", "there is no key 'laptop'"),
    ],
)
def test_it_refuses_in_words_that_say_what_to_do(firm, name, arguments, kind, says):
    reply = firm.ask(name, **arguments)
    assert reply.problem_kind == kind
    assert says in reply.problem


@pytest.mark.parametrize("at", [253_402_300_799_000_000, 32_503_680_000_000_000, 946_684_799_999_999, -1, 0])
def test_it_refuses_dates_whose_months_have_no_name(firm, at):
    tools(firm, lifetime="3m")
    for name, arguments in (
        ("grant.create", {"to": "Ada", "plan": "tools"}),
        ("plan.create", {"name": "x", "kind": "stipend", "classification": "tool", "amount_nanos": 1}),
        ("ratecard.import", {}),
    ):
        reply = firm.ask(name, **arguments, effective_at=at)
        assert reply.problem_kind == "argument"
        assert "effective at must lie between 2000-01-01T00:00:00Z and 2999-12-31T23:59:59Z" in reply.problem
    assert firm.reports.grants("Ada") == []


def test_it_finds_a_name_with_the_blanks_with_which_it_was_given(firm):
    tools(firm, name="tools ")
    assert firm.do("member.create", name=" Bo", department="Engineering ")["name"] == "Bo"
    made = firm.do("grant.create", to=" Bo", plan="tools ")
    assert (made["wallet_name"], made["plan_name"]) == ("Bo", "tools")
    assert firm.reports.member("Bo ")["name"] == "Bo"


def test_it_can_name_the_end_of_the_longest_lifetime_from_the_last_date(firm):
    tools(firm, lifetime="36500m")
    assert firm.do("grant.create", to="Ada", plan="tools", effective_at=32_503_679_999_000_000)["lots"][0]["expires_at"]


def test_it_cuts_a_grant_into_dated_lots_and_tells_it_in_the_words_of_its_classification(firm):
    firm.do("plan.create", name="sign-on", kind="signing_bonus", classification="compensation", amount_nanos=100 * CREDIT,
            vesting={"kind": "periodic", "occurrences": 3, "cliff_occurrences": 2})  # fmt: skip
    made = firm.do("grant.create", to="Ada", plan="sign-on")
    assert [lot["amount_nanos"] for lot in made["lots"]] == [66_666_666_666, 33_333_333_334]
    assert made["words"] == "signing bonus (pay)"
    assert made["why"].startswith("It rewards the person")
    wallet = firm.reports.wallet("Ada")
    assert (wallet["left_nanos"], wallet["unvested_nanos"]) == (0, 100 * CREDIT)
    assert (wallet["next_vest_nanos"], wallet["words_vests"]) == (66_666_666_666, "vests")


def test_it_tries_a_grant_without_making_it(firm):
    tools(firm)
    reply = firm.ask("grant.create", to="Ada", plan="tools", dry_run=True)
    assert reply.result["dry_run"] is True
    assert reply.result["lots"][0]["amount_nanos"] == 100 * CREDIT
    assert firm.reports.grants("Ada") == []


def test_it_answers_a_repeated_grant_with_the_first_answer(firm):
    tools(firm)
    first = firm.ask("grant.create", to="Ada", plan="tools", command_id="payroll-7")
    again = firm.ask("grant.create", to="Ada", plan="tools", command_id="payroll-7")
    other = firm.ask("grant.create", to="Ada", plan="tools", amount_nanos=1, command_id="payroll-7")
    assert again.result["grant"] == first.result["grant"]
    assert other.problem_kind == "conflict"
    assert len(firm.reports.grants("Ada")) == 1


def test_it_grants_by_the_version_of_the_plan_that_holds(firm):
    tools(firm, effective_at=JANUARY)
    tools(firm, amount_nanos=200 * CREDIT, effective_at=FEBRUARY)
    now = firm.do("grant.create", to="Ada", plan="tools")
    later = firm.do("grant.create", to="Ada", plan="tools", effective_at=MARCH)
    assert (now["amount_nanos"], later["amount_nanos"]) == (100 * CREDIT, 200 * CREDIT)
    assert [(plan["version"], plan["amount_nanos"] // CREDIT) for plan in firm.reports.plans()] == [(1, 100), (2, 200)]


def test_it_tops_up_under_the_newest_plan(firm):
    tools(firm, lifetime="30d")
    firm.do("grant.create", to="Ada", plan="tools")
    made = firm.do("grant.top_up", to="Ada", amount_nanos=CREDIT, reason="a long week")
    assert (made["words"], made["lots"][0]["expires_at"]) == ("top-up (working tool)", JANUARY + 30 * DAY)
    assert firm.reports.wallet("Ada")["left_nanos"] == 101 * CREDIT


def test_it_makes_one_pool_for_whom_it_serves(firm):
    firm.do("pool.create", name="Everybody's")
    firm.do("pool.create", name="Engineering pool", department="Engineering")
    assert [(pool["name"], pool["serves"]) for pool in firm.reports.pools()] == [
        ("Engineering pool", "Engineering"),
        ("Everybody's", "everybody"),
    ]
    assert firm.ask("pool.create", name="Another", department="Engineering").problem_kind == "taken"
    assert firm.ask("pool.create", name="Another").problem_kind == "taken"


def test_a_pools_draw_rule_reaches_the_keys_that_it_serves(firm):
    firm.do("key.create", member="Ada", name="k", secret_hash="11" * 32, shown_prefix="tr-1")
    firm.do("pool.create", name="Engineering pool", department="Engineering", draw_rule="pool_first")
    assert [key.pool_first for delta in firm.ledger.take_deltas() for key in delta.keys][-1] is True
    firm.do("pool.set", pool="Engineering pool", draw_rule="own_first")
    assert [key.pool_first for delta in firm.ledger.take_deltas() for key in delta.keys] == [False]
    assert [pool["draw_rule"] for pool in firm.reports.pools()] == ["own_first"]
    assert "Ada is no pool" in firm.ask("pool.set", pool="Ada", draw_rule="pool_first").problem
    problem = firm.ask("pool.set", pool="Engineering pool", draw_rule="last").problem
    assert problem == "a pool is drawn own_first or pool_first, not 'last'"


def test_it_revokes_the_keys_of_whoever_leaves(firm):
    for name in ("laptop", "phone"):
        firm.do(
            "key.create",
            member="Ada",
            name=name,
            secret_hash=name.encode().hex().ljust(64, "0"),
            shown_prefix=f"tr-{name}",
        )
    firm.do("key.revoke", key="phone")
    firm.now = FEBRUARY
    left = firm.do("member.leave", member="Ada", left_on="2026-01-31")
    assert left["revoked_key_count"] == 1
    assert {key["state"] for key in firm.reports.keys("Ada")} == {"revoked"}
    assert firm.ask("member.leave", member="Ada", left_on="2026-01-31").problem_kind == "already_left"
    again = firm.ask("key.create", member="Ada", name="new", secret_hash="11" * 32, shown_prefix="tr-new")
    assert again.problem == "Ada leaves or left on 2026-01-31 and gets no key"


def test_it_knows_a_visitor_by_a_live_key_only(firm):
    made = firm.do(
        "key.create", member="Ada", name="k", secret_hash="22" * 32, shown_prefix="tr-k", expires_at=FEBRUARY
    )
    assert (
        firm.ask("key.create", member="Ada", name="k2", secret_hash="22" * 32, shown_prefix="tr-k").problem_kind
        == "taken"
    )
    visitor = firm.reports.visitor_with_secret(bytes.fromhex("22" * 32))
    assert (visitor.name, visitor.scope, visitor.zone) == ("Ada", "inference", "Europe/Berlin")
    assert firm.reports.visitor_with_key(made["key"]) == visitor
    assert firm.reports.visitor_with_secret(bytes(32)) is None
    firm.now = FEBRUARY
    assert firm.reports.visitor_with_key(made["key"]) is None
    assert firm.reports.keys("Ada")[0]["state"] == "expired"
