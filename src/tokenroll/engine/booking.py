"""Booking: the reference book of lots and holds, which tests, verification and replays compare the ledger with.

It is the plainest statement of what each event does to each lot: hold, dispatch, settle, release, suspend, resolve, recall. Dates do
the rest: vesting and expiry are read from the lots and are no events here (DESIGN §4 law 9). Every function returns a new
book and leaves the old one as it was; `replay` folds many events at once.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from tokenroll.engine.drawing import eligible, split
from tokenroll.model.grant import Grant
from tokenroll.model.hold import COMPANY_LOT_ID, Hold, HoldState, ReleaseReason, Slice
from tokenroll.model.identifier import HoldKey
from tokenroll.model.instant import Instant
from tokenroll.model.lot import Lot, LotState
from tokenroll.model.recall import RecallPurpose
from tokenroll.model.settlement import Settlement


class BookingError(ValueError):
    """An event that the book refuses; the book is unchanged."""


class ConflictError(BookingError):
    """The same id with a different body (law 7), or a body that contradicts what was booked."""


class TransitionError(BookingError):
    """A hold's state does not allow this event."""


class OverdrawError(BookingError):
    """A hold takes what its lots do not have at that instant (law 3)."""


SETTLEABLE: Final = frozenset({HoldState.DISPATCHED})
RESOLVABLE: Final = frozenset({HoldState.SUSPENSE})
SUSPENDABLE: Final = frozenset({HoldState.HELD, HoldState.DISPATCHED})
RELEASABLE: Final = frozenset({HoldState.HELD, HoldState.DISPATCHED, HoldState.SUSPENSE})
"""From which states each event leads on; `settled` and `released` are final. Only a dispatched hold can have cost."""
_ASKED: Final = frozenset({ReleaseReason.PROVIDER_ERROR})
"""Reasons only for a hold that was dispatched."""
_UNASKED: Final = frozenset({ReleaseReason.NEVER_DISPATCHED, ReleaseReason.COALESCED, ReleaseReason.LOOP_BROKEN})
"""Reasons only for one that was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedHold:
    """A hold, where it stands and has been, and what ended it; so a late repetition of any event is recognised."""

    hold: Hold
    state: HoldState = HoldState.HELD
    dispatched: bool = False
    suspended: bool = False
    settlement: Settlement | None = None
    reason: ReleaseReason | None = None
    variance_nanos: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """All lots and holds at one point of the journal; treat the mappings as read-only.

    `company_nanos` is what the company carried in settlements, `variance_nanos` what providers proved after suspense had
    closed (law 4). Neither is in any wallet.
    """

    grants: Mapping[int, Grant] = field(default_factory=dict)
    lots: Mapping[int, LotState] = field(default_factory=dict)
    holds: Mapping[HoldKey, BookedHold] = field(default_factory=dict)
    company_nanos: int = 0
    variance_nanos: int = 0
    recalled: Mapping[int, "Recalled"] = field(default_factory=dict)

    def wallet(self, wallet_id: int) -> tuple[LotState, ...]:
        """The lots of one wallet."""
        return tuple(state for state in self.lots.values() if state.lot.wallet_id == wallet_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A grant and the lots it vests in."""

    grant: Grant
    lots: tuple[Lot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A hold taken at an instant."""

    hold: Hold
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    """Written before the first byte goes upstream."""

    key: HoldKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What a dispatched attempt cost."""

    settlement: Settlement


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A hold ended without a charge."""

    key: HoldKey
    reason: ReleaseReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspended:
    """A hold whose fate is being found out, such as after its worker's death (lapse)."""

    key: HoldKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What an attempt in suspense turned out to have cost."""

    settlement: Settlement


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What a provider's bill added (or took off) after a hold had settled; the company's alone."""

    key: HoldKey
    nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """Parts of lots given back for a purpose, and the lots that they went to if they moved, one for each part.

    `number` names the give: one recall may be given to more than once, as calls return what it is owed.
    """

    number: int
    purpose: RecallPurpose
    parts: tuple[Slice, ...]
    moved: tuple[Lot, ...] = ()


Event: TypeAlias = Granted | Admitted | Dispatched | Settled | Released | Suspended | Resolved | Proven | Recalled

MOVES: Final = frozenset({RecallPurpose.TRANSFER, RecallPurpose.RESCHEDULE})
_TAKEN_FIELDS: Final = {
    RecallPurpose.FORFEITURE: "forfeited_nanos",
    RecallPurpose.CLAWBACK: "clawed_back_nanos",
    RecallPurpose.VOID: "voided_nanos",
    RecallPurpose.TRANSFER: "transferred_out_nanos",
    RecallPurpose.RESCHEDULE: "transferred_out_nanos",
    RecallPurpose.CHARGE: "spent_nanos",
}


def grant(book: Book, grant: Grant, lots: tuple[Lot, ...]) -> Book:
    """The book with a grant's lots. Raises ConflictError unless the lots are new, its own and sum to it."""
    return apply(book, Granted(grant=grant, lots=lots))


def admit(book: Book, hold: Hold, at: Instant) -> Book:
    """The book with the hold's slices held. Raises OverdrawError if a lot is not eligible at `at` or has too little.

    It applies the slices and never chooses them (DESIGN §5); a company slice takes from no lot.
    """
    return apply(book, Admitted(hold=hold, at=at))


def dispatch(book: Book, key: HoldKey) -> Book:
    """The book that knows the attempt may have reached its provider. Raises TransitionError for an ended hold."""
    return apply(book, Dispatched(key=key))


def settle(book: Book, settlement: Settlement) -> Book:
    """The book with a dispatched hold consumed and its tail returned to the same lots.

    The same settlement again is the same book; a different one raises ConflictError, as does one that does not consume the
    hold's slices in their order. Raises TransitionError for a hold never dispatched, in suspense, or released.
    """
    return apply(book, Settled(settlement=settlement))


def release(book: Book, key: HoldKey, reason: ReleaseReason) -> Book:
    """The book with all of the hold returned. Raises TransitionError where law 5 forbids it.

    `never_dispatched`, `coalesced` and `loop_broken` are refused once the hold is dispatched; `provider_error` needs a provider that was asked.
    """
    return apply(book, Released(key=key, reason=reason))


def suspend(book: Book, key: HoldKey) -> Book:
    """The book with the hold's slices in suspense. Raises TransitionError for an ended hold."""
    return apply(book, Suspended(key=key))


def resolve(book: Book, settlement: Settlement) -> Book:
    """The book with a suspended hold settled, under the rules of `settle`."""
    return apply(book, Resolved(settlement=settlement))


def prove(book: Book, key: HoldKey, nanos: int) -> Book:
    """The book with a provider's late proof against a settled hold, carried by the company (law 4).

    Raises ConflictError for a different proof of the same hold, TransitionError for a hold that has not settled.
    """
    return apply(book, Proven(key=key, nanos=nanos))


def recall(book: Book, event: Recalled) -> Book:
    """The book with parts of lots taken for a purpose. Raises OverdrawError for more than a lot's remainder.

    Raises ConflictError for a number that was used with other facts, and for moved lots that are not new, do not come out of their
    parts in order, or are not of their grant and classification.
    """
    return apply(book, event)


def apply(book: Book, event: Event) -> Book:
    """The book after one event; the very same object if the event was already booked. Raises BookingError."""
    draft = _Draft(book)
    draft.apply(event)
    return draft.book() if draft.changed else book


def replay(events: Iterable[Event], book: Book | None = None) -> Book:
    """The book after all events in order, starting from empty or from `book`. Raises BookingError at the first refused."""
    draft = _Draft(book or Book())
    for event in events:
        draft.apply(event)
    return draft.book()


class _Draft:
    """A book being written: one copy of the mappings, changed in place, so that 10^5 events cost 10^5 steps.

    Each handler checks before it writes, and raising leaves the draft unusable; callers then drop it.
    """

    __slots__ = ("_handlers", "changed", "company_nanos", "grants", "holds", "lots", "recalled", "variance_nanos")

    def __init__(self, book: Book) -> None:
        self.grants = dict(book.grants)
        self.lots = dict(book.lots)
        self.holds = dict(book.holds)
        self.recalled = dict(book.recalled)
        self.company_nanos = book.company_nanos
        self.variance_nanos = book.variance_nanos
        self.changed = False
        self._handlers: dict[type, Callable[..., None]] = {
            Granted: self._granted,
            Admitted: self._admitted,
            Dispatched: self._dispatched,
            Settled: self._settled,
            Released: self._released,
            Suspended: self._suspended,
            Resolved: self._resolved,
            Proven: self._proven,
            Recalled: self._recalled,
        }

    def book(self) -> Book:
        return Book(
            grants=self.grants,
            lots=self.lots,
            holds=self.holds,
            company_nanos=self.company_nanos,
            variance_nanos=self.variance_nanos,
            recalled=self.recalled,
        )

    def apply(self, event: Event) -> None:
        self._handlers[type(event)](event)

    def _granted(self, event: Granted) -> None:
        known = self.grants.get(event.grant.id)
        if known is not None:
            if known != event.grant or any(
                lot.id not in self.lots or self.lots[lot.id].lot != lot for lot in event.lots
            ):
                raise ConflictError(f"grant {event.grant.id} is already booked with other facts")
            return
        if sum(lot.amount_nanos for lot in event.lots) != event.grant.amount_nanos:
            raise ConflictError(
                f"the lots of grant {event.grant.id} do not sum to its {event.grant.amount_nanos} nanos"
            )
        ids = {lot.id for lot in event.lots}
        if len(ids) != len(event.lots) or not ids.isdisjoint(self.lots):
            raise ConflictError(f"grant {event.grant.id} has lots whose ids are taken")
        if any((lot.grant_id, lot.wallet_id) != (event.grant.id, event.grant.wallet_id) for lot in event.lots):
            raise ConflictError(f"grant {event.grant.id} has lots of another grant or wallet")
        self.grants[event.grant.id] = event.grant
        self.lots.update((lot.id, LotState(lot=lot)) for lot in event.lots)
        self.changed = True

    def _admitted(self, event: Admitted) -> None:
        hold = event.hold
        known = self.holds.get(hold.key)
        if known is not None:
            if known.hold != hold:
                raise ConflictError(f"hold {hold.key} is already booked with other facts")
            return
        for lot_id, nanos in _by_lot(hold.slices).items():
            state = self.lots.get(lot_id)
            if state is None or not eligible(state.lot, event.at) or state.remainder_nanos < nanos:
                raise OverdrawError(
                    f"hold {hold.key} takes {nanos} nanos that lot {lot_id} does not have at {event.at}"
                )
        self._shift(hold.slices, held=1)
        self._put(BookedHold(hold=hold))

    def _dispatched(self, event: Dispatched) -> None:
        booked = self._booked(event.key)
        if booked.dispatched:
            return
        if booked.state is not HoldState.HELD:
            raise TransitionError(f"hold {event.key} is {booked.state} and was never dispatched")
        self._put(replace(booked, state=HoldState.DISPATCHED, dispatched=True))

    def _settled(self, event: Settled) -> None:
        self._charge(event.settlement, SETTLEABLE)

    def _resolved(self, event: Resolved) -> None:
        self._charge(event.settlement, RESOLVABLE)

    def _charge(self, settlement: Settlement, allowed: frozenset[HoldState]) -> None:
        booked = self._booked(settlement.key)
        if booked.settlement is not None:
            if booked.settlement != settlement:
                raise ConflictError(f"hold {settlement.key} has settled differently")
            return
        if booked.state not in allowed:
            raise TransitionError(f"hold {settlement.key} is {booked.state} and cannot settle so")
        consumed, _returned = split(booked.hold.slices, settlement.charge_nanos)
        if consumed != settlement.consumed:
            raise ConflictError(f"settlement of {settlement.key} does not consume its hold in order")
        self._unhold(booked)
        self._shift(consumed, spent=1)
        self.company_nanos += sum(one.nanos for one in consumed if one.lot_id == COMPANY_LOT_ID)
        self._put(replace(booked, state=HoldState.SETTLED, settlement=settlement))

    def _released(self, event: Released) -> None:
        booked = self._booked(event.key)
        if booked.state is HoldState.RELEASED:
            if booked.reason is not event.reason:
                raise ConflictError(f"hold {event.key} was released as {booked.reason}")
            return
        impossible = _UNASKED if booked.dispatched else _ASKED
        if booked.state not in RELEASABLE or event.reason in impossible:
            raise TransitionError(f"hold {event.key} is {booked.state} and cannot be released as {event.reason}")
        self._unhold(booked)
        self._put(replace(booked, state=HoldState.RELEASED, reason=event.reason))

    def _suspended(self, event: Suspended) -> None:
        booked = self._booked(event.key)
        if booked.suspended:
            return
        if booked.state not in SUSPENDABLE:
            raise TransitionError(f"hold {event.key} is {booked.state} and cannot be in suspense")
        self._shift(booked.hold.slices, held=-1, suspense=1)
        self._put(replace(booked, state=HoldState.SUSPENSE, suspended=True))

    def _proven(self, event: Proven) -> None:
        booked = self._booked(event.key)
        if booked.variance_nanos is not None:
            if booked.variance_nanos != event.nanos:
                raise ConflictError(f"hold {event.key} has another proof already")
            return
        if booked.state is not HoldState.SETTLED:
            raise TransitionError(f"hold {event.key} is {booked.state}; its bill is no variance yet")
        self.variance_nanos += event.nanos
        self._put(replace(booked, variance_nanos=event.nanos))

    def _recalled(self, event: Recalled) -> None:
        known = self.recalled.get(event.number)
        if known is not None:
            if known != event:
                raise ConflictError(f"give {event.number} is already booked with other facts")
            return
        for lot_id, nanos in _by_lot(event.parts).items():
            state = self.lots.get(lot_id)
            if state is None or state.remainder_nanos < nanos:
                raise OverdrawError(f"give {event.number} takes {nanos} nanos that lot {lot_id} does not have")
        self._check_moved(event)
        name = _TAKEN_FIELDS[event.purpose]
        for lot_id, nanos in event.parts:
            state = self.lots[lot_id]
            self.lots[lot_id] = replace(state, **{name: getattr(state, name) + nanos})
        self.lots.update((lot.id, LotState(lot=lot)) for lot in event.moved)
        self.recalled[event.number] = event
        self.changed = True

    def _check_moved(self, event: Recalled) -> None:
        if len(event.moved) != (len(event.parts) if event.purpose in MOVES else 0):
            raise ConflictError(f"give {event.number} for a {event.purpose} has {len(event.moved)} new lots")
        for part, lot in zip(event.parts, event.moved, strict=False):
            origin = self.lots[part.lot_id].lot
            kept = (lot.origin_lot_id, lot.amount_nanos, lot.grant_id, lot.classification, lot.priority)
            if lot.id in self.lots or kept != (
                origin.id, part.nanos, origin.grant_id, origin.classification, origin.priority,
            ):  # fmt: skip
                raise ConflictError(f"lot {lot.id} is not what give {event.number} moves out of lot {origin.id}")

    def _booked(self, key: HoldKey) -> BookedHold:
        booked = self.holds.get(key)
        if booked is None:
            raise TransitionError(f"there is no hold {key}")
        return booked

    def _put(self, booked: BookedHold) -> None:
        self.holds[booked.hold.key] = booked
        self.changed = True

    def _unhold(self, booked: BookedHold) -> None:
        if booked.state is HoldState.SUSPENSE:
            self._shift(booked.hold.slices, suspense=-1)
        else:
            self._shift(booked.hold.slices, held=-1)

    def _shift(self, slices: Iterable[Slice], *, held: int = 0, suspense: int = 0, spent: int = 0) -> None:
        """Move each slice once into (1) or out of (-1) the named parts of its lot; the remainder gives or takes."""
        for lot_id, nanos in _by_lot(slices).items():
            state = self.lots[lot_id]
            self.lots[lot_id] = replace(
                state,
                held_nanos=state.held_nanos + held * nanos,
                suspense_nanos=state.suspense_nanos + suspense * nanos,
                spent_nanos=state.spent_nanos + spent * nanos,
            )


def _by_lot(slices: Iterable[Slice]) -> dict[int, int]:
    """Nanos per lot of a wallet, the company's slice left out."""
    sums: dict[int, int] = {}
    for lot_id, nanos in slices:
        if lot_id != COMPANY_LOT_ID:
            sums[lot_id] = sums.get(lot_id, 0) + nanos
    return sums
