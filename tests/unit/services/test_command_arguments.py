"""Every command says what it takes, and refuses whatever else it is told before anything is done (gateways T5)."""

from collections.abc import Iterator
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from tests.firm import Firm
from tokenroll.services.arguments import checked_arguments
from tokenroll.services.commands import COMMANDS, declared
from tokenroll.services.protocol import Command, Reply
from tokenroll.services.refusal import Refused

NOT_ONE = {str: 7, int: "7", bool: 1, list: "Ada", dict: ["Ada"]}
"""A value that is none of the kind, and close to one."""
WORDS = {str: "a text", int: "a whole number", bool: "true or false", list: "a list", dict: "a table"}


@pytest.fixture(scope="module")
def firm() -> Firm:
    return Firm()


def ask(firm: Firm, name: str, arguments: dict[str, Any]) -> Reply:
    return firm.ledger.execute(Command(id=f"{name} {sorted(arguments)}", name=name, arguments=arguments))


def refused(firm: Firm, name: str, arguments: dict[str, Any]) -> str:
    """The sentence with which it is refused, and proof that nothing was done."""
    before = firm.ledger.last_seq
    reply = ask(firm, name, arguments)
    assert reply.result is None
    assert reply.problem_kind == "argument"
    assert firm.ledger.last_seq == before
    assert reply.problem.startswith(f"{name}: ")
    return reply.problem


def mistaken(hint: Any, where: str) -> Iterator[tuple[Any, str, str]]:
    """Each way in which a value, or a part of it, is not what the hint says: the value, where it is wrong, what was expected."""
    if hint is Any:
        return
    kind = dict if is_typeddict(hint) else get_origin(hint) or hint
    yield NOT_ONE[kind], where, WORDS[kind]
    if is_typeddict(hint):
        yield {"hourly_rate": 1}, f"{where} has no 'hourly_rate'", ""
        for name, inner in get_type_hints(hint).items():
            for value, place, words in mistaken(inner, f"{where}.{name}"):
                yield {name: value}, place, words
    elif kind is list:
        for value, place, words in mistaken(get_args(hint)[0], f"{where}[0]"):
            yield [value], place, words
    elif kind is dict:
        for value, place, words in mistaken(get_args(hint)[1], f"{where}.standard"):
            yield {"standard": value}, place, words


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_refuses_an_argument_that_it_does_not_know(firm: Firm, name: str) -> None:
    assert is_typeddict(declared(name))
    assert "there is no argument 'bugdet_nanos': " in refused(firm, name, {"bugdet_nanos": 5})


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_refuses_each_argument_of_another_kind(firm: Firm, name: str) -> None:
    for argument, hint in get_type_hints(declared(name)).items():
        for value, where, words in mistaken(hint, argument):
            problem = refused(firm, name, {argument: value})
            assert where in problem
            assert words in problem


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_refuses_to_be_told_too_little(firm: Firm, name: str) -> None:
    for argument in declared(name).__required_keys__:
        right = {str: "x", int: 1, bool: True, list: [], dict: {}}
        hints = get_type_hints(declared(name))
        others = {one: right.get(get_origin(hints[one]) or hints[one], {}) for one in declared(name).__required_keys__}
        others.pop(argument)
        expected = f"the {argument.replace('_', ' ')} is missing: it must be given and not be empty"
        assert expected in refused(firm, name, others)
        assert expected in refused(firm, name, {**others, argument: None})


class TestWhatCleoIsTold:
    """Cleo mistypes, in a script of hers that speaks to the ledger."""

    def test_a_mistyped_name_of_an_argument_is_answered_with_the_right_one(self, firm: Firm) -> None:
        assert refused(firm, "key.rotate", {"key": "key_1", "overlap_second": 60}) == (
            "key.rotate: there is no argument 'overlap_second': did you mean overlap_seconds? "
            "it takes key, secret_hash, shown_prefix, overlap_seconds"
        )

    def test_a_number_as_a_text_is_no_number(self, firm: Firm) -> None:
        assert refused(firm, "grant.top_up", {"to": "Ada", "amount_nanos": "5"}) == (
            "grant.top_up: amount_nanos must be a whole number, not a text"
        )

    def test_an_amount_with_a_point_is_no_number_of_nanos(self, firm: Firm) -> None:
        assert refused(firm, "grant.top_up", {"to": "Ada", "amount_nanos": 5.0}) == (
            "grant.top_up: amount_nanos must be a whole number, not a number with a point"
        )

    def test_yes_is_not_one(self, firm: Firm) -> None:
        assert refused(firm, "grant.top_up", {"to": "Ada", "amount_nanos": True}) == (
            "grant.top_up: amount_nanos must be a whole number, not true or false"
        )

    def test_a_mistake_in_a_row_is_found_where_it_is(self, firm: Firm) -> None:
        rows = [
            {"line": 2, "id": "a-1", "to": "Ada", "plan": "Bonus", "amount_nanos": 5},
            {"line": 3, "id": "a-2", "to": "Bo", "plan": "Bonus", "amount": 5},
        ]
        assert refused(firm, "grant.import", {"rows": rows}).startswith(
            "grant.import: rows[1] has no 'amount': did you mean amount_nanos? it has line, id, to, plan, amount_nanos, "
        )

    def test_what_she_wrote_is_not_repeated_where_it_may_be_a_secret(self, firm: Firm) -> None:
        told = refused(firm, "key.create", {"member": "Ada", "secret_hash": ["sk-secret"], "shown_prefix": "sk-"})
        assert told == "key.create: secret_hash must be a text, not a list"

    def test_a_command_that_is_told_nothing_takes_nothing(self, firm: Firm) -> None:
        assert (
            refused(firm, "refill.run", {"at": 1}) == "refill.run: there is no argument 'at': this command takes none"
        )

    def test_a_window_without_a_budget_is_not_passed_over(self, firm: Firm) -> None:
        firm.do("department.create", name="Platform")
        firm.do("member.create", name="Ada", department="Platform", zone="UTC")
        key = {"member": "Ada", "secret_hash": "ab" * 32, "shown_prefix": "sk-roll", "budget_window": "day"}
        reply = ask(firm, "key.create", key)
        assert (reply.problem_kind, reply.problem) == (
            "argument", "a budget window is that of a budget: name the budget, too",
        )  # fmt: skip

    def test_null_is_what_a_door_says_of_what_nobody_named(self, firm: Firm) -> None:
        reply = ask(firm, "department.create", {"name": "Research", "cost_centre": None, "parent": None})
        assert reply.result is not None
        assert reply.result["cost_centre"] == "Research"


def test_a_refusal_is_raised_and_not_an_answer() -> None:
    with pytest.raises(Refused, match=r"^member\.suspend: the member is missing"):
        checked_arguments("member.suspend", declared("member.suspend"), {"member": ""})
