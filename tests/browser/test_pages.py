import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ADA, BO, NOON, set_clock, violations
from tests.firm import CREDIT
from tokenroll.services.visits import TRIES_AT_ONCE


def test_it_shows_one_number_and_what_it_is_made_of(visit):
    page = visit("/me", ADA)
    # granted 100, spent 10 + 14.5 + 406 nanos, in use 1, being checked 2
    expect(page.locator("[data-live=left]")).to_have_text("72")
    expect(page.locator("[data-live=left-exact]")).to_have_text("72.499999594 credits")
    expect(page.locator("[data-live=used]")).to_have_text("1.00")
    expect(page.locator("[data-live=checked]")).to_have_text("2.00")
    expect(page.locator("[data-live=spent]")).to_have_text("24.500000406")
    # the eight days of the last 28 with calls cost 14.500000406; the ten credits of 12 January are 29 days ago
    expect(page.locator("[data-live=about]")).to_have_text("≈ 39 days of your usual work")
    expect(page.get_by_text("becomes spendable on 12 April 2026")).to_be_visible()


def test_it_falls_live_while_it_is_looked_at(visit, site):
    page = visit("/me", ADA)
    before = page.locator("[data-live=left-exact]").inner_text()
    site.firm.call("Ada", site.firm.lot_ids("Ada")[0], 123, bound=200)
    expect(page.locator("[data-live=left-exact]")).not_to_have_text(before, timeout=8000)
    expect(page.locator("[data-live=left-exact]")).to_have_text("72.499999471 credits")
    expect(page.locator("[data-live=calls]")).to_have_text("31")


def test_it_leads_from_the_number_to_the_proof(visit):
    page = visit("/me", ADA)
    page.get_by_role("row").filter(has_text="settled").first.get_by_role("link").click()
    expect(page.get_by_role("heading", name="One call, and why it cost what it cost")).to_be_visible()
    expect(page.get_by_text("✓ In the chain:")).to_be_visible()
    expect(page.get_by_role("cell", name="available", exact=True)).to_be_visible()


def test_it_prints_a_paper_that_adds_up(visit):
    page = visit("/me", ADA)
    page.get_by_role("link", name="2026-01").click()
    expect(page.get_by_role("heading", name="Pay slip and allowance statement 2026-01")).to_be_visible()
    rows = [row.inner_text().split("\t") for row in page.locator("table.paper tbody tr").all()]
    assert rows == [["opening", "0.00"], ["became spendable", "100.00"], ["spent", "−10.00"], ["closing", "90.00"]]
    page.emulate_media(media="print")
    expect(page.locator("header.top")).to_be_hidden()
    expect(page.locator("table.paper")).to_be_visible()


def test_it_says_how_a_paper_becomes_a_pdf_and_it_does(visit):
    page = visit("/me", ADA)
    expect(page.get_by_text("or save it as a PDF")).to_be_visible()
    page.get_by_role("link", name="2026-01").click()
    expect(page.get_by_text("Save as PDF")).to_be_visible()
    page.emulate_media(media="print")
    expect(page.get_by_text("Save as PDF")).to_be_hidden()
    assert page.pdf().startswith(b"%PDF-")


def test_it_pages_through_earlier_calls(visit):
    page = visit("/me", ADA)
    expect(page.locator("tbody tr").filter(has=page.locator("time"))).to_have_count(20)
    page.get_by_role("link", name="Earlier calls").click()
    expect(page.get_by_role("heading", name="Earlier calls")).to_be_visible()
    page.get_by_role("link", name="Newest").click()
    expect(page.get_by_role("heading", name="Recent calls")).to_be_visible()


def test_it_works_without_javascript(visit):
    page = visit("/me", ADA, java_script_enabled=False)
    expect(page.locator("[data-live=left]")).to_have_text("72")
    page.get_by_role("row").filter(has_text="settled").first.get_by_role("link").click()
    expect(page.get_by_text("✓ In the chain:")).to_be_visible()
    page.goto("/me/payslips/2026-02")
    expect(page.get_by_text("so far, not closed")).to_be_visible()


def test_it_says_what_an_empty_wallet_waits_for(visit):
    page = visit("/me", BO)
    expect(page.locator("[data-live=left]")).to_have_text("0")
    expect(page.get_by_text("Nothing was granted yet.")).to_be_visible()
    expect(page.get_by_text("No calls yet.")).to_be_visible()
    assert violations(page) == []


def test_it_keeps_calls_to_whom_they_belong(visit):
    ada = visit("/me", ADA)
    address = ada.get_by_role("row").filter(has_text="settled").first.get_by_role("link").get_attribute("href")
    bo = visit("/me", BO)
    answer = bo.goto(address)
    assert answer is not None
    assert answer.status == 404
    expect(bo.get_by_role("alert")).to_contain_text("There is no call of yours")
    stranger = visit(address)
    expect(stranger).to_have_url(re.compile("/login$"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_it_is_accessible(visit, scheme, width):
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 844}}
    page = visit("/me", ADA, **options)
    found = violations(page)
    link = page.get_by_role("row").filter(has_text="settled").first.get_by_role("link").get_attribute("href")
    for path in ("/", link, "/me/payslips/2026-01", "/me/calls/call_none", "/me?before=5"):
        page.goto(path)
        found += violations(page)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), path
    assert found == []
    assert violations(visit("/login", **options)) == []


@pytest.mark.parametrize("path", ["/me", "/me/payslips/2026-02"])
def test_it_shows_what_each_call_cost_on_the_smallest_telephone(visit, path):
    page = visit("/me", ADA, viewport={"width": 360, "height": 740})
    page.goto(path)
    cost = page.locator("table.calls tbody tr").first.get_by_role("cell").last
    cost.scroll_into_view_if_needed()
    box = cost.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    assert page.evaluate("document.querySelector('table.calls').parentElement.scrollLeft") == 0


def test_it_can_be_used_by_keyboard(visit):
    page = visit("/me", ADA)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/me#main$"))


def test_it_ends_a_session_with_its_key(visit, site):
    from tokenroll.services.keys import key_hash

    pepper = Path(site.firm.connection.engine.url.database or "").with_name("secret").read_bytes()
    digest = key_hash(pepper, b"tr-third")
    site.firm.do("key.create", member="Ada", name="phone", secret_hash=digest.hex(), shown_prefix="tr-th")
    page = visit("/me", "tr-third")
    expect(page.locator("[data-live=left]")).to_be_visible()
    site.firm.do("key.revoke", key="phone")
    page.goto("/me")
    expect(page).to_have_url(re.compile("/login$"))


def test_it_sends_a_strict_head_and_takes_no_foreign_form(visit, site):
    page = visit("/")
    answer = page.goto("/")
    assert answer is not None
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    refused = page.request.post("/logout", headers={"origin": "https://elsewhere.example"})
    assert refused.status == 403


def test_it_shows_a_huge_wallet_whole(visit, site):
    site.firm.do("grant.create", to="Bo", plan="tools", amount_nanos=999_999_999 * CREDIT)
    page = visit("/me", BO, viewport={"width": 390, "height": 844})
    expect(page.locator("[data-live=left]")).to_have_text("999\u202f999\u202f999")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_it_lets_nobody_guess_for_long(visit, site):
    # last, because it uses up the tries of this address, and sets the clock back so that however slow this is none comes back
    page = visit("/login")
    for minute in range(TRIES_AT_ONCE + 1):
        set_clock(site.home, NOON - minute * 60_000_000)
        page.get_by_label("Key").fill("tr-guess")
        page.get_by_role("button", name="Show my wallet").click()
        expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("Too many tries")
