"""The protocol between ledger and everybody else: messages and their framing (DESIGN §5).

One codec for every transport: a Unix socket on one machine, TCP + mTLS on many, a loopback in tests. A frame is a 32-bit
big-endian length and one msgpack message, tagged by type.
"""

import struct
from typing import Any, Final

import msgspec

from tokenroll.model.limits import MESSAGE_BYTES_MAX

NOT_NAMED: Final = "not_named"
"""The kind of a refusal: the certificate of a node does not speak for this worker."""
PROTOCOL_VERSION: Final = 2
_LENGTH = struct.Struct(">I")


class ProtocolError(Exception):
    """Bytes that are not this protocol: the connection is closed, nothing is applied."""


# ---- terms that a worker needs to spend -------------------------------------------------------------


class LotTerms(msgspec.Struct, array_like=True, frozen=True):
    """One lot of a leased wallet; `available_nanos` is what the worker may hold of it, also before `effective_at` comes."""

    id: int
    priority: int
    effective_at: int
    expires_at: int
    """0: never."""
    available_nanos: int
    classification: str


class WalletTerms(msgspec.Struct, array_like=True, frozen=True):
    """A leased wallet. Enforcement comes from the newest plan behind its grants."""

    id: int
    public_id: str
    name: str
    holder_kind: str
    zone: str
    lots: list[LotTerms]
    enforcement: str
    cap_policy: str
    output_cap_tokens: int
    overage_nanos_max: int
    """What its plan lets the company carry of calls: less what it carried of usage around the gateway."""
    spent_nanos: int
    held_nanos: int
    suspense_nanos: int
    carried: list[tuple[int, int]] = []
    """What was folded of the company's part in this wallet's calls, or is in suspense, by worker: it counts against `overage_nanos_max`."""
    models: list[str] = []
    """What its plan gives access to, by the names of rate cards; a `*` at the end stands for any rest. Empty: everything."""
    service_tiers: list[str] = []
    """Likewise of service tiers."""
    floor_model: str = ""
    floor_pool_id: int = 0
    """The cheap model that stays usable when the wallet is empty, and the pool that pays for it; 0: none."""
    calls_per_minute_max: int = 0
    tokens_per_minute_max: int = 0
    input_tokens_per_minute_max: int = 0
    output_tokens_per_minute_max: int = 0
    """How fast its plan gives access; 0: as fast as anybody."""
    cache_marking: bool = False
    cache_key: bool = False
    coalesce: bool = False
    break_loops: int = 0
    cap_hints: bool = False
    """What its plan lets the gateway do to save (model/plan_terms.Thrift); 0: no loop is broken."""
    calls_per_day_max: int = 0
    tokens_per_day_max: int = 0
    input_tokens_per_day_max: int = 0
    output_tokens_per_day_max: int = 0
    """Likewise how much in a day of UTC."""
    day_start_at: int = 0
    day_used: list[int] = []
    """Calls, model tokens, input and output tokens of its keys' calls since then; empty without a rate of a day."""
    purpose: str = ""
    """What its plan says calls are for that do not say it themselves, nor does their key; empty: nothing."""


class KeyTerms(msgspec.Struct, array_like=True, frozen=True):
    """An api key and whose wallet and pool it spends. `expires_at` 0: never; `revoked` keys are sent to be forgotten."""

    id: int
    public_id: str
    secret_hash: bytes
    scope: str
    member_id: int
    member_public_id: str
    wallet_id: int
    pool_wallet_id: int
    """0: none."""
    expires_at: int
    revoked: bool
    department_ids: list[int] = []
    """Its member's department and all above it, for the limits on them."""
    pool_first: bool = False
    """Whether the pool is drawn before the member's own lots."""
    models: list[str] = []
    """What the key is for, by the names of rate cards; a `*` at the end stands for any rest. Empty: whatever its wallet may."""
    tags: str = ""
    """Tags of its calls that say nothing else (model/tag.py)."""
    former_secrets: list[tuple[bytes, int]] = []
    """Hashes of replaced secrets, and until when each still works."""


