"""The hot path's own objects: mutable, slotted, without validation, because one of each lives through every call.

They mean exactly what the nouns of `model` mean; a property test proves that their numbers equal the engine's (DESIGN §6).
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from tokenroll.model.hold import COMPANY_LOT_ID, Slice
from tokenroll.model.instant import INSTANT_MAX, Instant
from tokenroll.model.limit import LimitMeasure
from tokenroll.model.tag import PURPOSE
from tokenroll.model.vesting import AWAITED_AT
from tokenroll.services.protocol import LotTerms, WalletTerms
from tokenroll.upstream.facts import Facts

if TYPE_CHECKING:
    from tokenroll.services.hot_limits import Counting, HotLimit, Limited
    from tokenroll.services.hot_prices import HotCard, HotRates
    from tokenroll.upstream.dialect import Denial

NEVER: Final = INSTANT_MAX + 1
_PACES: Final[dict[tuple[tuple[LimitMeasure, int], ...], tuple[tuple[LimitMeasure, int], ...]]] = {}
_DAY_PACES: Final[dict[tuple[tuple[LimitMeasure, int, int], ...], tuple[tuple[LimitMeasure, int, int], ...]]] = {}
"""Those of wallets of one plan, each kept once: of a wallet's memory they would be a third."""
Wake = Callable[[], None]


class Deployment(NamedTuple):
    """Where calls for a model go: a provider's account, the tier it is configured for, and the model's name there."""

    name: str
    provider: str
    service_tier: str = "standard"
    """Bounds calls whose request says `auto` or nothing; one of the tape's SERVICE_TIERS."""
    pin_tier: bool = False
    """Whether the forwarded request names that tier."""
    model: str = ""
    """The provider's name for the model; "" is the client's own."""


class HotLot:
    """A lot as its worker spends it: `left_nanos` is neither held nor consumed; below zero it is owed to recalls."""

    __slots__ = (
        "classification",
        "drawable",
        "effective_at",
        "expires_at",
        "id",
        "left_nanos",
        "place",
        "priority",
        "told_nanos",
        "wallet",
    )

    def __init__(self, terms: LotTerms, wallet: "HotWallet") -> None:
        self.id = terms.id
        self.priority = terms.priority
        self.effective_at = terms.effective_at
        self.expires_at = terms.expires_at or NEVER
        self.left_nanos = terms.available_nanos
        self.told_nanos = 0
        """Of a sized lease, until it begins: what the ledger said there is of it, which is not lent here."""
        self.classification = terms.classification
        self.wallet = wallet
        self.drawable = False
        """Whether it is effective and not expired, as of the wallet's last look at the clock."""
        self.place = 0
        """Where it stands in the draw order of the drawable ones."""

    @property
    def rank(self) -> tuple[int, int, int, int]:
        """The draw order (engine/drawing)."""
        return self.priority, self.expires_at, self.effective_at, self.id


class HotThrift:
    """What a plan lets the gateway do to save (model/plan_terms.Thrift)."""

    __slots__ = ("break_loops", "cache_key", "cache_marking", "cap_hints", "coalesce")

    def __init__(self, terms: WalletTerms) -> None:
        self.cache_marking = terms.cache_marking
        self.cache_key = terms.cache_key
        self.coalesce = terms.coalesce
        self.break_loops = terms.break_loops
        """After so many equal requests in a row; 0: never."""
        self.cap_hints = terms.cap_hints

    @property
    def does_anything(self) -> bool:
        """Whether any of it is switched on."""
        return self.cache_marking or self.cache_key or self.coalesce or self.break_loops > 0 or self.cap_hints


class Lessees(NamedTuple):
    """Which worker this is, of how many that may spend the same wallets; `known` are their numbers where the ledger told them."""

    worker: int = 0
    of: int = 1
    known: frozenset[int] = frozenset()


_ALONE: Final = Lessees()


