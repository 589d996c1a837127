"""What is done to a request so that its prompt is read from its provider's cache: marks for Anthropic, a key for OpenAI (docs/thrift.md).

It is done before the call is bounded, so that the hold covers it: its bytes are in the bound, and every text call is bounded at
the dearest kind of input, which writing to a cache is. What was done stands on the HOLD, and what it saved is told from reported usage.
"""

from collections.abc import Sequence
from typing import Final

from tokenroll.engine.rating import rate_attos, rates_for
from tokenroll.model.instant import Instant
from tokenroll.model.limits import BEGINNINGS_PER_PROMPT_MAX, PROMPT_CACHE_MARKS_MAX, THRIFT_BODY_BYTES_MAX
from tokenroll.model.usage import Meter
from tokenroll.services.fingerprints import FINGERPRINT_BYTES, Chain, Fingerprints
from tokenroll.services.hot import Deployment, HotKey
from tokenroll.services.hot_prices import HotCard, Prices
from tokenroll.services.reuse import Look, PromptReuse, Ratio, Writing
from tokenroll.store.tape import HOLD_CACHE_KEYED, HOLD_CACHE_MARKED, HOLD_CACHE_WITHHELD
from tokenroll.upstream.dialect import BYTES_PER_TOKEN_ESTIMATE
from tokenroll.upstream.facts import PROMPT_CACHE_KEY, Facts
from tokenroll.upstream.prompt_caches import KEYED_TOKENS_MIN, marked_tokens_min
from tokenroll.upstream.prompts import (
    Prompt,
    is_marked,
    leading_parts,
    marked,
    may_be_marked,
    messages_prompt,
)

_KEY_OPENS: Final = b'"tr-'
_KEY_BYTES: Final = len(f'"{PROMPT_CACHE_KEY}":"tr-",') + 2 * FINGERPRINT_BYTES
"""By so much a request with a key is longer."""
_WITHHELD_ONE_IN: Final = 8
"""Of so many beginnings one gets no key, by the lot that its hash is: without them nobody could say what keys are good for."""
_USER: Final = b'"user"'


class CacheAids:
    """What one worker knows for it."""

    __slots__ = ("_fingerprints", "_prices", "_reuse")

    def __init__(self, fingerprints: Fingerprints, prices: Prices) -> None:
        self._fingerprints = fingerprints
        self._prices = prices
        self._reuse = PromptReuse()

    # ---- a key for OpenAI's cache -----------------------------------------------------------------------

    def give_key(self, key: HotKey, facts: Facts, body: bytes, deployment: Deployment, cycle_ends_at: Instant) -> None:
        """The facts of a request get a `prompt_cache_key`, where its client names none and the prompt is long enough for a cache."""
        if PROMPT_CACHE_KEY in facts.fields or not _is_of_size(body, KEYED_TOKENS_MIN):
            return
        parts = leading_parts(body, facts.fields)
        if not parts:
            return
        chain = self._chain(key, facts, deployment, cycle_ends_at)
        for part in parts:
            chain.add(part)
        fingerprint = chain.fingerprint()
        if fingerprint[0] % _WITHHELD_ONE_IN == 0:
            facts.cache_aid = HOLD_CACHE_WITHHELD
            return
        facts.cache_key = b'%b%b"' % (_KEY_OPENS, fingerprint.hex().encode())
        facts.input_bytes += _KEY_BYTES
        facts.cache_aid = HOLD_CACHE_KEYED

    # ---- marks for Anthropic's cache --------------------------------------------------------------------

    def with_marks(
        self, key: HotKey, facts: Facts, body: bytes, deployment: Deployment, cycle_ends_at: Instant, now: Instant
    ) -> tuple[bytes, list[bytes]]:
        """The body with marks for the prompt cache, where that pays and the client has set none; the facts say so.

        With it come the fingerprints of what is marked, for `kept`.
        """
        card = self._prices.card_for(deployment.provider, deployment.model or facts.model, now)
        if card is None or is_marked(body):
            return body, []
        tokens_min = marked_tokens_min(card.card.model)
        ratio = _ratio(card, facts, deployment)
        if ratio is None or not _is_of_size(body, tokens_min):
            return body, []
        prompt = messages_prompt(body)
        places, sizes = _beginnings(prompt)
        fingerprints, kinds = self._fingerprinted(key, facts, deployment, cycle_ends_at, prompt, places)
        look = self._reuse.look(kinds, fingerprints, sizes, now)
        ends = _worth_marking(prompt, places, look, ratio)
        total, lengths = 0, []
        for size in sizes:
            total += size
            lengths.append(total)
        ends = [end for end in ends if lengths[end] >= tokens_min * BYTES_PER_TOKEN_ESTIMATE]
        if not ends:
            return body, []
        with_marks = marked(body, [prompt[places[end]] for end in ends])
        facts.input_bytes += len(with_marks) - len(body)
        facts.cache_aid = HOLD_CACHE_MARKED
        return with_marks, [fingerprints[end] for end in ends]

    def kept(self, fingerprints: Sequence[bytes], now: Instant) -> None:
        """The provider has reported that a marked prompt was written to its cache or read from it."""
        for fingerprint in fingerprints:
            self._reuse.written(fingerprint, now)

    def _chain(self, key: HotKey, facts: Facts, deployment: Deployment, cycle_ends_at: Instant) -> Chain:
        """Within a key, a deployment and a model: what others send is never known to be equal."""
        model = deployment.model or facts.model
        scope = (b"%d" % key.id, deployment.name.encode(), model.encode("utf-8", "replace"))
        return self._fingerprints.chain(cycle_ends_at, scope)

    def _fingerprinted(
        self, key: HotKey, facts: Facts, deployment: Deployment, cycle_ends_at: Instant, prompt: Prompt, places: list[int],
    ) -> tuple[list[bytes], list[bytes]]:  # fmt: skip
        """Of each beginning that ends at one of the places; and of the kinds it is one of: what it begins with, whose it is."""
        chain = self._chain(key, facts, deployment, cycle_ends_at)
        kinds = [chain.fingerprint()]
        found: list[bytes] = []
        wanted = set(places)
        for place, part in enumerate(prompt):
            chain.add(part.field.encode())
            chain.add(part.opens)
            chain.add(memoryview(part.raw))
            if place in wanted:
                found.append(chain.fingerprint())
                if part.field != "messages":
                    kinds = [found[-1], kinds[-1]]
        return found, kinds