class CardTerms(msgspec.Struct, array_like=True, frozen=True):
    """A rate card as canonical JSON (engine/rating), so that worker and ledger read the very same bytes."""

    id: int
    digest: str
    canonical_json: bytes


class RecallTerms(msgspec.Struct, array_like=True, frozen=True):
    """A part of a leased lot that is asked back (model/recall.py); the parts of one `group_id` come in one message."""

    id: int
    group_id: int
    wallet_id: int
    lot_id: int
    wanted_nanos: int
    mode: str


class LimitTerms(msgspec.Struct, array_like=True, frozen=True):
    """A limit, its overrides as `(cap, effective_at, expires_at)`, and its counters as `(start_at, used)` where they still count.

    A worker that knows the limit keeps its own counters: it knows what it holds better.
    """

    id: int
    name: str
    scope: str
    subject_id: int
    scope_text: str
    model: str
    tag: str
    window: str
    window_seconds: int
    zone: str
    measure: str
    cap: int
    enforcement: str
    degrade: str
    cheaper_model: str
    overage: int
    effective_at: int
    expires_at: int
    """0: never. A removed limit ended when it was removed."""
    overrides: list[tuple[int, int, int]]
    counters: list[tuple[int, int]]


class CounterChange(msgspec.Struct, array_like=True, frozen=True):
    """A call in suspense was resolved: its counter moves from what it was raised by to what it cost. A share counts calls of its life."""

    limit_id: int
    start_at: int
    change: int
    hold_key: int = 0


class CarriedChange(msgspec.Struct, array_like=True, frozen=True):
    """A call in suspense was resolved: the company carries so much more of that wallet's calls at that worker, or less."""

    wallet_id: int
    worker: int
    change_nanos: int


class ClientCallTerms(msgspec.Struct, array_like=True, frozen=True):
    """A client's own call id of an earlier life of a worker, so that it is never sent again (law 7). `state`: as HotHold's."""

    api_key_id: int
    client_call_id: str
    state: str
    charge_nanos: int


# ---- worker <-> ledger --------------------------------------------------------------------------------


class Hello(msgspec.Struct, tag="hello", frozen=True):
    """A worker asks to work. `epoch` 0: a new life; else it goes on in its own after a lost connection."""

    version: int
    worker: int
    epoch: int
    boot_id: bytes
    last_delta: int


class Welcome(msgspec.Struct, tag="welcome", frozen=True):
    """The epoch to write under and, by epoch, the last sequence folded: everything after it is to be reported (again).

    Where it `may_begin_early`, a worker that follows its own tape may be READY before that; `open_holds` are the records, by hold number,
    of what its earlier lives left without an end in the ledger.
    """

    epoch: int
    folded_sequences: dict[int, int]
    may_begin_early: bool = False
    open_holds: dict[int, bytes] = {}


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """All earlier epochs are reported: the worker asks for its VIEW and LEASE. It is one `of` so many.

    `early`: they will be, before anything of this one; what they say is added to the lease by the worker.
    """

    worker: int
    epoch: int
    of: int = 1
    early: bool = False


class CaughtUp(msgspec.Struct, tag="caught_up", frozen=True):
    """A worker that was READY early has reported all of its earlier epochs: they are closed."""

    worker: int
    epoch: int


class Resign(msgspec.Struct, tag="resign", frozen=True):
    """A life ends in order: all is reported, nothing is held, nothing more is admitted. The lease goes back to the ledger."""

    worker: int
    epoch: int


class View(msgspec.Struct, tag="view", frozen=True):
    """A part of what a worker must know besides money: keys, rate cards, used call ids. `last`: no more parts follow."""

    keys: list[KeyTerms]
    cards: list[CardTerms]
    settings: dict[str, str]
    last: bool
    client_calls: list[ClientCallTerms] = []
    limits: list[LimitTerms] = []