class HotWallet:
    """A leased wallet: its lots, what is drawable now, and until when that is so.

    Vesting and expiry need no timer: `look` compares the clock with the next boundary at each admission (DESIGN §4 law 9).
    """

    __slots__ = (
        "available_nanos", "cap_policy", "carried_nanos", "cycle_ends_at", "day_paces", "day_start_at", "elsewhere_nanos", "enforcement", "first", "floor_model",
        "floor_pool_id", "held_elsewhere_nanos", "held_nanos", "holder_kind", "id", "is_open", "lessees", "lots", "low_nanos", "models", "name", "next_change_at", "order", "output_cap_tokens",
        "overage_held_nanos", "overage_left_nanos", "paces", "public_id", "purpose_tag", "service_tiers", "spent_nanos",
        "suspense_nanos", "thrift",
        "waiting", "worst_nanos", "zone",
    )  # fmt: skip

    def __init__(self, terms: WalletTerms, lessees: Lessees = _ALONE) -> None:
        self.id = terms.id
        self.public_id = terms.public_id
        self.lessees = lessees
        self.held_nanos = terms.held_nanos
        self.suspense_nanos = terms.suspense_nanos
        self.spent_nanos = terms.spent_nanos
        self.lots: dict[int, HotLot] = {}
        self.order: list[HotLot] = []
        """Drawable lots in draw order, also empty ones: a return may fill them again."""
        self.first = 0
        """No lot before this place has anything left."""
        self.available_nanos = 0
        self.next_change_at = 0
        self.cycle_ends_at = 0
        self.waiting: list[Wait] = []
        """Calls that wait for money, in their order; a list, for of a million wallets hardly one has any, and a deque takes ten times as much."""
        self.elsewhere_nanos = 0
        """Of a sized lease: what there is that is not lent here, as the ledger said last."""
        self.held_elsewhere_nanos = 0
        """Likewise what calls of other workers hold."""
        self.low_nanos = 0
        """With less than this more is asked for; 0: it is on its way, or all is here."""
        self.worst_nanos = 0
        """The dearest call of late, which loans are sized by."""
        self.overage_held_nanos = 0
        """The company's part of open holds that count against the overage limit."""
        self.carried_nanos = carried_at(terms, lessees.worker)
        """What the company carried of this wallet's calls at this worker, those of earlier lives and what is in suspense included."""
        self.set_terms(terms)

    def set_terms(self, terms: WalletTerms) -> None:
        """The policy of the newest plan, and lots not known yet. What is spent and held here is known better than there."""
        self.name = terms.name
        self.holder_kind = terms.holder_kind
        self.zone = terms.zone
        self.enforcement = terms.enforcement
        self.cap_policy = terms.cap_policy
        self.output_cap_tokens = terms.output_cap_tokens
        self.models = terms.models
        self.service_tiers = terms.service_tiers
        self.is_open = not (terms.models or terms.service_tiers)
        """Whether its plan gives access to everything, as nearly every one does."""
        self.purpose_tag = f"{PURPOSE}={terms.purpose}" if terms.purpose else ""
        """What calls are for that do not say it themselves, as a tag of theirs."""
        self.floor_model = terms.floor_model
        self.floor_pool_id = terms.floor_pool_id
        paces = (
            (LimitMeasure.CALLS, terms.calls_per_minute_max),
            (LimitMeasure.MODEL_TOKENS, terms.tokens_per_minute_max),
            (LimitMeasure.INPUT_TOKENS, terms.input_tokens_per_minute_max),
            (LimitMeasure.OUTPUT_TOKENS, terms.output_tokens_per_minute_max),
        )
        self.paces = _PACES.setdefault(paces, paces)
        """How fast its plan gives access, by what is counted in a minute; 0: as fast as anybody."""
        calls, tokens, input_tokens, output_tokens = terms.day_used or (0, 0, 0, 0)
        self.day_start_at = terms.day_start_at
        day_paces = (
            (LimitMeasure.CALLS, terms.calls_per_day_max, calls),
            (LimitMeasure.MODEL_TOKENS, terms.tokens_per_day_max, tokens),
            (LimitMeasure.INPUT_TOKENS, terms.input_tokens_per_day_max, input_tokens),
            (LimitMeasure.OUTPUT_TOKENS, terms.output_tokens_per_day_max, output_tokens),
        )
        self.day_paces = day_paces if terms.day_used else _DAY_PACES.setdefault(day_paces, day_paces)
        """Likewise in a day of UTC, with what the ledger knew to be used since `day_start_at`."""
        thrift = HotThrift(terms)
        self.thrift = thrift if thrift.does_anything else None
        """What its plan lets the gateway do to save; None, as for nearly every one: nothing."""
        self.overage_left_nanos = overage_part(terms, self.lessees) - self.carried_nanos - self.overage_held_nanos
        for lot in terms.lots:
            self.add_lot(lot)

    def shut_to(self, model: str, aliases: tuple[str, ...], tier: str) -> str:
        """What of a call its plan gives no access to, in words; nothing when it gives access. Its floor's model it always does."""
        if self.models and not _names_any([*self.models, self.floor_model], model, aliases):
            return f"the model {model!r}, only to {', '.join(self.models)}"
        if self.service_tiers and tier not in self.service_tiers:
            return f"the service tier {tier!r}, only to {', '.join(self.service_tiers)}"
        return ""

    def add_lot(self, terms: LotTerms) -> None:
        """A new lot; one that is known stays as it is."""
        if terms.id not in self.lots:
            self.lots[terms.id] = HotLot(terms, self)
            self.next_change_at = 0

    def look(self, now: Instant) -> None:
        """The drawable lots as of `now`; they stay so until `next_change_at`."""
        order = []
        boundaries = [NEVER]
        for lot in self.lots.values():
            lot.drawable = lot.effective_at <= now < lot.expires_at
            if lot.drawable:
                order.append(lot)
                boundaries.append(lot.expires_at)
                if lot.told_nanos:  # it has begun: from now on the ledger may lend of it
                    self.elsewhere_nanos += lot.told_nanos
                    lot.told_nanos = 0
            elif now < lot.effective_at:
                boundaries.append(lot.effective_at)
        order.sort(key=lambda lot: lot.rank)
        for place, lot in enumerate(order):
            lot.place = place
        self.order = order
        self.first = 0
        self.available_nanos = sum(max(0, lot.left_nanos) for lot in order)
        self.next_change_at = min(boundaries)

    def change(self, lot: HotLot, nanos: int) -> None:
        """`nanos` more (or fewer) are left of a lot: a return, a resolved suspense, a recall."""
        before = lot.left_nanos
        after = lot.left_nanos = before + nanos
        if lot.drawable:
            self.available_nanos += max(0, after) - max(0, before)
            if lot.place < self.first:  # noqa: PLR1730 - min() costs a call
                self.first = lot.place

    def draw(self, need_nanos: int, lots: list[HotLot], takes: list[int], slices_max: int) -> int:
        """Takes in draw order what is there, up to `need_nanos`, adding to `lots` and `takes`; returns what is missing."""
        order = self.order
        place = self.first
        if place < len(order):
            lot = order[place]
            if lot.left_nanos >= need_nanos > 0 and len(lots) < slices_max:  # nearly every call: one lot carries it
                lot.left_nanos -= need_nanos
                self.available_nanos -= need_nanos
                self.held_nanos += need_nanos
                lots.append(lot)
                takes.append(need_nanos)
                return 0
        while place < len(order) and order[place].left_nanos <= 0:
            place += 1
        self.first = place
        while need_nanos and place < len(order) and len(lots) < slices_max:
            lot = order[place]
            place += 1
            if lot.left_nanos <= 0:
                continue
            take = min(lot.left_nanos, need_nanos)
            lot.left_nanos -= take
            self.available_nanos -= take
            self.held_nanos += take
            need_nanos -= take
            lots.append(lot)
            takes.append(take)
        return need_nanos

    def next_arrival(self, now: Instant) -> tuple[Instant, int]:
        """`(when, how many nanos)` become spendable next; (0, 0) when nothing is scheduled."""
        future = [
            lot
            for lot in self.lots.values()
            if now < lot.effective_at < AWAITED_AT and lot.left_nanos + lot.told_nanos > 0
        ]
        if not future:
            return 0, 0
        when = min(lot.effective_at for lot in future)
        return when, sum(lot.left_nanos + lot.told_nanos for lot in future if lot.effective_at == when)

    def lend_nothing(self, lots: Iterable[HotLot], now: Instant) -> None:
        """Of a sized lease: what the ledger said there is of these lots, it has itself, and lends it when it is wanted."""
        for lot in lots:
            nanos, lot.left_nanos = lot.left_nanos, 0
            if lot.effective_at <= now < lot.expires_at:
                self.elsewhere_nanos += nanos
            elif now < lot.effective_at:
                lot.told_nanos = nanos
        self.next_change_at = 0


