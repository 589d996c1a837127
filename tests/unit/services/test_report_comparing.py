"""A provider's report beside the ledger: what differs and why; true-ups are proposed, booked by name, and booked once.

The reports are files in Anthropic's own form; the card charges 3,000 nanos a model token in and 15,000 out. The day is 5 January 2026.
"""

import json
from typing import Any

import pytest

from tests.ledger_kit import (
    ADA_LOT,
    BO,
    BO_LOT,
    DAY,
    HOUR,
    START,
    Command,
    Kit,
    Report,
    dispatched_record,
    evidence_record,
    hold_record,
    lapse_record,
    pack_block,
    settle_record,
)
from tokenroll.books.provider_reports import Why
from tokenroll.services.importers.detecting import UsageFile
from tokenroll.services.report_comparing import booked_before, compared, model_names, told_sent
from tokenroll.services.report_reading import KeyNames, read_reports
from tokenroll.store.tape import TapeSource
from tokenroll.store.verify import verify

HELD = 10_000_000
NO_KEYS = KeyNames([])


def usage(tokens_in: int, tokens_out: int, **told: Any) -> dict[str, Any]:
    return {
        "uncached_input_tokens": tokens_in, "cache_read_input_tokens": 0, "output_tokens": tokens_out, "model": "sonnet",
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}, "api_key_id": None,
        "server_tool_use": {"web_search_requests": 0}, "service_tier": "standard", **told,
    }  # fmt: skip


def cost(cents: str, **told: Any) -> dict[str, Any]:
    return {
        "amount": cents,
        "currency": "USD",
        "model": "sonnet",
        "description": "Sonnet",
        "workspace_id": None,
        **told,
    }


def bucket(*results: dict[str, Any], day: int = 5) -> dict[str, Any]:
    return {
        "starting_at": f"2026-01-{day:02}T00:00:00Z",
        "ending_at": f"2026-01-{day + 1:02}T00:00:00Z",
        "results": list(results),
    }


class Books:
    """A ledger and the folder in which Cleo keeps the reports."""

    def __init__(self, folder: Any) -> None:
        self.kit = Kit()
        self.folder = folder
        self._next = 1

    def tell(self, *records: bytes) -> None:
        self.kit.ledger.report(Report(worker=0, epoch=1, blocks=pack_block(self._next, list(records))))
        self._next += len(records)

    def call(
        self, tokens_in: int, tokens_out: int, *, at: int = START, ended_at: int = 0, source: int = TapeSource.REPORTED
    ) -> None:
        """A call of Ada's that ended in order."""
        sequence = self._next
        self.tell(
            hold_record(sequence, (ADA_LOT, HELD), at=at), dispatched_record(sequence, at=at),
            settle_record(sequence, tokens_in, tokens_out, at=ended_at or at, source=source),
        )  # fmt: skip

    def lost(self, tokens_in: int = 0, tokens_out: int = 0, *, wallet: int = 1, lot: int = ADA_LOT) -> None:
        """A call whose end nobody saw, and what was seen of its answer."""
        sequence = self._next
        seen = [evidence_record(sequence, tokens_in, tokens_out)] if tokens_in else []
        self.tell(
            hold_record(sequence, (lot, HELD), wallet=wallet), dispatched_record(sequence), *seen, lapse_record(sequence)
        )  # fmt: skip

    def report(self, *buckets: dict[str, Any], name: str = "report.json") -> None:
        (self.folder / name).write_text(json.dumps({"data": list(buckets), "has_more": False, "next_page": None}))

    def look(self, keys: KeyNames = NO_KEYS) -> list[Any]:
        """The lines as of now; the ledger is what it was before."""
        self.kit.connection.rollback()
        before = self.kit.ledger.status().values["ledger_seq"]
        names = model_names(self.kit.connection)
        files = [UsageFile(path, "") for path in sorted(self.folder.iterdir())]
        lines = compared(self.kit.connection, read_reports(files, keys, names, START + 30 * DAY), keys, names)
        self.kit.connection.rollback()
        assert self.kit.ledger.status().values["ledger_seq"] == before
        return lines

    def ask(self, lines: list[Any], *ids: str, command_id: str = "") -> Any:
        told = [told_sent(line.told) for line in lines if line.true_ups]
        arguments = {"told": told, "true_ups": list(ids) or [one.id for line in lines for one in line.true_ups]}
        command = Command(
            id=command_id or f"t{self.kit.ledger.status().values['ledger_seq']}",
            name="reconcile.true_up",
            arguments=arguments,
        )
        return self.kit.ledger.execute(command)

    def book(self, lines: list[Any], *ids: str) -> dict[str, Any]:
        reply = self.ask(lines, *ids)
        assert reply.result is not None, reply.problem
        return reply.result

    def sound(self) -> list[Any]:
        self.kit.connection.rollback()
        found = verify(self.kit.connection, self.kit.now).differences
        self.kit.connection.rollback()
        return found