class Lease(msgspec.Struct, tag="lease", frozen=True):
    """Wallets whose lots this worker may spend. With one host and one worker: whole wallets, `expires_at` 0 (no deadline).

    It is one `of` so many workers: of several each has a sized lease. Then lots say what there is; what it may hold it is LENT when it
    WANTs it.
    """

    wallets: list[WalletTerms]
    expires_at: int
    delta: int
    last: bool
    of: int = 1
    workers: list[int] = []
    """Who they are, as far as the ledger knows: what others carried of a wallet's overage is nobody's part any more."""
    seconds: int = 0
    """How long it counts for a node that hears no more of the ledger, by the node's own clock; 0: for ever."""


class Want(msgspec.Struct, tag="want", frozen=True):
    """A worker with a sized lease is short: for calls (`need_nanos`, and what its share of limits lacks), or soon (need of nothing).

    `wallets` in the order of draw; `like_nanos` is how much it would have if there is plenty. Numbered in its life: `again` after a
    lost connection. It is lent all that it needs, or told what is LACKING. What lots and windows there are `at` the worker's own
    instant decides (0: the ledger's), for by it calls are admitted: what it could not draw it would want again at once.
    """

    worker: int
    epoch: int
    number: int
    wallets: list[int]
    need_nanos: int
    like_nanos: int
    limits: list[tuple[int, int]]
    again: bool = False
    at: int = 0


class Elsewhere(msgspec.Struct, array_like=True, frozen=True):
    """What a wallet has that this worker was not lent: at the ledger, at other workers, and, where it is LACKING, what calls of these hold."""

    wallet_id: int
    left_nanos: int
    held_nanos: int


class Lent(msgspec.Struct, tag="lent", frozen=True):
    """What a want was given: nanos of lots as `(wallet, lot, nanos)`, shares of limits. Durable at the ledger when it is sent."""

    number: int
    lots: list[tuple[int, int, int]]
    shares: list[tuple[int, int]]
    elsewhere: list[Elsewhere]
    used_elsewhere: list[tuple[int, int]] = []
    """Of the limits that were wanted, by id: what calls of all other lives and workers count in the window of the want."""


class Lacking(msgspec.Struct, tag="lacking", frozen=True):
    """A want cannot be met: every other worker returned what it did not hold, or is away."""

    number: int
    elsewhere: list[Elsewhere]
    limits: list[tuple[int, int]] = []
    """Of limits that were wanted, by id: the share that nobody else has and nobody used, with what this worker has as the ledger knows it.

    What the worker returned, or was lent, and is on its way is in it either way.
    """
    used_elsewhere: list[tuple[int, int]] = []
    """As of Lent."""


class AskBack(msgspec.Struct, tag="ask_back", frozen=True):
    """Another worker is short: what is not held of these wallets, and not used of these limits, is to be returned (a RETURN record)."""

    number: int
    wallets: list[int]
    limits: list[int]


class AskAmounts(msgspec.Struct, tag="ask_amounts", frozen=True):
    """What wallets and limits come to over all workers, once this worker's tape is folded up to `sequence`. `number` is of the question."""

    worker: int
    epoch: int
    number: int
    sequence: int
    wallets: list[int]
    limits: list[int]


class WalletAmounts(msgspec.Struct, array_like=True, frozen=True):
    """One wallet's amounts, and what arrives and expires next; at 0: nothing does."""

    wallet_id: int
    left_nanos: int
    in_use_nanos: int
    being_checked_nanos: int
    spent_nanos: int
    next_vest_at: int
    next_vest_nanos: int
    next_expiry_at: int
    next_expiry_nanos: int


class LimitAmounts(msgspec.Struct, array_like=True, frozen=True):
    """One limit's present window, in its measure: what counts in it, and how much of that is of calls under way."""

    limit_id: int
    used: int
    held: int