def carried_at(terms: WalletTerms, worker: int) -> int:
    """What the company carried of a wallet's calls at a worker, as far as the terms say."""
    return sum(nanos for number, nanos in terms.carried if number == worker)


def overage_part(terms: WalletTerms, lessees: Lessees) -> int:
    """How much of a wallet's limit of overage is one worker's, with all that it ever carried.

    An equal part of what workers that are gone left, and those that carried more than their parts, as when there were fewer: so all
    parts together are the limit at most.
    """
    rest, of = terms.overage_nanos_max, lessees.of
    beyond = []
    for number, nanos in terms.carried:
        if lessees.known and number not in lessees.known and number != lessees.worker:
            rest -= nanos
        elif number != lessees.worker:
            beyond.append(nanos)
    for nanos in sorted(beyond, reverse=True):
        if of > 1 and nanos * of <= rest:
            break
        rest -= nanos
        of = max(1, of - 1)
    return rest // of


def _names_any(names: list[str], model: str, aliases: tuple[str, ...]) -> bool:
    """Whether one of the names, in which a `*` at the end stands for any rest, is the model's or an alias of it."""
    return any(
        name.startswith(one[:-1]) if one.endswith("*") else name == one for one in names for name in (model, *aliases)
    )


class HotKey:
    """An api key that may spend: its member's wallet and the pool (None: no pool); `first` and `second` are they in the order of draw."""

    __slots__ = (
        "calls_models",
        "counting",
        "expires_at",
        "first",
        "floor",
        "id",
        "limits",
        "member_public_id",
        "models",
        "passed",
        "pool",
        "public_id",
        "scope",
        "second",
        "tags",
        "thrift",
        "wallet",
    )

    def __init__(
        self, key_id: int, public_id: str, wallet: HotWallet, pool: HotWallet | None, *, pool_first: bool = False
    ) -> None:
        self.first, self.second = (pool, wallet) if pool_first and pool is not None else (wallet, pool)
        self.id = key_id
        self.public_id = public_id
        self.wallet = wallet
        self.pool = pool
        self.member_public_id = ""
        self.expires_at: Instant = NEVER
        self.scope = "inference"
        self.calls_models = True
        """Whether its scope is for calling models."""
        self.models: list[str] = []
        """What it is for, as its terms say it; empty: whatever its wallet may call."""
        self.tags = ""
        """Tags of its calls that say nothing else."""
        self.floor: HotKey | None = None
        """The same key with the pool that pays for the floor's model; None: its wallet has no floor."""
        self.limits: list[HotLimit] = []
        """Those that may count its calls."""
        self.counting: Counting | None = None
        """Which of them counted its last call (HotLimits.counting)."""
        self.passed: set[tuple[int, str]] = set()
        """Rate cards and tiers to which neither its plan nor its own list shuts it: names are compared once for many calls."""
        self.thrift = wallet.thrift
        """Its wallet's, one look nearer."""

    @property
    def funding_text(self) -> str:
        """What pays for its calls, in words."""
        if self.pool is None:
            return f"The wallet {self.wallet.name}"
        return f"The wallet {self.wallet.name} with its pool {self.pool.name}"

    @property
    def in_use_nanos(self) -> int:
        """What open calls hold of what pays for its calls, at other workers as far as the ledger said it last."""
        wallet, pool = self.wallet, self.pool
        held = wallet.held_nanos + wallet.held_elsewhere_nanos
        return held if pool is None else held + pool.held_nanos + pool.held_elsewhere_nanos

    def shut_to(self, model: str, aliases: tuple[str, ...]) -> str:
        """What of a call it is not for, in words; nothing when it is for it."""
        if self.models and not _names_any(self.models, model, aliases):
            return f"the model {model!r}, only for {', '.join(self.models)}"
        return ""