@pytest.fixture
def books(tmp_path):
    folder = tmp_path / "reports"
    folder.mkdir()
    return Books(folder)


def told(line):
    return [one.value for one in line.why], line.difference_cost_nanos


def test_what_went_through_us_agrees(books):
    books.call(1_000, 100)
    books.call(2_000, 50)
    books.report(bucket(usage(3_000, 150)))
    (line,) = books.look()
    assert told(line) == (["agrees"], 0)
    assert line.part[:4] == ("2026-01-05", "anthropic", "sonnet", "")


def test_what_is_checked_is_settled_by_what_is_left_over(books):
    """The evidence saw all of the input, 1,000; the report has 1,000 in and 400 out more than what is settled."""
    books.call(1_000, 100)
    books.lost(1_000, 20)
    books.report(bucket(usage(2_000, 500)))
    lines = books.look()
    assert told(lines[0]) == (["checked"], 9_000_000)
    (true_up,) = lines[0].true_ups
    assert (true_up.kind, true_up.nanos) == (Why.CHECKED, 9_000_000)
    settled = books.kit.rows("SELECT * FROM settlements")
    answer = books.book(lines)
    assert (answer["settled_count"], answer["charged_nanos"], answer["returned_nanos"]) == (1, 9_000_000, 1_000_000)
    assert (answer["suspense_count"], answer["booked_count"]) == (0, 0)
    assert books.kit.lot(ADA_LOT) == (0, 0, 4_500_000 + 9_000_000)
    assert books.kit.rows("SELECT * FROM settlements")[: len(settled)] == settled
    assert told(books.look()[0]) == (["agrees"], 0)
    assert books.sound() == []


def test_what_is_checked_and_on_no_report_costs_nothing(books):
    books.call(1_000, 100)
    books.lost()
    books.lost(500, 1, wallet=BO, lot=BO_LOT)
    books.report(bucket(usage(1_000, 100)))
    lines = books.look()
    assert [one.nanos for one in lines[0].true_ups] == [0, 0]
    first = books.book(lines, lines[0].true_ups[0].id)
    assert (first["settled_count"], first["charged_nanos"], first["returned_nanos"]) == (1, 0, HELD)
    assert books.book(books.look())["returned_nanos"] == HELD
    assert books.kit.lot(BO_LOT) == (0, 0, 0)
    assert [told(line) for line in books.look()] == [(["agrees"], 0)]
    assert books.sound() == []


@pytest.mark.parametrize(
    ("evidence", "report"),
    [
        ((), (2_000, 500)),  # nobody saw its input, so that the rest may be of anybody
        ((999, 20), (2_000, 500)),  # its input was another
        ((1_000, 20), (2_000, 50)),  # the report has less than what is settled
        ((1_000, 20), (2_000, 2_000)),  # the rest costs more than was held
    ],
)
def test_what_may_be_read_in_two_ways_is_left_to_a_person(books, evidence, report):
    books.call(1_000, 100)
    books.lost(*evidence)
    books.report(bucket(usage(*report)))
    (line,) = books.look()
    assert [one.value for one in line.why] == ["checked", "undecided"]
    assert line.true_ups == ()


def test_two_that_are_checked_are_not_told_apart_by_a_sum(books):
    books.lost(1_000, 20)
    books.lost(1_000, 20)
    books.report(bucket(usage(2_000, 500)))
    (line,) = books.look()
    assert [one.value for one in line.why] == ["checked", "undecided"]


def test_what_was_estimated_is_the_companys_difference_and_the_wallet_keeps_its_charge(books):
    """Estimates of 100 and 300 out; the report has 200 out more, 3,000,000 nanos, shared by what the estimates cost."""
    books.call(1_000, 100)
    books.call(0, 100, source=TapeSource.ESTIMATED)
    books.call(0, 300, source=TapeSource.ESTIMATED)
    books.report(bucket(usage(1_000, 700)))
    lines = books.look()
    assert told(lines[0]) == (["estimated"], 3_000_000)
    (true_up,) = lines[0].true_ups
    assert [one.nanos for one in true_up.proven] == [750_000, 2_250_000]
    spent = books.kit.lot(ADA_LOT)
    answer = books.book(lines)
    assert (answer["booked_count"], answer["booked_cost_nanos"], answer["settled_count"]) == (2, 3_000_000, 0)
    assert books.kit.lot(ADA_LOT) == spent
    assert told(books.look()[0]) == (["trued_up"], 0)
    legs = books.kit.rows("SELECT account, wallet_id, nanos FROM postings WHERE account = 'provider_variance'")
    assert legs == [("provider_variance", 0, 750_000), ("provider_variance", 0, 2_250_000)]
    assert books.sound() == []


