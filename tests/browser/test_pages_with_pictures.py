"""A manager sees what the team spent and who runs dry, finance what the company spends, each of them themselves: words, pictures, tables."""

import contextlib
import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ADA, BO, NOON, violations
from tests.firm import CREDIT, DAY
from tests.lake_kit import event
from tokenroll.insight.pictures import bars, document, sized
from tokenroll.services.keys import key_hash
from tokenroll.services.lake_desk import LakeDeskError
from tokenroll.store.lake import open_lake

CLEO, EVE = "tr-cleo-s-own-key", "tr-eve-s-own-key"
REPORTS = ("Dev", "Eve", "Fay", "Gus")


@pytest.fixture(scope="module")
def people(site):
    """Five report to Bo, Ada among them; Cleo administers; thirty-five days of everybody's usage went around the gateway."""
    pepper = (site.home / "secret").read_bytes()
    for name in (*REPORTS, "Cleo"):
        site.firm.hire(name)
    for name in ("Ada", *REPORTS):
        site.firm.do("member.change", member=name, manager="Bo")
    for name, secret, scope in (("Cleo", CLEO, "admin"), ("Eve", EVE, "inference")):
        site.firm.do("key.create", member=name, name="laptop", scope=scope, shown_prefix=secret[:6],
                     secret_hash=key_hash(pepper, secret.encode()).hex())  # fmt: skip
    today = NOON // DAY * DAY
    with open_lake(site.home / "lake") as lake:
        events = [
            event(
                day * 10 + number, today - (35 - day) * DAY + (8 + number) * 3_600_000_000, member=name,
                charge_nanos=CREDIT * (1 + day % 5), list_cost_nanos=CREDIT * (1 + day % 5),
                requested_model="owl" if day < 20 else "fox",
            )
            for day in range(35)
            for number, name in enumerate(("Ada", *REPORTS))
        ]  # fmt: skip
        lake.append(events, {"story": 1})
        lake.roll_up()
    _warmed_up(site.reader.lake)
    return site