class Amounts(msgspec.Struct, tag="amounts", frozen=True):
    """The answer to the question of that number."""

    number: int
    wallets: list[WalletAmounts]
    limits: list[LimitAmounts]


class Claim(msgspec.Struct, tag="claim", frozen=True):
    """One of several workers would send a call that its client named, and asks whether it may (law 7). Numbered in its life.

    `ends`: the call of that number was not sent, and the name is free again.
    """

    worker: int
    epoch: int
    number: int
    api_key_id: int
    client_call_id: str
    ends: bool = False


YOURS: Final = "yours"
FREE: Final = "free"
AWAY: Final = "away"
"""What a claim is answered, beside what a call may have become (services/hot.py: HotHold.state)."""


class ClaimAnswer(msgspec.Struct, array_like=True, frozen=True):
    """To the claim of that number: `yours`, `free` to its end, `away` where only a worker that is not there knows, else what became of the call."""

    number: int
    state: str
    charge_nanos: int = 0


class Claimed(msgspec.Struct, tag="claimed", frozen=True):
    """Answers to claims. What is `yours` is durable at the ledger when it is sent."""

    answers: list[ClaimAnswer]


class LotChange(msgspec.Struct, array_like=True, frozen=True):
    """A lot that is new (`terms`), or out of whose suspense `change_nanos` came back and `spent_nanos` did not."""

    wallet_id: int
    lot_id: int
    change_nanos: int
    terms: LotTerms | None
    spent_nanos: int = 0


class Delta(msgspec.Struct, tag="delta", frozen=True):
    """One change to leases or view, numbered without gaps. The worker answers Applied; a repeated one changes nothing.

    `wallets` say who is new and how all are enforced; they carry no lots and no sums, because those of a leased wallet are its
    worker's own. Lots travel as changes. `recalls` ask for parts of lots; the worker answers each with a LEASE record on its tape.
    """

    number: int
    wallets: list[WalletTerms]
    lots: list[LotChange]
    keys: list[KeyTerms]
    cards: list[CardTerms]
    settings: dict[str, str]
    recalls: list[RecallTerms] = []
    limits: list[LimitTerms] = []
    counters: list[CounterChange] = []
    spent: dict[int, int] = {}
    """By wallet: what it spent around the gateway, out of lots that gave it to recalls."""
    carried: list[CarriedChange] = []


class Applied(msgspec.Struct, tag="applied", frozen=True):
    """The worker spends by this delta from now on."""

    worker: int
    number: int


class Report(msgspec.Struct, tag="report", frozen=True):
    """Raw tape blocks of one epoch, one after another, in order."""

    worker: int
    epoch: int
    blocks: bytes


class Ack(msgspec.Struct, tag="ack", frozen=True):
    """Everything up to `sequence` of `epoch` is folded and durable in the ledger."""

    epoch: int
    sequence: int


class Refusal(msgspec.Struct, tag="refusal", frozen=True):
    """What the ledger does not do for this worker, and why. `kind` is a fold's halt reason, `closed_epoch`, `leased` or `waits`.

    Nothing of the refused message was applied. A closed epoch may never spend again: its process ends.
    """

    kind: str
    text: str


class KeysUsed(msgspec.Struct, tag="keys_used", frozen=True):
    """Keys that somebody used in the hour that began at `used_at`: from workers, and from doors that take keys. Not answered."""

    used_at: int
    key_ids: list[int]


class Alive(msgspec.Struct, tag="alive", frozen=True):
    """A worker on another machine has heard nothing for a while, and the ledger answers the same: the line is whole, both ways."""


class SegmentTerms(msgspec.Struct, array_like=True, frozen=True):
    """A segment of a tape that is not written any more: which records it holds, and the SHA-256 of the file."""

    epoch: int
    segment: int
    first_sequence: int
    last_sequence: int
    digest: bytes


class Renew(msgspec.Struct, tag="renew", frozen=True):
    """A node asks that its lease goes on counting, from when it asks on. Numbered, so that it knows which question was answered."""

    worker: int
    epoch: int
    number: int


