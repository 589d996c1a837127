"""A member sees what each of their keys is for, how far its budget is used and when it was used, and the calls that came with it."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ADA, BO, NOON, violations
from tests.firm import CREDIT, DAY, HOUR
from tokenroll.services.protocol import KeysUsed
from tokenroll.web.keys import KEYS_PER_PAGE


@pytest.fixture(scope="module")
def keys(site):
    """Ada's keys: the laptop of thirty calls, one for the night with all there is to say, a revoked one, one that expired."""
    firm = site.firm
    prices = {"standard": {"input": "0.15", "output": "0.60"}}
    firm.do("ratecard.set", card={"provider": "ours", "model": "owl-small", "prices": prices})
    made = {}

    def make(name, number, **terms):
        secret = f"{number:02}" * 32
        made[name] = firm.do(
            "key.create", member="Ada", name=name, secret_hash=secret, shown_prefix=f"tr-{number}", **terms
        )["key"]

    make(
        "night run", 21, models=["owl-*"], tags="project=atlas,draft", purpose="work", budget_nanos=20 * CREDIT,
        budget_window="day", expires_at=NOON + 30 * DAY,
    )  # fmt: skip
    firm.do("limit.create", name="night calls", key=made["night run"], window="minute", measure="calls", cap=1_500)
    make("lost at the station", 22)
    firm.do("key.revoke", key=made["lost at the station"])
    make("for the auditors", 23, scope="read", expires_at=NOON - HOUR)
    make("tablet", 24)
    firm.do("key.rotate", key=made["tablet"], secret_hash="25" * 32, shown_prefix="tr-25", overlap_seconds=86_400)
    firm.ledger.keys_used(KeysUsed(key_ids=[3], used_at=NOON - 3 * HOUR))
    return made


def row(page, name):
    return page.locator("table.keys tbody tr").filter(has=page.get_by_role("link", name=name, exact=True))


def test_each_key_says_what_it_is_for_and_how_far_it_is_used(visit, keys):
    page = visit("/me/keys", ADA)
    expect(page.get_by_role("link", name="My keys")).to_have_attribute("aria-current", "page")
    expect(row(page, "laptop")).to_contain_text("tr-ada…")
    expect(row(page, "laptop")).to_contain_text("this session")
    expect(row(page, "laptop")).to_contain_text("all of your plan")
    night = row(page, "night run")
    for said in (
        "tr-21…", "live", "owl-*", "work", "project=atlas", "draft", "0.00 of 20.00 credits", "20.00 left, this day",
        "0 of 1\u202f500 calls", "1\u202f500 left, this minute", "2026-02-10, 09–10 h", "12 March 2026",
    ):  # fmt: skip
        expect(night).to_contain_text(said)
    expect(night).not_to_contain_text("purpose=")
    expect(row(page, "lost at the station")).to_contain_text("revoked 10 February 2026")
    expect(row(page, "lost at the station")).to_contain_text("never")
    expect(row(page, "for the auditors")).to_contain_text("expired")


def test_a_row_leads_to_the_calls_of_its_key(visit, keys):
    page = visit("/me/keys", ADA)
    row(page, "laptop").get_by_role("link").click()
    expect(page.get_by_role("heading", name="laptop")).to_be_visible()
    expect(page.locator("table.calls tbody tr")).to_have_count(20)
    page.get_by_role("link", name="Earlier calls").click()
    expect(page.locator("table.calls tbody tr")).to_have_count(10)
    expect(page.get_by_role("link", name="Earlier calls")).to_have_count(0)
    page.locator("table.calls a").first.click()
    expect(page.get_by_role("heading", name="Call", exact=False).first).to_be_visible()


def test_a_key_without_calls_says_so_and_what_it_was_rotated_from(visit, keys):
    page = visit(f"/me/keys/{keys['tablet']}", ADA)
    expect(page.get_by_text("No calls came with this key.")).to_be_visible()
    expect(page.get_by_text("Earlier secrets of it: tr-24… works until 2026-02-11 12:00:00.")).to_be_visible()


def test_another_s_key_does_not_exist(visit, keys):
    page = visit(f"/me/keys/{keys['tablet']}", BO)
    expect(page.get_by_text("There is no key of yours at this address.")).to_be_visible()
    page.goto("/me/keys")
    expect(page.locator("table.keys tbody tr")).to_have_count(1)
    page = visit("/me/keys")
    expect(page).to_have_url("/login")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_they_are_accessible(visit, keys, scheme, width):
    page = visit("/me/keys", ADA, color_scheme=scheme, viewport={"width": width, "height": 900})
    found = violations(page)
    page.goto(f"/me/keys/{keys['night run']}")
    assert found + violations(page) == []


def test_hundreds_of_keys_come_page_by_page_and_without_javascript(visit, site, keys):
    for number in range(KEYS_PER_PAGE):
        site.firm.do(
            "key.create", member="Bo", name=f"job {number}", secret_hash=f"{number + 1000:064}", shown_prefix="tr-job"
        )
    page = visit("/me/keys", BO, java_script_enabled=False)
    expect(page.locator("table.keys tbody tr")).to_have_count(KEYS_PER_PAGE)
    expect(page.locator("table.keys tbody tr").first).to_contain_text(f"job {KEYS_PER_PAGE - 1}")
    page.get_by_role("link", name="Earlier keys").click()
    expect(page.locator("table.keys tbody tr")).to_have_count(1)
    expect(page.get_by_role("link", name="Earlier keys")).to_have_count(0)
    page.goto("/me/keys?before=1")
    expect(page.get_by_text("No earlier keys.")).to_be_visible()
    page.goto("/me/keys?before=x")
    expect(page.locator("table.keys tbody tr")).to_have_count(KEYS_PER_PAGE)