def test_a_report_below_the_estimate_gives_the_company_back_what_was_too_much(books):
    books.call(1_000, 300, source=TapeSource.ESTIMATED)
    books.report(bucket(usage(1_000, 100)))
    lines = books.look()
    assert told(lines[0]) == (["estimated"], -3_000_000)
    assert books.book(lines)["booked_cost_nanos"] == -3_000_000
    assert told(books.look()[0]) == (["trued_up"], 0)
    assert books.sound() == []


def test_an_estimate_that_the_report_proves_right_needs_nobody(books):
    books.call(1_000, 300, source=TapeSource.ESTIMATED)
    books.report(bucket(usage(1_000, 300)))
    assert told(books.look()[0]) == (["agrees"], 0)


@pytest.mark.parametrize("report", [(999, 400), (1_000, 60), (1_000, 3_000)])
def test_more_or_less_than_estimates_can_be_off_is_not_theirs(books, report):
    """Less than what others settled, or more than was held for them."""
    books.call(1_000, 100)
    books.call(0, 50, source=TapeSource.ESTIMATED)
    books.report(bucket(usage(*report)))
    (line,) = books.look()
    assert [one.value for one in line.why] == ["estimated", "undecided"]


def test_what_age_decided_is_trued_up_as_an_estimate(books):
    books.call(1_000, 100)
    books.lost(1_000, 20)
    books.kit.now = START + 3 * DAY
    assert books.kit.ledger.housekeep().result["decided_count"] == 1
    books.report(bucket(usage(2_000, 500)))
    lines = books.look()
    assert told(lines[0]) == (["estimated"], 380 * 15_000)
    assert books.book(lines)["booked_cost_nanos"] == 5_700_000
    assert told(books.look()[0]) == (["trued_up"], 0)
    assert books.sound() == []


def test_what_is_booked_is_booked_once_by_whoever_asks_again(books):
    books.call(1_000, 300, source=TapeSource.ESTIMATED)
    books.report(bucket(usage(1_000, 400)))
    lines = books.look()
    first = books.ask(lines, command_id="cleo-1")
    seq = books.kit.ledger.status().values["ledger_seq"]
    assert books.ask(lines, command_id="cleo-1").result == first.result
    again = books.ask(lines, command_id="cleo-2")
    assert again.problem_kind == "not_proposed"
    assert "it is booked already, or what it was made of has changed since" in again.problem
    assert books.kit.ledger.status().values["ledger_seq"] == seq
    (true_up,) = lines[0].true_ups
    assert booked_before(books.kit.connection, {true_up.id, "trueup_0"}) == {true_up.id}


def test_a_true_up_of_which_something_changed_is_not_booked(books):
    books.lost(1_000, 20)
    books.report(bucket(usage(1_000, 400)))
    lines = books.look()
    books.call(10, 10)
    assert books.ask(lines).problem_kind == "not_proposed"
    assert books.kit.ledger.status().values["suspense_holds"] == 1


def test_nothing_of_several_is_booked_when_one_is_no_longer_proposed(books):
    books.lost(1_000, 20)
    books.report(bucket(usage(1_000, 400)))
    lines = books.look()
    assert books.ask(lines, lines[0].true_ups[0].id, "trueup_0000000000000000").problem_kind == "not_proposed"
    assert books.kit.ledger.status().values["suspense_holds"] == 1


def test_a_command_with_figures_that_are_none_is_refused(books):
    books.lost(1_000, 20)
    books.report(bucket(usage(1_000, 400)))
    lines = books.look()
    sent = told_sent(lines[0].told)
    for changes in (
        {"part": ["soon", "anthropic", "sonnet", "", None]},
        {"meters": [99]},
        {"tiers": {"standard": [1]}},
        {"mood": 1},
    ):
        arguments = {"told": [sent | changes], "true_ups": [lines[0].true_ups[0].id]}
        reply = books.kit.ledger.execute(Command(id=f"bad-{changes}", name="reconcile.true_up", arguments=arguments))
        assert reply.problem_kind == "told"


def test_calls_across_midnight_are_on_the_other_day(books):
    """Of two calls that ended after midnight the report has the second on the 6th."""
    midnight = START + 16 * HOUR
    books.kit.now = midnight + HOUR
    books.call(1_000, 100, at=midnight - 10, ended_at=midnight + 10)
    books.call(500, 7, at=midnight - 10, ended_at=midnight + 10)
    books.call(30, 3, at=midnight + HOUR)
    books.report(bucket(usage(1_000, 100)), bucket(usage(530, 10), day=6))
    assert [told(line)[0] for line in books.look()] == [["midnight"], ["midnight"]]