def _warmed_up(desk):
    """Whoever answers and draws has loaded its libraries, so that no test of a page measures how busy this machine is."""
    desk.prepare()
    month = {"month": "2026-01", "now": NOON // DAY * DAY, "outcomes": "", "outcomes_changed_at": 0}
    for _ in range(3):
        with contextlib.suppress(LakeDeskError):
            desk.ask("finance", month)
            desk.draw(document(sized(bars([("Ada", CREDIT)], unit="credits"), 100, 20), ""), "warm", "warm")
            return


def test_ones_own_wallet_has_its_burn_down(visit, people):
    page = visit("/me", ADA)
    part = page.locator("#burn-down")
    # eight days of about two credits, one of ten before; 72 are left for the nineteen days to come: enough at two a day, and not with
    # more days of ten, which a wallet that swung so is told as less sure
    expect(part.get_by_role("heading")).to_contain_text(
        "Your wallet may run dry before the cycle ends on 28 February: the chance is"
    )
    expect(part.get_by_role("img")).to_have_count(1)
    expect(part.locator("svg.picture")).to_have_count(2)
    part.get_by_text("What was left, and the middle of what may be left").click()
    rows = part.get_by_role("row")
    # ten days of February that began, now, eighteen more and the day after the cycle
    expect(rows).to_have_count(1 + 10 + 1 + 19)
    expect(rows.nth(1)).to_contain_text("2026-02-01")
    expect(rows.nth(1)).to_contain_text("90.00")
    expect(rows.nth(11)).to_contain_text("2026-02-10, now")


def test_a_new_wallet_says_when_its_burn_down_comes(visit, people):
    page = visit("/me", EVE)
    part = page.locator("#burn-down")
    expect(part.get_by_role("heading")).to_have_text(
        "How long your wallet lasts is said once there are 3 days since its first call: 3 more days"
    )
    expect(part.locator("svg")).to_have_count(0)
    expect(page.get_by_role("link", name="My team")).to_have_count(0)
    assert violations(page) == []


def test_a_manager_sees_the_team(visit, people):
    page = visit("/me", BO)
    page.get_by_role("link", name="My team").click()
    expect(page.get_by_role("heading", name="My team")).to_be_visible()
    # Ada's twenty-nine calls of February: 29 halves and 406 nanos
    expect(page.locator("#spend").get_by_role("heading")).to_have_text(
        "The team spent 14.50 credits in 2026-02 so far, Ada 100.0 % of it"
    )
    expect(page.locator("#spend svg.wide")).to_be_visible()
    wallets = page.locator("#wallets").get_by_role("row")
    expect(wallets).to_have_count(6)
    expect(wallets.filter(has_text="Ada")).to_contain_text("14.50")
    expect(wallets.filter(has_text="Eve")).to_contain_text("too few days")
    expect(wallets.filter(has_text="Cleo")).to_have_count(0)
    expect(page.locator("#forecast").get_by_role("heading")).to_contain_text("The team is expected to cost")
    page.locator("#forecast").get_by_text("How far off the same way was on this past").click()
    expect(page.locator("#forecast").get_by_role("columnheader", name="MASE")).to_be_visible()
    expect(page.locator("#mix").get_by_role("heading")).to_contain_text("moved most")
    expect(page.locator("#hours svg.wide")).to_be_visible()
    assert violations(page) == []


def test_one_who_leaves_leaves_four_who_are_not_told_alone(visit, people):
    people.firm.do("member.change", member="Gus", manager="Cleo")
    page = visit("/team", BO)
    expect(page.locator("#habits").get_by_role("heading")).to_have_text("Models and hours are not told of so few")
    expect(page.locator("#mix")).to_have_count(0)
    expect(page.locator("#hours")).to_have_count(0)
    people.firm.do("member.change", member="Gus", manager="Bo")


def test_nobody_else_sees_a_team_or_the_company(visit, people):
    eve = visit("/me", EVE)
    for path, says in (
        ("/team", "Nobody reports to you here"), ("/team?department=Engineering", "Departments are for whoever administers"),
        ("/finance", "This page tells of the whole company"),
    ):  # fmt: skip
        answer = eve.goto(path)
        assert answer is not None
        assert answer.status == 403
        expect(eve.get_by_role("alert")).to_contain_text(says)
    bo = visit("/me", BO)
    for path in ("/team?department=Engineering", "/finance"):
        answer = bo.goto(path)
        assert answer is not None
        assert answer.status == 403
    expect(visit("/finance")).to_have_url(re.compile("/login$"))


def test_an_admin_chooses_a_department(visit, people):
    page = visit("/team", CLEO)
    page.get_by_label("Department").select_option("Engineering")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", name="Engineering", exact=True)).to_be_visible()
    expect(page.locator("#wallets").get_by_role("row").filter(has_text="Bo")).to_have_count(1)
    answer = page.goto("/team?department=Nowhere")
    assert answer is not None
    assert answer.status == 404


def test_finance_sees_the_company_month_by_month(visit, people):
    page = visit("/finance", CLEO)
    expect(page.get_by_role("heading", name="Finance 2026-01")).to_be_visible()
    for part in ("spend", "change", "forecast", "share", "odd"):
        expect(page.locator(f"#{part}").get_by_role("heading")).to_be_visible()
    # January: 26 days from the sixth on, five people a day
    expect(page.locator("#spend").get_by_role("heading")).to_contain_text("January 2026 cost")
    page.locator("#change").get_by_text("The steps from 2025-12 to 2026-01, USD").click()
    expect(page.locator("#change").get_by_role("cell", name="volume")).to_be_visible()
    expect(page.get_by_text("No tracker told of any yet")).to_be_visible()
    page.get_by_role("link", name="2026-02").click()
    expect(page.get_by_text("This one is not over")).to_be_visible()
    answer = page.goto("/finance?month=soon")
    assert answer is not None
    assert answer.status == 400
    expect(page.get_by_role("alert")).to_contain_text("'soon' is no month such as 2026-02")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_they_are_accessible(visit, people, scheme, width):
    page = visit("/me", BO, color_scheme=scheme, viewport={"width": width, "height": 844})
    page.goto("/team")
    found = violations(page)
    seen, unseen = ("svg.narrow", "svg.wide") if width == 390 else ("svg.wide", "svg.narrow")
    expect(page.locator(f"#spend {seen}")).to_be_visible()
    expect(page.locator(f"#spend {unseen}")).to_be_hidden()
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    cleo = visit("/me", CLEO, color_scheme=scheme, viewport={"width": width, "height": 844})
    cleo.goto("/finance")
    found += violations(page) + violations(cleo)
    assert cleo.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert found == []


def test_they_work_without_javascript(visit, people):
    page = visit("/me", BO, java_script_enabled=False)
    page.goto("/team")
    expect(page.locator("#spend svg.wide")).to_be_visible()
    expect(page.locator("#forecast").get_by_role("heading")).to_contain_text("is expected to cost")


def test_a_picture_stands_in_the_pages_own_colours(visit, people):
    inks = set()
    for scheme in ("light", "dark"):
        page = visit("/team", BO, color_scheme=scheme)
        inks.add(page.locator("#spend svg.wide text").first.evaluate("one => getComputedStyle(one).fill"))
    assert inks == {"rgb(91, 96, 104)", "rgb(163, 169, 179)"}


def test_a_lake_that_cannot_be_read_leaves_the_ledgers_part(visit, people):
    manifest = people.home / "lake/manifest.json"
    kept = manifest.read_bytes()
    manifest.write_bytes(b"nothing")
    people.firm.do("member.change", member="Fay", manager="Cleo")  # another question than the ones before
    try:
        page = visit("/team", BO)
        expect(page.locator("#wallets").get_by_role("row")).to_have_count(5)
        expect(page.get_by_role("alert")).to_contain_text("is damaged: put it back from your backup")
        assert violations(page) == []
    finally:
        manifest.write_bytes(kept)
        people.firm.do("member.change", member="Fay", manager="Bo")
