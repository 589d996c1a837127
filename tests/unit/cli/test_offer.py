"""Offers at the command line, as HR reads them."""

import json

import pytest

from tests.made_home import home_of
from tokenroll.cli import main


@pytest.fixture
def home(tmp_path, monkeypatch, capsys):
    plan = (
        "plan",
        "create",
        "sign-on",
        "--kind",
        "signing_bonus",
        "--classification",
        "compensation",
        "--amount",
        "48",
    )
    home_of(tmp_path, monkeypatch, ("init", "--name", "Acme"), ("department", "create", "Engineering"), plan)
    capsys.readouterr()


OFFER = ("offer", "create", "Ada L", "--plan", "sign-on", "--lapses-on", "2999-12-15")


def test_an_offer_goes_its_way(home, capsys):
    assert main([*OFFER, "--currency", "EUR", "--base-pay", "120000", "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("would be offered: Ada L\n")
    assert main([*OFFER, "--currency", "EUR", "--base-pay", "120000"]) == 0
    shown = capsys.readouterr().out
    assert "  Total package        120 000.00 EUR and 48.00 credits\n" in shown
    assert "  It is pay: taxable, and valued at the list price of the compute that it buys.\n" in shown
    assert main(["offer", "accept", "Ada L"]) == 0
    assert main(["member", "create", "Ada", "--department", "Engineering", "--hired-on", "2026-01-01"]) == 0
    assert main(["offer", "grant", "Ada L", "--to", "Ada"]) == 0
    capsys.readouterr()
    assert main(["offer", "list", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["state"], listed["amount"]["amount"]) == ("granted", "48.000000000")
    assert main(["offer", "show", "Ada L"]) == 0
    assert "state           granted" in capsys.readouterr().out
    assert main(["offer", "withdraw", "Ada L"]) == 1
    assert "cannot be withdrawn: it has become a grant" in capsys.readouterr().err


def test_what_is_not_there_says_how_to_begin(home, capsys):
    assert main(["offer", "list"]) == 0
    assert capsys.readouterr().out == "no offers yet: `tokenroll offer create CANDIDATE --plan PLAN --lapses-on DATE`\n"
    assert main([*OFFER, "--lapses-on", "soon"]) == 2
    assert "lapses on: 'soon' is not a date such as 2027-01-31" in capsys.readouterr().err
    assert main([*OFFER]) == 0
    assert main(["offer", "extend", "Ada L", "--lapses-on", "2999-12-31"]) == 0
    assert main(["offer", "decline", "Ada L"]) == 0
    assert "declined: Ada L" in capsys.readouterr().out