def test_what_somebody_used_without_us_is_said_to_be_so(books):
    books.call(1_000, 100)
    books.report(bucket(usage(1_500, 100), usage(7, 7, model="opus")))
    assert [(line.part.model, told(line)[0]) for line in books.look()] == [
        ("opus", ["not_ours"]),
        ("sonnet", ["more_told"]),
    ]


def test_what_the_report_does_not_tell_is_named(books):
    books.call(1_000, 100)
    books.report(bucket())
    assert books.look() == []  # nobody knows whose report an empty one is
    books.report(bucket(usage(1, 1), day=4), bucket())
    assert [(line.part.day, told(line)[0]) for line in books.look()] == [
        ("2026-01-04", ["not_ours"]),
        ("2026-01-05", ["not_told"]),
    ]


def test_a_price_that_is_another_is_told_as_one_and_nothing_is_proposed(books):
    books.call(1_000, 100)  # 4,500,000 nanos: 0.45 cents
    books.report(bucket(usage(1_000, 100)))
    books.report(bucket(cost("0.44000")), name="costs.json")
    usage_and_cost = books.look()
    assert [told(line) for line in usage_and_cost] == [(["price"], -100_000)]
    books.report(bucket(cost("0.45000")), name="costs.json")
    assert [told(line) for line in books.look()] == [(["agrees"], 0)]


def test_what_was_booked_counts_as_ours_beside_an_invoice(books):
    books.call(1_000, 300, source=TapeSource.ESTIMATED)  # 7,500,000 nanos
    books.report(bucket(usage(1_000, 400)))
    books.report(bucket(cost("0.9")), name="costs.json")
    lines = books.look()
    assert [told(line) for line in lines] == [(["estimated"], 1_500_000)]
    assert books.book(lines)["booked_cost_nanos"] == 1_500_000
    assert [told(line) for line in books.look()] == [(["trued_up"], 0)]
    books.report(bucket(cost("1.1")), name="costs.json")
    assert [told(line) for line in books.look()] == [(["trued_up", "price"], 2_000_000)]


def test_an_invoice_of_all_keys_says_that_the_price_is_another(books):
    """The usage report tells keys apart and the cost report does not, so the two are lines of their own."""
    books.call(1_000, 100)
    books.report(bucket(usage(1_000, 100, api_key_id="apikey_ours")))
    books.report(bucket(cost("0.44")), name="costs.json")
    keys = KeyNames([("anthropic", "", ("apikey_ours",))])
    assert [(line.part.key, told(line)) for line in books.look(keys)] == [
        ("", (["price"], -100_000)),
        ("apikey_ours", (["agrees"], 0)),
    ]


def test_what_only_rounding_parts_is_told_as_rounding(books):
    """0.4500001 cents beside 0.45: the report has seven decimals, of which half of the last is 0.5 nanos a row."""
    books.call(1_000, 100)
    books.report(bucket(usage(1_000, 100)))
    books.report(bucket(cost("0.4500001")), name="costs.json")
    assert [told(line) for line in books.look()] == [(["rounding"], 1)]


def test_costs_in_another_currency_are_not_compared(books):
    books.call(1_000, 100)
    books.report(bucket(usage(1_000, 100)))
    books.report(bucket(cost("0.41", currency="EUR")), name="costs.json")
    assert [told(line) for line in books.look()] == [(["agrees", "currency"], None)]


def test_a_day_that_is_not_told_whole_is_not_judged(books):
    books.call(1_000, 100)
    half = {"starting_at": "2026-01-05T00:00:00Z", "ending_at": "2026-01-05T12:00:00Z", "results": [usage(1, 1)]}
    books.report(half)
    assert books.look() == []
    rest = {"starting_at": "2026-01-05T12:00:00Z", "ending_at": "2026-01-06T00:00:00Z", "results": []}
    books.report(half, rest)
    assert [told(line)[0] for line in books.look()] == [["less_told"]]


def test_a_call_that_has_not_ended_keeps_everything_open(books):
    books.lost(1_000, 20)
    books.tell(hold_record(books._next, (ADA_LOT, HELD)))
    books.report(bucket(usage(1_000, 500)))
    (line,) = books.look()
    assert [one.value for one in line.why] == ["checked", "under_way", "undecided"]


def test_a_key_that_no_deployment_has_is_named_as_one(books):
    """Calls made by hand have no deployment, so those of `""` are ours here."""
    books.call(1_000, 100)
    books.report(bucket(usage(1_000, 100, api_key_id="apikey_ours"), usage(5, 5, api_key_id="apikey_laptop")))
    keys = KeyNames([("anthropic", "", ("apikey_ours",))])
    lines = books.look(keys)
    assert [(line.part.key, told(line)[0]) for line in lines] == [
        ("apikey_laptop", ["key"]),
        ("apikey_ours", ["agrees"]),
    ]
    assert [told(line)[0] for line in books.look()] == [["more_told"]]  # told together while nobody names keys