def _is_of_size(body: bytes, tokens_min: int) -> bool:
    """Whether a cache may keep a part of it, and whether it is not too long to be looked at."""
    return tokens_min * BYTES_PER_TOKEN_ESTIMATE <= len(body) <= THRIFT_BODY_BYTES_MAX


def _ratio(card: HotCard, facts: Facts, deployment: Deployment) -> Ratio | None:
    """What plain, read and written input cost on the call's own card and tier; None where one of them has no price."""
    table = card.card.internal_prices.get(facts.service_tier or deployment.service_tier)
    if table is None:
        return None
    rates = rates_for(table, facts.input_bytes // BYTES_PER_TOKEN_ESTIMATE)
    plain, read = rate_attos(rates, Meter.INPUT), rate_attos(rates, Meter.CACHE_READ)
    write = rate_attos(rates, Meter.CACHE_WRITE_5M)
    return None if plain is None or read is None or write is None else Ratio(plain, read, write)


def _beginnings(prompt: Prompt) -> tuple[list[int], list[int]]:
    """Where the beginnings that are looked at end, and how many bytes each adds: all of a usual prompt, the ends of a very long one."""
    last = len(prompt) - 1
    head_end = max((place for place, part in enumerate(prompt) if part.field != "messages"), default=-1)
    from_place = max(0, last - BEGINNINGS_PER_PROMPT_MAX + 2)
    places = list(range(from_place, last + 1))
    if 0 <= head_end < from_place:
        places.insert(0, head_end)
    sizes: list[int] = []
    start = 0
    for place in places:
        sizes.append(sum(len(memoryview(part.raw)) for part in prompt[start : place + 1]))
        start = place + 1
    return places, sizes


def _worth_marking(prompt: Prompt, places: Sequence[int], look: Look, ratio: Ratio) -> list[int]:
    """Which beginnings, by their place among `places`, ascending: what is kept is read, and what pays is written."""
    ends = [look.cached]
    writing = look.tally.writing(ratio)
    if writing != Writing.NOTHING:
        ends.append(look.seen)
    if writing == Writing.ALL:
        of_the_head = [at for at, place in enumerate(places) if prompt[place].field != "messages"]
        of_the_user = [at for at, place in enumerate(places) if prompt[place].role == _USER]
        ends += of_the_head[-1:] + of_the_user[-1:]
    found: set[int] = set()
    for end in ends:
        at = end
        while at >= 0 and not may_be_marked(prompt[places[at]]):
            at -= 1
        if at >= 0:
            found.add(at)
    return sorted(found)[-PROMPT_CACHE_MARKS_MAX:]