class HotHold:
    """One admitted attempt, from admission to its one end."""

    __slots__ = (
        "admitted_at", "attempt", "available_after_nanos", "beyond_grains", "bound_nanos", "call_number_bytes", "cap_changed", "card",
        "charge_nanos", "choice_count", "client_call_id", "company_nanos", "dialect_index", "dispatched", "first_byte_at",
        "input_bytes", "input_tokens_max", "key", "later", "limited", "lots", "model", "on_overage", "output_cap_tokens",
        "output_tokens_max", "place", "rates", "searches", "sequence", "service_tier", "state", "takes", "unit_maxima", "upstream_model", "would_deny",
    )  # fmt: skip

    beyond_grains: int
    """Input, searches and units in the bound of a call that its bytes do not bound; others have none."""
    unit_maxima: tuple[tuple[int, int, int], ...]
    """See Facts; only calls at media rates have them."""

    def __init__(
        self,
        key: HotKey,
        card: "HotCard",
        rates: "HotRates",
        facts: Facts,
        dialect_index: int,
        model: str,
        now: Instant,
    ) -> None:
        self.key = key
        self.card = card
        self.rates = rates
        self.dialect_index = dialect_index
        self.model = facts.model
        """As the client asked."""
        self.upstream_model = model
        """The model to name upstream."""
        self.admitted_at = now
        self.sequence = 0
        """Of its HOLD record: with worker and epoch its inside name."""
        self.call_number_bytes = b""
        """Its call number, 16 bytes, the highest first: as the tape and the call id want it."""
        self.attempt = 1
        self.service_tier: str | None = None
        """The tier to pin in the forwarded request, in the words of rate cards; None: leave it."""
        self.input_bytes = facts.input_bytes
        self.input_tokens_max = 0
        self.choice_count = facts.choice_count
        self.output_tokens_max = 0
        """The cap that was bounded, per choice."""
        self.output_cap_tokens = 0
        """The cap that the forwarded request must carry; 0: the client's own stands."""
        self.cap_changed = False
        """Whether we named or lowered the cap, which a header tells the client."""
        self.searches: int | None = None
        """How often the forwarded request may search, where we say so; 0: its search tool is left out. None: the client's word stands."""
        self.bound_nanos = 0
        self.lots: list[HotLot] = []
        self.takes: list[int] = []
        """Nanos taken of each of `lots`, in draw order."""
        self.company_nanos = 0
        """The last slice, of the company: what the wallet could not carry."""
        self.on_overage = False
        """Whether the company's slice counts against the wallet's overage limit."""
        self.would_deny = False
        """Under observe or warn: what `enforce` would have refused."""
        self.available_after_nanos = 0
        self.client_call_id = ""
        self.first_byte_at: Instant = 0
        """When the answer's first byte came; the gateway sets it."""
        self.dispatched = False
        self.state = "held"
        """`held`, `settled`, `released` or `suspense`."""
        self.charge_nanos = 0
        self.limited: Limited | None = None
        """The limits that count it; None: none does."""
        self.later: HotHold | None = None
        """The next attempt of the same call."""
        self.place = -1
        """Where the memory of calls has it; a further attempt is in no place of its own."""

    @property
    def wallet(self) -> HotWallet:
        """The member's own wallet."""
        return self.key.wallet

    @property
    def call_id(self) -> str:
        """The outside call id, `call_…`."""
        return f"call_{self.call_number_bytes.hex()}"

    @property
    def rate_card(self) -> str:
        """The rate card that prices it, by the first characters of its digest."""
        return self.card.digest[:16]

    @property
    def slices(self) -> list[Slice]:
        """What it holds, in draw order; the company's part last."""
        slices = [Slice(lot.id, take) for lot, take in zip(self.lots, self.takes, strict=True)]
        if self.company_nanos:
            slices.append(Slice(COMPANY_LOT_ID, self.company_nanos))
        return slices


