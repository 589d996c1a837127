"""How files are taken apart into values, and figures into amounts, instants and names."""

from datetime import UTC
from decimal import Decimal

import pytest

from tokenroll.services.importers import json_values
from tokenroll.services.importers.figures import (
    CENTS,
    Seen,
    fresh_input,
    instant_of_number,
    instant_of_text,
    key_of,
    name_of,
    nanos_of,
    tags_of,
)
from tokenroll.services.importers.intake import Intake
from tokenroll.services.importers.json_values import values_of


@pytest.mark.parametrize(
    ("text", "values", "bad"),
    [
        ('{"a":1}\n{"a":2}', [(1, '{"a":1}'), (2, '{"a":2}')], []),
        ('[{"a":1},{"a":2}]', [(1, '{"a":1}'), (1, '{"a":2}')], []),
        ('[\n {\n  "a": 1\n },\n {"a":2}\n]\n', [(2, '{\n  "a": 1\n }'), (5, '{"a":2}')], []),
        ('\ufeff{"a":[1,{}]}{"a":2}', [(1, '{"a":[1,{}]}'), (1, '{"a":2}')], []),
        ('{"a":1\n{"a":2}', [(2, '{"a":2}')], [1]),
        ('{"a":"x\n{"a":2}', [(2, '{"a":2}')], [1]),
        ('7\n{"a":2}\n"x"\n{"a":', [(2, '{"a":2}')], [1, 3, 4]),
        ("[[[]]]\n\n", [], []),
        ("", [], []),
    ],
)
def test_json_is_read_value_by_value(text, values, bad, saved):
    intake = Intake()
    found = [(line, value.decode().strip()) for line, value in values_of(saved("values.json", text), intake)]
    assert found == values
    assert [row.line for row in intake.bad_rows] == bad
    assert intake.row_count == len(bad), "the rest is for the caller to count"


def test_a_value_may_be_larger_than_what_is_read_at_once_but_not_boundless(saved, monkeypatch):
    monkeypatch.setattr(json_values, "_READ_BYTES", 64)
    monkeypatch.setattr(json_values, "IMPORT_LINE_BYTES_MAX", 4_000)
    long = '{"a":"' + "x" * 1_000 + '"}'
    endless = '{"a":"' + "x" * 50_000 + '"}'
    intake = Intake()
    path = saved("values.json", f"[{long},{long}]", "{", '"a":1', "}", endless, '{"b":2}')
    assert [len(value.strip()) for _, value in values_of(path, intake)] == [len(long), len(long), len('{\n"a":1\n}'), 7]
    assert [(row.line, row.reason) for row in intake.bad_rows] == [(5, "the value is longer than 4000 bytes")]


def test_amounts_are_exact_to_the_nano():
    assert nanos_of(Decimal("0.1") + Decimal("0.2")) == 300_000_000
    assert nanos_of(Decimal("0.0000000025")) == 2
    assert nanos_of(Decimal("0.0000000035")) == 4
    assert nanos_of(Decimal("-12345.678901"), CENTS) == -123_456_789_010
    assert nanos_of(Decimal(1_000_000_000)) == 10**18
    for told in ("Infinity", "NaN", "1000000000.1", "1e999999"):
        with pytest.raises(ValueError, match="is no amount of money"):
            nanos_of(Decimal(told))


def test_times_are_exact_to_the_microsecond():
    assert instant_of_text("1970-01-01T00:00:01.5Z") == 1_500_000
    assert instant_of_text("1970-01-01 01:00:00 UTC") == 3_600_000_000
    assert instant_of_text("1970-01-02", UTC) == 86_400_000_000
    assert instant_of_number("1.000001", "seconds", 5) == 1_000_006
    with pytest.raises(ValueError, match="no time zone"):
        instant_of_text("1970-01-01T00:00:01.5")


def test_names_stay_names():
    assert name_of("x" * 300) == "x" * 200
    assert name_of("a\tb\n") == "a b"
    assert name_of(None) == ""
    assert key_of("sk-…4f2a") == "sk-…4f2a", "shortened, it is nobody's secret"
    assert len(key_of("sk-proj-1234567890")) == 64
    assert tags_of(["a", "", "a", 7, "x" * 129]) == ("a",)


AZURE_OLD, AZURE = "3f9c1b7e20d84a56b1e7c9a4d2f08b63", "8xQ2mV7bLkR4tYpZ1nWcJ6hGfDsA3eUi" * 2 + "QJ99BGACYeBjFXJ3w3AA"
MISTRAL, LETTERS = "hT4kWq9ZpL2xVb7NcR5mYs8JdF3gUa1E", "hTkWqZpLxVbNcRmYsJdFgUaEoPiKjQrB"


@pytest.mark.parametrize("secret", [AZURE_OLD, AZURE, MISTRAL, LETTERS, f"Bearer {MISTRAL}", f"mistral: {MISTRAL}"])
def test_a_key_that_begins_as_no_key_is_one_all_the_same(secret):
    told = key_of(secret)
    assert len(told) == 64
    assert secret.removeprefix("Bearer ") not in told


@pytest.mark.parametrize(
    "name",
    [
        "bo-key", "billing-service-of-production-in-europe-west-4", "InternationalPlatformEngineeringTeamBudget", "apikey_01Rj2N8SVvo6BePZj99NhmiT",
        "0b54f4b0-3f5e-4f6e-9a55-5b1f0d5e6f10", "thekeyofthewholeresearchdepartment", "0" * 40, "key of the team 12345678901234567890",
    ],
)  # fmt: skip
def test_names_and_ids_of_keys_stay(name):
    assert key_of(name) == name


def test_a_hash_of_litellm_stays_the_hash_that_it_is():
    hashed = key_of("sk-1234")
    assert key_of(hashed, hashes_stay=True) == hashed
    assert key_of(MISTRAL, hashes_stay=True) == key_of(MISTRAL) != MISTRAL
    assert key_of(hashed) != hashed, "nobody knows what 64 digits of another source are"


def test_parts_that_are_more_than_the_whole_stand_beside_it():
    assert fresh_input(1_000, 400, None) == 600
    assert fresh_input(10, 400) == 10
    assert fresh_input(None, 400) is None


def test_ids_are_remembered_as_far_back_as_there_is_room():
    seen = Seen(most=4)
    assert [seen.has(one) for one in "abab"] == [False, False, True, True]
    assert [seen.has(one) for one in "cdefa"] == [False, False, False, False, False]
    assert seen.has("f")
