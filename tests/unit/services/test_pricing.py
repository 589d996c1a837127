"""Cleo in finance imports prices and subsidises a model: cards are added, and nothing that was is changed."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.empty_ledger import empty_ledger
from tokenroll.engine.rating import canonical_json, card_from_json
from tokenroll.model.instant import instant_from_text
from tokenroll.model.rate_card import RateCard
from tokenroll.model.usage import Meter
from tokenroll.services.commands import COMMANDS
from tokenroll.services.ledger import Ledger
from tokenroll.services.protocol import Command, Reply
from tokenroll.store import schema

NOVEMBER = instant_from_text("2026-11-20T00:00:00Z")
DAY = 86_400_000_000


class Books:
    """A ledger in memory whose day Cleo chooses."""

    def __init__(self) -> None:
        self.now = NOVEMBER
        numbers = itertools.count(1)
        self.connection = empty_ledger()
        self.ledger = Ledger(self.connection, lambda: self.now, COMMANDS, lambda _bits: next(numbers))
        self._ids = itertools.count(1)

    def ask(self, name: str, **arguments: Any) -> Reply:
        return self.ledger.execute(Command(id=f"command {next(self._ids)}", name=name, arguments=arguments))

    def done(self, name: str, **arguments: Any) -> dict[str, Any]:
        reply = self.ask(name, **arguments)
        assert reply.result is not None, reply.problem
        return reply.result

    def cards(self, model: str) -> list[RateCard]:
        table = schema.rate_cards
        query = select(table).where(table.c.model == model).order_by(table.c.effective_at, table.c.id)
        return [
            card_from_json(row.canonical_json, card_id=row.id, public_id=row.public_id, recorded_at=row.recorded_at)
            for row in self.connection.execute(query)
        ]


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture
def mini(books) -> Callable[[], list[RateCard]]:
    books.done("ratecard.import", models=["gpt-4o-mini"])
    return lambda: books.cards("gpt-4o-mini")


def test_it_imports_one_model(mini):
    (card,) = mini()
    assert card.public_id.startswith("ratecard_")
    assert card.recorded_at == NOVEMBER
    assert card.effective_at == instant_from_text("2026-10-14T00:00:00Z")  # when the publisher's last price began
    assert card.internal_prices == card.list_prices == card.net_prices


def test_it_imports_everything_that_two_providers_sell(books):
    result = books.done("ratecard.import")
    stored = books.connection.scalar(select(func.count()).select_from(schema.rate_cards))
    assert result["added_count"] == stored > 100
    assert all(name.startswith(("openai/", "anthropic/")) for name in result["skipped"])


def test_it_adds_nothing_the_second_time(books, mini):
    books.now += DAY
    result = books.done("ratecard.import", models=["gpt-4o-mini"])
    assert (result["added_count"], result["unchanged_count"]) == (0, 1)
    assert len(mini()) == 1


def test_it_imports_by_alias_and_names_what_it_does_not_find(books):
    books.done("ratecard.import", models=["claude-haiku-4-5-20251001"])
    assert len(books.cards("claude-haiku-4-5")) == 1
    reply = books.ask("ratecard.import", models=["gpt-4o-mini", "claude-nowhere"])
    assert reply.problem.startswith("no published price for claude-nowhere at openai, anthropic")
    assert books.ask("ratecard.import", providers=["acme"]).problem_kind == "unknown_provider"


def test_it_imports_the_testing_model_only_when_asked(books):
    books.done("ratecard.import", models=["gpt-4o-mini"])
    assert books.cards("model") == []
    books.done("ratecard.import", providers=["testing"])
    assert [card.provider for card in books.cards("model")] == ["openai", "anthropic"]
    assert books.done("ratecard.import", providers=["testing"])["added_count"] == 0


def test_it_halves_a_models_internal_price(books, mini):
    books.now += DAY
    result = books.done("ratecard.set", model="gpt-4o-mini", multiply="0.5")
    first, second = mini()
    assert (second.public_id, second.digest) == (result["id"], result["digest"])
    assert first.effective_at < second.effective_at == NOVEMBER + DAY
    assert second.list_prices == first.list_prices
    # 0.15 and 0.60 USD a million are 0.075 and 0.30 credits
    assert second.internal_prices["standard"].base[Meter.INPUT] == 75_000_000_000
    assert second.internal_prices["standard"].base[Meter.OUTPUT] == 300_000_000_000
    assert second.internal_prices["priority"].base[Meter.OUTPUT] == 500_000_000_000


def test_it_halves_long_contexts_too(books):
    books.done("ratecard.import", models=["gpt-6-astra"])
    books.done("ratecard.set", model="gpt-6-astra", multiply="0.5")
    card = books.cards("gpt-6-astra")[-1]
    (long,) = card.internal_prices["standard"].tiers
    assert (long.input_tokens_above, long.rates[Meter.INPUT]) == (272_000, 10_000_000_000_000)


def test_it_sets_prices_by_hand(books, mini):
    books.done("ratecard.set", model="gpt-4o-mini", prices={"input": "0.20", "output": "1"})
    card = mini()[-1]
    for tier in card.internal_prices.values():
        assert tier.base[Meter.INPUT] == 200_000_000_000
        assert tier.base[Meter.OUTPUT] == 1_000_000_000_000
        assert tier.base[Meter.CACHE_READ] == 75_000_000_000  # not named: the list price
        assert tier.tiers == ()


def test_an_import_keeps_the_companys_own_price(books, mini):
    books.done("ratecard.set", model="gpt-4o-mini", multiply="0.5")
    books.now += DAY
    assert books.done("ratecard.import", models=["gpt-4o-mini"])["added_count"] == 0
    assert mini()[-1].internal_prices["standard"].base[Meter.INPUT] == 75_000_000_000


def test_it_adds_a_model_that_nobody_publishes(books):
    card = {
        "provider": "ours", "model": "small", "aliases": ["small-1"], "context_window_tokens": 32_768,
        "prices": {"standard": {"input": "0.01", "output": "0.02"}},
        "internal_prices": {"standard": {"input": "0", "output": "0"}},
    }  # fmt: skip
    books.done("ratecard.set", card=card)
    (stored,) = books.cards("small")
    assert stored.list_prices["standard"].base == {Meter.INPUT: 10_000_000_000, Meter.OUTPUT: 20_000_000_000}
    assert stored.internal_prices["standard"].base == {Meter.INPUT: 0, Meter.OUTPUT: 0}
    assert (stored.aliases, stored.context_window_tokens, stored.output_tokens_max) == (("small-1",), 32_768, None)
    assert books.ask("ratecard.set", card=card).problem_kind == "same_card"


def test_cleo_says_what_one_image_costs_at_most_and_an_import_keeps_it(books, mini):
    books.done("ratecard.set", model="gpt-4o-mini", image_tokens_max=50_000)
    last = mini()[-1]
    assert (last.image_tokens_max, last.list_prices) == (50_000, mini()[0].list_prices)
    assert books.done("ratecard.import", models=["gpt-4o-mini"])["added_count"] == 0
    for wrong in (0, -1):
        reply = books.ask("ratecard.set", model="gpt-4o-mini", image_tokens_max=wrong)
        assert (reply.problem_kind, "image_tokens_max must be 1 to " in reply.problem) == ("invalid", True)


def test_published_cards_have_the_figure_where_the_provider_documents_it(books):
    books.done("ratecard.import", models=["claude-haiku-4-5", "claude-opus-4-7", "gpt-4o"])
    figures = {
        model: books.cards(model)[-1].image_tokens_max for model in ("claude-haiku-4-5", "claude-opus-4-7", "gpt-4o")
    }
    assert figures == {"claude-haiku-4-5": 2_000, "claude-opus-4-7": 6_000, "gpt-4o": None}
    # a card of before says nothing of images, and its digest is what it was
    assert b"image_tokens_max" not in canonical_json(books.cards("gpt-4o")[-1])
    told = books.cards("claude-haiku-4-5")[-1]
    again = card_from_json(
        canonical_json(told), card_id=told.id, public_id=told.public_id, recorded_at=told.recorded_at
    )
    assert again == told


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"model": "gpt-nowhere", "multiply": "1"}, "unknown_model"),
        ({"model": "gpt-4o-mini"}, "invalid"),
        ({"model": "gpt-4o-mini", "multiply": "1", "prices": {"input": "1"}}, "invalid"),
        ({"model": "gpt-4o-mini", "multiply": "half"}, "invalid"),
        ({"model": "gpt-4o-mini", "multiply": "-1"}, "invalid"),
        ({"multiply": "1"}, "invalid"),
        ({"model": "gpt-4o-mini", "multiply": "1", "effective_at": NOVEMBER - 1}, "backdated"),
        ({"card": {"provider": "ours"}}, "argument"),
        ({"card": ["ours"]}, "argument"),
    ],
)
def test_it_refuses_what_makes_no_sense(books, mini, arguments, kind):
    assert books.ask("ratecard.set", **arguments).problem_kind == kind
    assert len(mini()) == 1


def test_it_asks_which_provider_is_meant(books):
    books.done("ratecard.import", providers=["testing"])
    assert books.ask("ratecard.set", model="model", multiply="2").problem == (
        "'model' is sold by anthropic, openai: say which with --provider"
    )
    books.done("ratecard.set", model="model", provider="openai", multiply="2")
    assert [card.provider for card in books.cards("model")] == ["openai", "anthropic", "openai"]


def test_what_training_costs_is_set_by_hand_in_every_column_and_other_prices_stay(books, mini):
    before = mini()[0]
    books.now += DAY
    books.done("ratecard.set", model="gpt-4o-mini", prices={"training": "3"})
    card = mini()[-1]
    for prices in (card.list_prices, card.net_prices, card.internal_prices):
        assert prices["standard"].base[Meter.TRAINING] == 3 * 10**12
        assert prices["standard"].base[Meter.INPUT] == 15 * 10**10
        assert Meter.TRAINING not in prices["batch"].base
    assert card.internal_prices["batch"] == before.internal_prices["batch"]


def test_an_import_leaves_the_price_of_training_alone(books, mini):
    books.now += DAY
    books.done("ratecard.set", model="gpt-4o-mini", prices={"training": "3"})
    books.now += DAY
    assert books.done("ratecard.import", models=["gpt-4o-mini"])["added_count"] == 0
    assert mini()[-1].list_prices["standard"].base[Meter.TRAINING] == 3 * 10**12


def test_an_import_keeps_what_training_costs_beside_a_subsidy(books, mini):
    books.now += DAY
    books.done("ratecard.set", model="gpt-4o-mini", prices={"training": "3"})
    books.now += DAY
    books.done("ratecard.set", model="gpt-4o-mini", multiply="0.5")
    books.now += DAY
    assert books.done("ratecard.import", models=["gpt-4o-mini"])["added_count"] == 0
    card = mini()[-1]
    assert card.internal_prices["standard"].base[Meter.TRAINING] == 15 * 10**11
    assert card.list_prices["standard"].base[Meter.TRAINING] == 3 * 10**12


def test_an_import_by_name_of_a_model_that_searches_unasked_says_what_to_do(books):
    reply = books.ask("ratecard.import", models=["gpt-5-search-api"])
    assert reply.problem_kind == "unknown_model"
    assert reply.problem.startswith(
        "no card of gpt-5-search-api at openai: it searches the web at every call, for a fee"
    )
    assert reply.problem.endswith("`tokenroll ratecard set --file`")
