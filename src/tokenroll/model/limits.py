"""Every limit of the product, named, with its reason (DESIGN §4 law 11).

A limit that lives beside the code it guards is found by nobody; one file is read by everybody.
"""

from typing import Final

# --- money -------------------------------------------------------------------------------------------
AMOUNT_NANOS_MAX: Final = 10**18
"""One billion credits in one row: int64 holds nine times that, so the sum of two valid rows still fits."""
RATE_ATTOS_MAX: Final = 10**21
"""One thousand credits for one unit: dearer rates are typing errors (a price per million entered per token)."""
UNIT_COUNT_MAX: Final = 10**12
"""Units of one meter in one attempt: a trillion model tokens is a broken report, not a call."""
CHARGE_NANOS_MAX: Final = AMOUNT_NANOS_MAX
"""One attempt may not charge more than one row may hold."""

# --- dates -------------------------------------------------------------------------------------------
ENTERED_AT_MIN: Final = 946_684_800_000_000
"""2000-01-01T00:00:00Z: the earliest instant that anybody may enter; older ones are slips of the finger."""
ENTERED_AT_MAX: Final = 32_503_679_999_999_999
"""The end of the year 2999: the latest instant that anybody may enter, so that lifetimes and months after it still have a name."""

# --- names and sizes ---------------------------------------------------------------------------------
NAME_CHARACTERS_MAX: Final = 200
"""Names are shown in tables and papers; longer ones are pasted text."""
TAGS_MAX: Final = 16
"""Tags per call: enough for project, purpose, cost centre, session and outcome, small enough for a record."""
TAG_CHARACTERS_MAX: Final = 128
"""A tag is a label, not a document; prompts must not travel in it."""
SLICES_MAX: Final = 255
"""Slices of one hold: its count is one byte on the tape. A wallet with more live lots merges none, it refuses."""
LOTS_PER_GRANT_MAX: Final = 600
"""Fifty years of monthly vesting."""
PLANS_PER_FILE_MAX: Final = 500
"""Plans of one file: more is a list of people, not of plans. One file is applied as one transaction and one message."""
PLAN_FILE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Far above the largest reviewed file, far below what would hurt to read."""
AWARDS_PER_FILE_MAX: Final = 5_000
"""Awards of one file: granted in one transaction."""
AWARD_LOTS_MAX: Final = 100_000
"""Tranches of one file together: the workers are told of all in one message, which stays below half of its limit."""
AWARD_ID_CHARACTERS_MAX: Final = 200
"""An id of another system: a number, a name or an address."""
PAY_DAYS_AFTER_MAX: Final = 62
"""A cycle is paid two months after its end at the latest; more is a slip of the finger."""
PAY_DAY_MOVES_MAX: Final = 31
"""Days looked at for a working day: no country rests for a month."""
OFF_CYCLE_WALLETS_MAX: Final = 1_000
"""Wallets of one off-cycle run: leavers of a day, not a company; that is what the cycle's own run is for."""
CUSTOM_CYCLES_MAX: Final = 600
"""Fifty years of months in one list of pay cycles; a longer list is made by a rule."""
PROBLEMS_SHOWN_MAX: Final = 50
"""Mistakes of a file told at once: more are not read, they are mended and asked about again."""
TRIAL_ROWS_MAX: Final = 2_000_000
"""Calls of a log under which a plan is tried: a month of a large company, held in memory."""
VESTING_WEIGHT_MAX: Final = 1_000_000_000
"""Parts of one dated share: fine enough for a share given to the nano of a percent."""

