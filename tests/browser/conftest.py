"""The pages of a small firm in the distribution's own Chromium: a real server, a real ledger, February 2026 on the clock."""

import shutil
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from tests.firm import CREDIT, DAY, FEBRUARY, HOUR, Firm
from tests.served import served
from tokenroll.app import Reader
from tokenroll.cli.init import make_home
from tokenroll.services.keys import key_hash
from tokenroll.settings import load_settings
from tokenroll.web.application import create_application

NOON = FEBRUARY + 9 * DAY + 12 * HOUR
ADA, BO = "tr-ada-s-own-key", "tr-bo-s-own-key"
AXE = Axe()


@dataclass
class Site:
    """Where the pages are, and the firm behind them."""

    url: str
    firm: Firm
    home: Path
    reader: Reader


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("pages")
    settings = load_settings(home)
    make_home(settings, "A small firm", "UTC")
    set_clock(home)
    firm = a_firm(home / "ledger.db", settings.pepper())
    reader = Reader(load_settings(home))
    with served(create_application(reader)) as port:
        yield Site(f"http://127.0.0.1:{port}", firm, home, reader)
    reader.close()
    firm.connection.close()
    firm.connection.engine.dispose()


@pytest.fixture
def visit(browser, site):
    """Opens pages in contexts of their own; at the end nothing was fetched from elsewhere and nothing complained."""
    contexts: list[BrowserContext] = []
    foreign: list[str] = []
    complaints: list[str] = []

    def watch(request: Request) -> None:
        if not request.url.startswith(site.url):
            foreign.append(request.url)

    def listen(message: ConsoleMessage) -> None:
        if "Content Security" in message.text:
            complaints.append(message.text)

    def open_page(path: str = "/", secret: str = "", **options) -> Page:
        context = browser.new_context(base_url=site.url, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", watch)
        page.on("console", listen)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if secret:
            page.goto("/login")
            page.get_by_label("Key").fill(secret)
            page.get_by_role("button", name="Show my wallet").click()
            page.wait_for_url("/me")  # and until it is loaded: a click is over when the answer begins
        if path != "/me" or not secret:
            page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert foreign == []
    assert complaints == []


def violations(page: Page) -> list[str]:
    """What a person who cannot see or use a mouse would stumble over."""
    found = AXE.run(page).response["violations"]
    return [f"{one['id']}: {node['html'][:120]}" for one in found for node in one["nodes"]]


def set_clock(home: Path, now: int = NOON) -> None:
    """Noon of 10 February 2026, in a home that may have such a clock."""
    (home / "made-by-demo").touch()
    (home / "clock").touch()
    with (home / "clock").open("r+b") as clock:  # in place: the pages have it mapped
        clock.write(struct.pack("<q", now - time.time_ns() // 1000))


def a_firm(path: Path, pepper: bytes) -> Firm:
    """Ada has two grants, a closed January and thirty calls; Bo has nothing yet."""
    firm = Firm(FEBRUARY - 20 * DAY, path)
    for name, secret in (("Ada", ADA), ("Bo", BO)):
        firm.hire(name)
        firm.do(
            "key.create",
            member=name,
            name="laptop",
            secret_hash=key_hash(pepper, secret.encode()).hex(),
            shown_prefix=secret[:6],
        )
    firm.do(
        "plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100 * CREDIT, lifetime="3m"
    )
    firm.do("plan.create", name="sign-on", kind="signing_bonus", classification="compensation", amount_nanos=480 * CREDIT,
            vesting={"kind": "periodic", "occurrences": 12, "cliff_occurrences": 3})  # fmt: skip
    for plan in ("tools", "sign-on"):
        firm.do("grant.create", to="Ada", plan=plan)
    lot = firm.lot_ids("Ada")[0]
    firm.call("Ada", lot, 10 * CREDIT)
    firm.now = FEBRUARY + HOUR
    firm.do("payrun.close", cycle="2026-01")
    for number in range(29):
        firm.now = FEBRUARY + DAY + number * 6 * HOUR
        firm.call("Ada", lot, CREDIT // 2 + number)
    firm.now = NOON - HOUR
    firm.lapse(firm.hold("Ada", (lot, 2 * CREDIT)))
    firm.hold("Ada", (lot, CREDIT))
    firm.now = NOON
    return firm