class Renewed(msgspec.Struct, tag="renewed", frozen=True):
    """The ledger heard the question of that number, and takes back nothing for so many `seconds`, and longer. 0: as it said before."""

    number: int
    seconds: int = 0


class Segments(msgspec.Struct, tag="segments", frozen=True):
    """Segments that a worker on another machine would delete: the ledger cannot see its disk."""

    worker: int
    segments: list[SegmentTerms]


class Deletable(msgspec.Struct, tag="deletable", frozen=True):
    """Which of them, by epoch and segment, nothing needs any more: their digests are in the ledger and their records on its disk."""

    segments: list[tuple[int, int]]


# ---- doors <-> ledger ---------------------------------------------------------------------------------


class Command(msgspec.Struct, tag="command", frozen=True):
    """A write, named and idempotent by `id`: the same id gives the first answer, a different body under it conflicts (law 7)."""

    id: str
    name: str
    arguments: dict[str, Any]
    dry_run: bool = False


class Reply(msgspec.Struct, tag="reply", frozen=True):
    """The answer to one command: `result`, or `problem` with a sentence that says what to do next."""

    id: str
    result: dict[str, Any] | None = None
    problem: str = ""
    problem_kind: str = ""


class Status(msgspec.Struct, tag="status", frozen=True):
    """A question about the ledger itself, answered with StatusReply: workers, lag, head."""


class StatusReply(msgspec.Struct, tag="status_reply", frozen=True):
    """What the ledger knows of itself."""

    values: dict[str, Any]


Message = (
    Hello
    | Welcome
    | Ready
    | Want
    | Lent
    | Lacking
    | AskBack
    | AskAmounts
    | Amounts
    | Claim
    | Claimed
    | CaughtUp
    | Resign
    | KeysUsed
    | Alive
    | Renew
    | Renewed
    | Segments
    | Deletable
    | View
    | Lease
    | Delta
    | Applied
    | Report
    | Ack
    | Refusal
    | Command
    | Reply
    | Status
    | StatusReply
)

WorkerMessage = Hello | Ready | CaughtUp | Resign | Applied | Report | Segments | Want | Claim | AskAmounts | Renew
"""What a worker says for itself: each names it in `worker`, and a node may say it for the workers that its certificate names."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """One frame. Raises ProtocolError when it is larger than a message may be, or holds a number that none can carry."""
    try:
        body = _encoder.encode(message)
    except OverflowError as error:
        text = f"a message holds a number of more than 64 bits: {error}"
        raise ProtocolError(text) from error
    if len(body) > MESSAGE_BYTES_MAX:
        text = f"a message of {len(body)} bytes is above the limit of {MESSAGE_BYTES_MAX}"
        raise ProtocolError(text)
    return _LENGTH.pack(len(body)) + body


class FrameReader:
    """Turns received bytes into messages, in any number of pieces, none larger than `bytes_max`."""

    __slots__ = ("_buffer", "bytes_max")

    def __init__(self, bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self.bytes_max = bytes_max

    def feed(self, data: bytes) -> list[Message]:
        """The messages completed by `data`. Raises ProtocolError for bytes that are not messages."""
        buffer = self._buffer
        buffer += data
        messages: list[Message] = []
        offset = 0
        while len(buffer) - offset >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, offset)
            if length > self.bytes_max:
                text = f"a message of {length} bytes is above the limit of {self.bytes_max}"
                raise ProtocolError(text)
            end = offset + _LENGTH.size + length
            if len(buffer) < end:
                break
            try:
                messages.append(_decoder.decode(memoryview(buffer)[offset + _LENGTH.size : end]))
            except msgspec.MsgspecError as error:
                text = f"not a message of this protocol: {error}"
                raise ProtocolError(text) from error
            offset = end
        if offset:
            del buffer[:offset]
        return messages