# --- calls -------------------------------------------------------------------------------------------
BODY_BYTES_MAX: Final = 32 * 1024 * 1024
"""Largest request body: a million-token context is about 6 MB of JSON; providers refuse above 32 MB."""
HEADER_BYTES_MAX: Final = 64 * 1024
"""Largest request or response head: clients send about 1 kB; SDKs never near this."""
TARGET_BYTES_MAX: Final = 8 * 1024
"""Largest request target."""
CHUNK_LINE_BYTES_MAX: Final = 256
"""Largest line that names a chunk's size: sixteen hexadecimal digits and an extension nobody sends."""
BODY_CHUNKS_MAX: Final = 65_536
"""Chunks of one request body: 32 MB in pieces of 512 bytes. Clients send 1 to 64 kB at once; crumbs only cost us time."""
TRAILER_BYTES_MAX: Final = 8 * 1024
"""Largest trailer section of a chunked body; trailers are read over, never used."""
PIPELINED_BYTES_MAX: Final = 64 * 1024
"""What a client may send ahead while its call is under way; beyond it we stop reading until the answer is out."""
BODIES_BYTES_MAX: Final = 1024 * 1024 * 1024
"""Request bodies of one worker that are being received or sent: many large uploads at once are answered 503, not swapped."""
RELAY_BUFFER_BYTES_MAX: Final = 256 * 1024
"""What one connection may hold unsent before the other side is no longer read (back-pressure)."""
OUTBOX_BYTES_MAX: Final = 64 * 1024
"""What one turn of the loop gathers before it is sent: more would be read from providers for a client of whom we do not know yet that it does not read."""
DECODED_BYTES_MAX: Final = 64 * 1024 * 1024
"""How much of a compressed answer is decoded for metering: a small body that grows beyond this is not an answer."""
LINGER_BYTES_MAX: Final = 1024 * 1024
"""What is still read and dropped after a refusal, so that closing does not destroy the refusal on its way."""
CONNECTIONS_MAX: Final = 16_384
"""Client connections of one worker: more are answered 503 at once and closed."""
UPSTREAM_CONNECTIONS_MAX: Final = 8_192
"""Provider connections of one worker."""
CALL_AGE_SECONDS_MAX: Final = 3_600
"""A call is ended by its worker after an hour: SDKs give up after 600 s, batches do not come this way."""
HEAD_SECONDS_MAX: Final = 20
"""Time for a client to send its head: slow senders are cut."""
BODY_SECONDS_MAX: Final = 120
"""Time for a client to send its body, renewed by nothing: 32 MB in two minutes is 2 Mbit/s."""
IDLE_SECONDS_MAX: Final = 120
"""Keep-alive time of an idle client connection."""
LINGER_SECONDS_MAX: Final = 2
"""How long a refused client may take to read its refusal before the connection is closed on it."""
CLIENT_STALL_SECONDS_MAX: Final = 120
"""A client that takes not one byte of its answer for this long counts as gone."""
CONNECT_SECONDS_MAX: Final = 10
"""Time to reach a provider: a connection and its TLS handshake."""
FIRST_BYTE_SECONDS_MAX: Final = 900
"""Time for a provider's first byte: long reasoning without streaming takes minutes, SDKs give up after ten."""
UPSTREAM_IDLE_SECONDS_MAX: Final = 300
"""Time between two bytes of an answer: providers send pings every few seconds."""
POOLED_IDLE_SECONDS_MAX: Final = 50
"""How long an unused provider connection is kept: below the 60 s after which common front ends close it on their side."""
WAITING_CALLS_MAX: Final = 64
"""Calls of one wallet that may wait for its parallel calls to settle; more are denied at once."""
EVIDENCE_BYTES: Final = 256 * 1024
"""Evidence is written again after so many relayed bytes: what a crash can make us forget of a stream."""
EVIDENCE_SECONDS: Final = 5
"""Evidence is written again after so long, for the same reason."""
DRAIN_SECONDS_MAX: Final = 300
"""How long an answer is read on after its client left, to learn the true usage (law 5)."""
DRAIN_BYTES_MAX: Final = 64 * 1024 * 1024
"""How much of it is read."""
BUFFERED_RESPONSE_BYTES_MAX: Final = 1024 * 1024
"""Non-streamed answers up to this size are buffered so that `x-tokenroll-cost` can be in the head."""
OUTPUT_CAP_DEFAULT_TOKENS: Final = 16_384
"""Output cap injected when client and plan name none (DESIGN §6)."""
OUTPUT_CAP_FLOOR_TOKENS: Final = 256
"""No injected cap below this: a shorter answer is useless and is refused instead."""
OUTPUT_CAP_TOKENS_MAX: Final = 10_000_000
"""Largest output cap a client may name: ten times the largest context window of today; more is a slip of the finger."""
CHOICES_MAX: Final = 128
"""Largest `n`: the providers' own limit."""
SERVER_TOOL_USES_MAX: Final = 100
"""Uses of provider-side tools one call may allow: each may read a whole context again."""
METER_EVENT_BYTES_MAX: Final = 1024 * 1024
"""Bytes of one event of a stream that a meter keeps; of a longer one it keeps the end, where usage stands."""
METER_BODY_BYTES_MAX: Final = 4 * 1024 * 1024
"""Bytes of a whole answer that a meter keeps; of a longer one it keeps the end."""
METER_TAIL_BYTES: Final = 64 * 1024
"""How much of the end is kept then: usage objects are under 1 kB."""
CALLS_REMEMBERED_MAX: Final = 16_384
"""Calls that a worker remembers whole for `GET /me/calls`; the ledger knows all of them."""
CLIENT_CALL_IDS_REMEMBERED_MAX: Final = 131_072
"""Clients' own call ids that a worker refuses to send again, about 30 MB; the ledger names the last ones when a worker starts."""
BEARERS_REMEMBERED_MAX: Final = 65_536
"""Raw bearer tokens that a worker remembers to spare their hashing."""
NAMES_REMEMBERED_MAX: Final = 65_536
"""Texts (models, deployments, tags) that a worker gives a lasting number on its tape; later ones are written each time."""
WAIT_SECONDS_MAX: Final = 5
"""How long a call may wait for parallel calls of its wallet to settle before it is denied."""

# --- bounds (reference: ANSWERS, money and bounds) ------------------------------------------------------
OVERHEAD_TOKENS_PER_MESSAGE: Final = 16
OVERHEAD_TOKENS_PER_REQUEST_WITH_TOOLS: Final = 512
OVERHEAD_TOKENS_PER_TOOL: Final = 32
"""Overheads are added to the input bound until a provider's own figures are proven smaller."""

# --- suspense, tape, ledger ----------------------------------------------------------------------------
SUSPENSE_SECONDS_MAX: Final = 72 * 3_600
"""Law 4: after this the evidence decides and the rest returns to the wallet."""
TAPE_SEGMENT_BYTES_MAX: Final = 64 * 1024 * 1024
"""A segment is the unit of digest and deletion."""
TAPE_BLOCK_BYTES_MAX: Final = 4 * 1024 * 1024
"""One write of the tape; a reader never allocates more for one block."""
FOLD_RECORDS_MAX: Final = 65_536
"""Attempts folded in one transaction: larger batches save nothing more and make a crash's repeat longer."""
MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024
"""One message of the ledger protocol."""
IDEMPOTENCY_KEY_CHARACTERS_MAX: Final = 128
"""A client's own call or command id."""
