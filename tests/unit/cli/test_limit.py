"""Limits at the command line: what a person types, reads, and is told when it cannot be."""

import json

import pytest

from tests.made_home import home_of
from tokenroll.cli import main


@pytest.fixture
def home(tmp_path, monkeypatch, capsys):
    home_of(
        tmp_path, monkeypatch,
        ("init", "--name", "Acme", "--zone", "UTC"),
        ("department", "create", "Engineering"),
        ("member", "create", "Ada", "--department", "Engineering", "--zone", "Europe/Berlin"),
    )  # fmt: skip
    capsys.readouterr()
    return tmp_path


def asked(capsys, *arguments):
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_limit_is_made_shown_overridden_and_removed(home, capsys):
    made = asked(capsys, "limit", "create", "ada-daily", "--member", "Ada", "--cap", "20")
    assert (made["scope"], made["window"], made["zone"], made["cap"]) == (
        "member",
        "day",
        "Europe/Berlin",
        "20.00 credits",
    )
    asked(capsys, "limit", "override", "ada-daily", "--cap", "60", "--until", "2999-01-01T00:00:00Z")
    shown = asked(capsys, "limit", "show", "ada-daily")
    assert (shown["cap"]["amount"], shown["is_overridden"], shown["windows"]) == ("60.000000000", True, [])
    assert main(["limit", "list"]) == 0
    assert "0.00 credits   60.00 credits" in capsys.readouterr().out
    assert main(["limit", "show", "ada-daily"]) == 0
    assert "ada-daily: 0.00 credits used of 60.00 credits per day, the member Ada" in capsys.readouterr().out
    assert main(["limit", "remove", "ada-daily", "--dry-run"]) == 0
    assert "would remove limit ada-daily" in capsys.readouterr().out
    asked(capsys, "limit", "remove", "ada-daily")
    assert asked(capsys, "limit", "list") == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (
            ("--cap", "3", "--calls", "3"),
            2,
            "give one of --cap (credits), --calls, --model-tokens, --input-tokens and --output-tokens",
        ),
        ((), 2, "give one of --cap (credits), --calls, --model-tokens, --input-tokens and --output-tokens"),
        (("--cap", "-3"), 2, "--cap"),
        (("--input-tokens", "3", "--output-tokens", "3"), 2, "a limit counts one thing"),
        (("--input-tokens", "3", "--degrade", "clamp"), 2, "a limit of input tokens cannot clamp"),
        (
            ("--calls", "3", "--window", "rolling"),
            2,
            "--window rolling needs --seconds, how long its window is: 60 to 31622400, such as 3600 for an hour",
        ),
        (("--calls", "3", "--degrade", "overage", "--overage", "many"), 2, "'many' is not a whole number of calls"),
        (("--calls", "3", "--member", "Bo"), 1, "there is no member 'Bo'"),
        (("--calls", "3", "--model", "gpt-9"), 1, "the model 'gpt-9' has no rate card now"),
        (("--calls", "3", "--until", "tomorrow"), 2, "--until: 'tomorrow' is not an RFC 3339 time"),
    ],
)
def test_what_cannot_be_a_limit_is_told_in_a_sentence(home, capsys, arguments, code, says):
    assert main(["limit", "create", "x", *arguments]) == code
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "cap"),
    [
        ("--calls", "60 calls"),
        ("--model-tokens", "60 model tokens"),
        ("--input-tokens", "60 input tokens"),
        ("--output-tokens", "60 output tokens"),
    ],
)
def test_a_rate_of_each_measure_is_made_shown_and_overridden(home, capsys, option, cap):
    made = asked(capsys, "limit", "create", "rate", "--window", "minute", option, "60")
    assert (made["window"], made["cap"]) == ("minute", cap)
    changed = asked(capsys, "limit", "override", "rate", option, "90", "--until", "2999-01-01T00:00:00Z")
    assert changed["cap"] == cap.replace("60", "90")
    assert main(["limit", "show", "rate"]) == 0
    assert f"of {cap.replace('60', '90')} per minute, the company" in capsys.readouterr().out


def test_an_override_is_in_the_unit_of_its_limit(home, capsys):
    asked(capsys, "limit", "create", "calls", "--calls", "3")
    assert main(["limit", "override", "calls", "--cap", "3", "--until", "2999-01-01T00:00:00Z"]) == 2
    assert "limit calls counts calls: give its cap in them" in capsys.readouterr().err