class Wait:
    """Not now: other calls of the same wallets hold enough that, once they end, this one may fit; or a limit has room in a moment.

    Or, of a sized lease, what is missing may be lent, or its client's name of it may be another worker's.
    """

    __slots__ = (
        "asks", "client", "lacked", "lacked_before", "lacks", "limit", "needed", "needed_nanos", "told", "until", "wake", "wallets",
    )  # fmt: skip

    def __init__(
        self,
        needed_nanos: int = 0,
        wallets: tuple[HotWallet, ...] = (),
        *,
        limit: "HotLimit | None" = None,
        needed: int = 0,
        until: Instant = 0,
        asks: "list[tuple[HotLimit, int]] | None" = None,
        client: tuple[int, str] | None = None,
    ) -> None:
        self.needed_nanos = needed_nanos
        self.wallets = wallets
        self.limit = limit
        self.needed = needed
        """What it would raise the limit by."""
        self.until = until
        """When to ask again though nothing woke it; 0: whenever its caller likes."""
        self.asks = asks
        """Of a sized lease: the ledger is asked for what is missing, also for shares that limits lack for these amounts; None: it is not."""
        self.lacked = False
        """Whether the ledger answered that there is not so much."""
        self.lacks: tuple[int, list[int]] = (0, [])
        """Of what: nanos, and limits by id."""
        self.lacked_before: Wait | None = None
        """Of a call whose time is over: how it waited when the ledger said so last, be it that it asked once more since."""
        self.client = client
        """The key and the client's call id that are claimed at the ledger (services/claims.py); None: nothing is."""
        self.told: Denial | None = None
        """What a claim that was not granted tells the call, or a loan that is of no use here."""
        self.wake: Wake | None = None
