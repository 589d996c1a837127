"""Every limit of the product, named, with its reason (DESIGN §4 law 11).

A limit that lives beside the code it guards is found by nobody; one file is read by everybody.
"""

from datetime import date
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
ENTERED_DATE_MAX: Final = date(2999, 12, 31)
"""The day of ENTERED_AT_MAX. HR's 9999-12-31 means "open": such an end is left out."""

ABSENCE_DAYS_MAX: Final = 1_830
"""Five years away: longer is leaving."""

REFILL_COOL_OFF_SECONDS_MAX: Final = 31 * 86_400
"""A month between two refills: less often is a stipend."""
APPROVERS_TOLD_MAX: Final = 4
"""Approvers whom a denial names: more is a list, which `tokenroll approver list` shows."""
REQUEST_DAYS_DEFAULT: Final = 7
REQUEST_DAYS_MAX: Final = 90
"""How long a request for a top-up stays open: after that, what it was for is over."""

# --- names and sizes ---------------------------------------------------------------------------------
NAME_CHARACTERS_MAX: Final = 200
"""Names are shown in tables and papers; longer ones are pasted text."""
USER_CHARACTERS_MAX: Final = 1_024
"""What a client says whose request it is: agents put JSON with several ids there."""
REASON_CHARACTERS_MAX: Final = 500
"""A reason is a sentence or two for whoever approves."""
TAGS_MAX: Final = 16
"""Tags per call: enough for project, purpose, cost centre, session and outcome, small enough for a record."""
TAG_CHARACTERS_MAX: Final = 128
"""A tag is a label, not a document; prompts must not travel in it."""
TAGS_BYTES_MAX: Final = 1_024
"""All tags of a call are one name on the tape, and a name there has so many bytes at most."""
KEY_MODELS_MAX: Final = 100
"""Models that a key is for: a longer list is a plan's access."""
KEY_SECRET_CHARACTERS_MIN: Final = 16
"""Characters that are no blanks in a secret that somebody brings along: it is all that keeps others from a wallet, and whoever
can guess it spends. Sixteen random ones are out of reach; keys that were registered shorter go on working."""
KEY_OVERLAP_SECONDS_MAX: Final = 30 * 86_400
"""How long a replaced secret may go on working: a month finds every place that has it; longer is no rotation."""
KEYS_USED_TOLD_MAX: Final = 10_000
"""Keys of one message about their use: the ledger notes as many in a few milliseconds, and the rest come a moment later."""
KEY_FORMER_SECRETS_MAX: Final = 4
"""Replaced secrets of one key that still work at a time."""
SLICES_MAX: Final = 255
"""Slices of one hold: its count is one byte on the tape. A wallet with more live lots merges none, it refuses."""
LOTS_PER_GRANT_MAX: Final = 600
"""Fifty years of monthly vesting."""
PLANS_PER_FILE_MAX: Final = 500
"""Plans of one file: more is a list of people, not of plans. One file is applied as one transaction and one message."""
PLAN_FILE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Far above the largest reviewed file, far below what would hurt to read."""
SHEET_ROWS_MAX: Final = 10_000
"""Rows of a workbook's sheet: twenty times the plans of one file, and a table that fits into memory."""
SHEET_COLUMNS_MAX: Final = 256
"""Columns of a workbook's sheet: four times the fields of a plan."""
SHEET_UNPACKED_BYTES_MAX: Final = 64 * 1024 * 1024
"""A workbook is a packed archive; sixteen times the largest file is far above what rows of text unpack to."""
AWARDS_PER_FILE_MAX: Final = 5_000
"""Awards of one file: granted in one transaction."""
AWARD_LOTS_MAX: Final = 100_000
"""Tranches of one file together: the workers are told of all in one message, which stays below half of its limit."""
OPENINGS_PER_FILE_MAX: Final = 5_000
"""Opening values of one file: booked in one transaction, and told to the workers in one message."""
ROW_ID_CHARACTERS_MAX: Final = 200
"""An id of another system: a number, a name or an address."""
RECLASSIFIED_WALLETS_SHOWN_MAX: Final = 1_000
"""Wallets named in the effect of a reclassification, those with most first; the sums are over all."""
NAMES_TOLD_MAX: Final = 20
"""Names that a refusal lists as what there is: more are looked up in their own listing."""
PROPOSAL_DAYS_MAX: Final = 30
"""How long a batch of awards may wait for its approval: longer, and plans, people and months are others."""
NOTE_CHARACTERS_MAX: Final = 300
"""A note or a reason: a sentence, not a document."""
ROW_FILE_BYTES_MAX: Final = 8 * 1024 * 1024
"""A spreadsheet of the largest number of rows with every cell filled; it is sent to the ledger in one message of at most twice that."""
MEMBERS_PER_FILE_MAX: Final = 10_000
"""Members of one file: imported in one transaction, in a few seconds in which nothing else is folded."""
SCIM_BODY_BYTES_MAX: Final = 4 * 1024 * 1024
"""One request of an identity provider: a group that names every member of the largest file is about 1 MB."""
SCIM_PAGE_MAX: Final = 200
"""Resources of one page: providers ask for 100 or 200 and go on from there."""
SCIM_FILTER_CHARACTERS_MAX: Final = 4_096
"""Providers filter by one name or id; longer filters are no questions."""
SCIM_FILTER_DEPTH_MAX: Final = 32
"""Parentheses and brackets within each other."""
SCIM_OPERATIONS_MAX: Final = 1_000
"""Operations of one PATCH: providers send a few, at most a hundred."""
SCIM_VALUES_MAX: Final = 20
"""Addresses of one person."""
ABSENT_PERCENT_MAX: Final = 20
"""Members that may be suspended or leave because a file does not name them, of all that could: more is a file that was cut."""
ABSENT_COUNT_MIN: Final = 5
"""So many may always leave: a fifth of a small firm is one person."""
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
NAMES_PER_TERM_MAX: Final = 200
"""Departments, levels, places or models that one plan names: a longer list belongs into the tree of departments or into access groups."""
FORMULA_PERCENT_NANOS_MAX: Final = 1_000 * 10**9
"""Ten times the base pay: more is a factor entered as a percent."""
SCORE_NANOS_MAX: Final = 100 * 10**9
"""A hundredfold outcome: more is a percent entered as a score."""
CLAWBACK_MONTHS_MAX: Final = 60
"""Five years: repayment clauses run one to two, and where law bounds them, two (reference: books, §6)."""
CLAWBACK_MONTHS_USUAL_MAX: Final = 24
"""Two years: beyond it a plan is told to be reviewed, because some laws end repayment there."""
LEAVING_WINDOW_DAYS_MAX: Final = 3_660
"""Ten years, the longest that option plans give; for ever is none."""
RATE_PER_MINUTE_MAX: Final = 1_000_000_000
"""Calls or model tokens a minute: above every provider's own limit."""
RATE_PER_DAY_MAX: Final = 1_440 * RATE_PER_MINUTE_MAX
"""As many a day as that makes."""
WORDING_CHARACTERS_MAX: Final = 300
"""A title or a sentence, as it fits on a page and on a paper."""
VESTING_WEIGHT_MAX: Final = 1_000_000_000
"""Parts of one dated share: fine enough for a share given to the nano of a percent."""

# --- calls -------------------------------------------------------------------------------------------
BODY_BYTES_MAX: Final = 32 * 1024 * 1024
"""Largest request body: a million-token context is about 6 MB of JSON; providers refuse above 32 MB."""
HEADER_BYTES_MAX: Final = 64 * 1024
"""Largest request or response head: clients send about 1 kB; SDKs never near this."""
HEADER_LINES_MAX: Final = 500
"""Lines of a request head: clients send about 20, and other servers on the way refuse more than 1,000."""
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
GZIP_MEMBERS_MAX: Final = 256
"""Parts that a gzip body may be put together from: writers of such bodies cut at 64 KiB, and each costs a decoder of its own."""
ABOVE_HOLD_LINES_MAX: Final = 1_000
"""Settlements above their hold that a worker logs one by one: a bound that is wrong is wrong for every call of its kind, and a counter goes on."""
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
DEPLOYMENTS_MAX: Final = 64
"""Deployments of one gateway: a table that people read, and each keeps connections."""
DEPLOYMENT_WEIGHT_MAX: Final = 100
"""Largest weight of a deployment: shares finer than a hundredth cannot be told apart by anybody's bill."""
DEPLOYMENT_PRIORITY_MAX: Final = 100
"""Largest priority of a deployment; the smallest number is tried first."""
ATTEMPTS_MAX: Final = 3
"""Deployments that one call is sent to before its last answer is the client's: each may take its whole time."""
RETRY_SECONDS_MAX: Final = 60
"""No further attempt begins after so long: whoever waited a minute gets the answer that there is."""
CIRCUIT_FAILURES_MAX: Final = 5
"""Failures in a row after which a deployment is passed over; more than good answers, when they come in turn."""
CIRCUIT_OPEN_SECONDS: Final = 10
"""How long it is passed over at first; each failed try doubles it."""
CIRCUIT_OPEN_SECONDS_MAX: Final = 300
"""How long at most: a provider that is back is used again within five minutes."""
CIRCUIT_PROBE_SECONDS: Final = 5
"""How long others wait for the one call that tries it: a call that is denied or leaves tells nothing."""
REST_SECONDS_MAX: Final = 3_600
"""How long a provider's own word (`retry-after`, a rate limit's reset) is believed before it is tried again."""
TOKEN_COMMAND_SECONDS_MAX: Final = 30
"""How long a command that fetches a provider's token may take; calls never wait for it, the door does at the start."""
TOKEN_RETRY_SECONDS: Final = 30
"""How long after one that failed it is run again."""
TOKEN_SECONDS_DEFAULT: Final = 3_600
"""How long a token lives where nothing else is said: an hour, as clouds give them."""
TOKEN_BYTES_MAX: Final = 16 * 1024
"""Longest token: a header of a provider's takes no more."""
WORKERS_MAX: Final = 16
"""Gateway processes of one `tokenroll serve`: each is busy with one core."""
LEASE_CALLS: Final = 10
"""A worker is lent money for so many of its dearest calls of late: larger leases save few trips and strand more (reference: 10 or 50 alike)."""
LEASE_CALLS_MAX: Final = 10_240
"""For so many at most: a wallet that uses up what it was lent in less than `LEASE_LASTS_MICROS` is lent twice as much the next time."""
LEASE_LASTS_MICROS: Final = 1_000_000
LEASE_RENEWED_SHARE: Final = 4
"""It asks for more when a quarter of what it was lent last is left, so that calls need not wait for it."""
LEASE_IDLE_SECONDS: Final = 30
"""What a worker did not use for so long goes back."""
LEASE_ASKED_AGAIN_MILLIS: Final = 50
"""How soon calls that wait for what calls of other workers hold have it asked for again: those of one wallet together."""
AMOUNTS_ASKED_MAX: Final = 256
"""Owners who ask one of several workers at once what is left: each is some 2 ms of the ledger."""
AMOUNTS_SECONDS_MAX: Final = 2
"""How long they wait for the ledger before they are told that it does not answer."""
LEASE_ANSWER_SECONDS_MAX: Final = 1
"""How long the ledger waits for another worker to return what it does not use before it says that it is not there."""
UNTOLD_TAPE_SECONDS_MAX: Final = 60
"""How long a ledger that is an older copy lends nothing while a tape beside it is not told (decision 0148)."""
NODE_LEASE_SECONDS: Final = 30
"""How long a node's lease counts without a word of the ledger: calls outlive a restart of it, and few are lent to who is gone for longer."""
NODE_LEASE_SECONDS_MIN: Final = 3
NODE_LEASE_SECONDS_MAX: Final = 3_600
"""Below it a slow moment would end a lease; above it money of a dead node is gone for an hour."""
NODE_ALLOW_CREDITS_MAX: Final = 1_000_000
"""What a company carries at most of a node's calls while that is cut off: above it, it is no policy but a slip."""
NODE_LEASE_MARGIN_SHARE: Final = 6
"""So much of it the node stops before its end, and the ledger waits beyond: no pause of a process may close that gap."""
WAITING_CALLS_MAX: Final = 64
"""Calls of one wallet that may wait, at each worker, for its parallel calls to settle; more are denied at once.

Those that wait for the ledger's word alone are as many as there are connections: it is a moment, and a burst that it can pay is let in.
"""
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
PASSES_MAX: Final = 256
"""Runs of models inside one answer that are priced each by itself: above twice the tool uses a call may allow, and they fit one record."""
SERVER_TOOL_USES_MAX: Final = 100
"""Uses of provider-side tools one call may allow: each may read a whole context again."""
SEARCHES_DEFAULT: Final = 8
"""How often a call may search whose client names no limit, where its wallet affords it: what a thorough answer takes; each may read a whole context again."""
SEARCHES_SHARE: Final = 8
"""Which part of what is left such searches may take at most: half of what one call takes without a cap, so that its answer has as much."""
MEDIA_TOKENS_ESTIMATE: Final = 1_600
"""What an image, a file or a sound usually costs in input, for evidence of answers whose usage never came; the bound is the context window."""
METER_EVENT_BYTES_MAX: Final = 1024 * 1024
"""Bytes of one event of a stream that a meter keeps; of a longer one it keeps the end, where usage stands, and the very beginning."""
METER_BEGINNING_BYTES: Final = 4 * 1024
"""How much of the beginning of such an event is kept: which event it is, and the id under which its answer is stored."""
CLOSING_NAMES_MAX: Final = 32
"""How many places in the end of a long answer are tried for a field of its own: what a client sent may hold the same name."""
METER_BODY_BYTES_MAX: Final = 4 * 1024 * 1024
"""Bytes of a whole answer that a meter keeps; of a longer one it keeps the end."""
METER_TAIL_BYTES: Final = 64 * 1024
"""How much of the end is kept then: usage objects are under 1 kB."""
FRAME_BYTES_MAX: Final = 4 * 1024 * 1024
"""One frame of a binary event stream, which is kept until it is whole: the longest events, what a search found, are some hundred kB."""
FRAME_HEADERS_BYTES_MAX: Final = 128 * 1024
"""Headers of such a frame: what the format itself allows; real ones are about 100 bytes."""
RERANK_DOCUMENTS_MAX: Final = 10_000
"""Documents of one call for ranks: ten times what providers take."""
RERANK_DOCUMENTS_PER_UNIT: Final = 100
"""A search unit is one query with up to so many documents."""
RERANK_PART_BYTES: Final = 250
"""A document of more than 500 tokens is ranked in parts, the query within each: no part is shorter than this, so no bound is too low."""
FORM_PARTS_MAX: Final = 256
"""Fields and files of one form: seventeen pictures and every option there is are fifty."""
FORM_PART_HEAD_BYTES_MAX: Final = 2 * 1024
"""The head of one part: a name, a file name and a type."""
FORM_NAME_LEVELS_MAX: Final = 4
"""Brackets of a form's name, as in `svg[reasoning][effort]`: the deepest that clients send has two."""
FORM_FIELD_BYTES_MAX: Final = 1024 * 1024
"""One field that is no file: a prompt of 32,000 characters is 128 kB."""
PICTURES_OUT_MAX: Final = 10
"""Largest `n` of pictures: the providers' own limit."""
PICTURES_IN_MAX: Final = 17
"""Pictures that a call goes by: sixteen and a mask or a markup, the providers' own limit."""
PARTIAL_PICTURES_MAX: Final = 3
PARTIAL_PICTURE_TOKENS: Final = 100
"""A picture may be streamed in up to so many unfinished states, each of so many output tokens more."""
PICTURE_INPUT_TOKENS_MAX: Final = 8_192
"""The most input tokens of one picture that is read: 6,144 for its details and 129 for each tile are published, and fewer than this."""
SPEECH_TOKENS_PER_BYTE: Final = 16
"""The most output tokens of a spoken byte: three quarters of a second, five times slower than people speak."""
SPEECH_TOKENS_MIN: Final = 512
"""Added to that, for pauses before and behind a short text."""
AUDIO_BYTES_PER_SECOND: Final = 16_000
"""For estimates alone: a second of compressed sound at the usual 128 kbit/s."""
PCM_BYTES_PER_SECOND: Final = 48_000
"""For estimates alone, as the next two: a second of a voice without a head, of 24,000 samples of 16 bits, as the provider documents it."""
FLAC_BYTES_PER_SECOND: Final = 24_000
"""The same, compressed without loss: about the half."""
OPUS_BYTES_PER_SECOND: Final = 8_000
"""One voice at 64 kbit/s, which encoders take unless told."""
AUDIO_BYTES_PER_SECOND_MIN: Final = 500
"""No codec of the formats that are taken is made for fewer than 4 kbit/s, so this bounds how long a compressed file lasts."""
AUDIO_SECONDS_OF_TOKENS_MAX: Final = 1_500
"""Models that count sound in tokens take recordings of 25 minutes at most: the provider's own limit."""
KNOWN_SPEAKERS_MAX: Final = 4
KNOWN_SPEAKER_SECONDS_MAX: Final = 10
"""A transcript may be asked for with samples of so many voices, of so many seconds each: the provider's own limits."""
AUDIO_TOKENS_PER_SECOND: Final = 21
"""For bounds and estimates: what a second of sound is in model tokens, by the per-minute figures that providers publish beside token prices."""
STREAMED_SOUND_BYTES_PER_TOKEN: Final = 3_200
"""For estimates alone: what a token of an answer in sound weighs in a stream, a twentieth of a second of 24,000 samples of 16 bits, in base64."""
CALLS_REMEMBERED_MAX: Final = 16_384
"""Calls that a worker remembers whole for `GET /me/calls`; the ledger knows all of them."""
CLIENT_CALL_IDS_REMEMBERED_MAX: Final = 131_072
"""Clients' own call ids that a worker refuses to send again, about 30 MB; the ledger names the last ones when a worker starts."""
BEARERS_REMEMBERED_MAX: Final = 1 << 20
"""Raw bearer tokens that a worker remembers to spare their hashing: those of a million active members, for who forgets one of each call finds
one for each call, which costs as much as the call."""
NAMES_REMEMBERED_MAX: Final = 65_536
"""Texts (models, deployments, tags) that a worker gives a lasting number on its tape; later ones are written each time."""
CLIENT_CHECK_SECONDS_MAX: Final = 120
"""How long `tokenroll doctor` waits for each byte: a greeting is answered in seconds, a slow model thinks for a minute."""
CLIENT_CHECK_ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
"""How much of an answer it reads: a greeting has a few kilobytes."""
WAIT_SECONDS_MAX: Final = 5
"""How long a call may wait for parallel calls of its wallet to settle, and for a pace, before it is denied."""

# --- limits ----------------------------------------------------------------------------------------------
LIMIT_CAP_MAX: Final = AMOUNT_NANOS_MAX
"""The largest cap of a limit, whatever it counts: a counter is one row, as an amount is."""
LIMIT_WINDOW_SECONDS_MIN: Final = 60
"""Shortest rolling window: its sixty parts then last a second each, and an answer takes longer than less."""
LIMIT_WINDOW_SECONDS_MAX: Final = 366 * 86_400
"""Longest rolling window: a year."""
LIMIT_WINDOW_PARTS: Final = 60
"""Counters of one rolling window: what is spent comes back up to a sixtieth of the window late, and never early."""
LIMIT_COUNTERS_KEPT_SECONDS: Final = 31 * 86_400
"""Parts of a rolling window are kept so long after they have left: ten times as long as a call may be under inquiry."""
LIMITS_PER_SCOPE_MAX: Final = 16
"""Limits on one company, department, member, key, model or tag: every one of them is looked at for each of its calls."""
LIMITS_MAX: Final = 10_000
"""Limits that hold at a time: a worker hears of all of them at its start."""
LIMIT_OVERRIDES_MAX: Final = 64
"""Overrides of one limit that are not over: they travel with it."""
LIMIT_WAIT_SECONDS: Final = 2
"""How long a call is held back by default until a pace has room for it: shorter than any client's own first pause is worth."""
SHARE_WHOLE: Final = 10**18
"""A worker's share of a limit is told in so many parts of the cap."""
SHARE_SLACK: Final = 100
"""So many parts are nothing: shares are rounded up, each by less than one, and the last worker must not be denied what that adds up to."""
SHARE_ROUNDED_CAP_MAX: Final = 10**14
"""Below this cap all the slack of a hundred workers is less than the least that a limit counts."""
LIMIT_RETRY_SECONDS_MAX: Final = 120
"""A client is told to try again when its limit has room within this time, which is as long as the official ones wait by themselves."""

# --- usage reports -----------------------------------------------------------------------------------------
REPORT_RESULTS_MAX: Final = 10_000
"""Rows of one page of a usage or cost report, some 5 MB; a bucket with more goes on with the next page."""
REPORT_TAIL_SETTLEMENTS_MAX: Final = 20_000
"""Ended calls that a report adds itself because they are not summed yet, half a second's work; beyond it a report is that much behind."""
REPORT_ROWS_MAX: Final = 200_000
"""Rows of a provider's reports that are compared with the ledger at a time, some 200 MB: a year of ten models and fifty keys."""
TRUE_UPS_MAX: Final = 5_000
"""True-ups of one command: a few megabytes of what the report tells of them, and a second in which the ledger does nothing else."""
REPORTS_AT_ONCE_MAX: Final = 8
"""Reports that one worker asks the pages' process for at a time."""
REPORT_BYTES_MAX: Final = 16 * 1024 * 1024
"""One report as a worker passes it on."""
REPORT_SECONDS_MAX: Final = 30
"""How long a worker waits for one."""

# --- usage lake --------------------------------------------------------------------------------------------
LAKE_APPEND_ROWS_MAX: Final = 1_000_000
"""Events of one append: about half a gigabyte until they are written; who has more appends slices, each with its own mark."""
LAKE_SLICE_SETTLEMENTS: Final = 20_000
"""Settlements that the lake takes in at a time: some 40 MB, and what a crash has to repeat at most."""
LAKE_ROW_GROUP_ROWS: Final = 122_880
"""Rows of one row group of its files: DuckDB works on one such group in each thread."""
LAKE_MEMORY_BYTES: Final = 256 * 1024 * 1024
"""What the engine under the lake may take before it goes to disk: a question of 20 million rows stays within half a gigabyte with all else."""
LAKE_THREADS_MAX: Final = 8
"""Threads of one question: each takes memory of its own, and a ledger may be working on the same machine."""
LAKE_DAY_FILES_MAX: Final = 16
"""Files of one day that a question reads as they are; of more it has them merged first, since each costs as much as thousands of rows."""
METER_DECIDED_CALLS_MAX: Final = 500_000
"""Calls that decisions about broken meters name, some 20 MB of identities: a meter that is wrong more often is mended, and its calls imported anew."""
METER_REASON_CHARACTERS_MAX: Final = 1_000
"""Of the reason that a decision gives: a few sentences, and no place for documents."""
USAGE_MARK_CHARACTERS_MAX: Final = 4_096
"""How far a source is taken in, in its importer's own words: a cursor, a date, a list of offsets is longer only by mistake."""
LAKE_MARKS_FOLDED_AT: Final = 1_000
"""Marks of imported files in the lake's manifest, some 100 kB, above which they are folded into a file of their own."""
LAKE_MARKS_MAX: Final = 10_000
"""The most of them where folding is work, a megabyte in a manifest that each append writes."""
LAKE_OVERLAPS_HELD_MAX: Final = 500_000
"""The gateway's calls that an import compares with and holds in memory, some 150 MB; those of other days lie beside the lake."""
LAKE_HISTORY_MAX: Final = 1_000
"""Withdrawals of usage that the lake's manifest tells of: each is one person's word, and the manifest is written often."""
USAGE_ANSWER_ROWS_MAX: Final = 2_000_000
"""Rows of one answer: a year of days of 5,000 people. Whoever wants more asks by month, or reads the files."""
USAGE_SHOWN_ROWS_MAX: Final = 1_000
"""Rows of an answer that are printed as a table; the others are counted, and a file holds them all."""
USAGE_CONDITIONS_MAX: Final = 1_000
"""Conditions of one question: a team of a thousand is asked for by its members' names."""
LAKE_ANSWER_SECONDS_MAX: Final = 20
"""How long a page or a program waits for an answer from the lake: people leave before, and gateways wait 30 seconds at most."""
PICTURE_SECONDS_MAX: Final = 15
"""How long a page waits for one picture: drawing takes a tenth of a second, the first one some; words and tables stand without it."""
LAKE_ANSWER_MEMORY_BYTES: Final = 2 * 1024 * 1024 * 1024
"""What whoever answers pages and programs may have: the engine's own limit, the arrays of a forecast of thousands, and V8, which draws."""
LAKE_ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
"""One answer as it goes to a page or a program."""
LAKE_ANSWERS_BYTES_MAX: Final = 32 * 1024 * 1024
"""Answers that are kept for whoever asks the same next: a hundred pages with their pictures."""
LAKE_FRESH_SECONDS: Final = 60
"""So old an answer may be before the ledger is asked for what it settled since: pages say of when they are."""
LAKE_WAITING_MAX: Final = 8
"""Questions that wait for the lake at once: the pages' process has 40 threads, and the others stay free for wallets."""
USAGE_TOLD_ROWS_MAX: Final = 10_000
"""Rows of an answer to a program over HTTP: some 3 MB; who wants more asks by month, or the command line, which writes files."""
TEAM_SHOWN_MAX: Final = 200
"""Members of a team whose wallets are listed on its page, those first that are likeliest to run dry; sums are of all."""
PICTURE_DAYS_MAX: Final = 92
"""Days of a team's mix and hours: a quarter, before which people worked otherwise."""
FINANCE_MONTHS: Final = 12
"""Months in finance's picture of spend: a year, this one last."""
FORECAST_PAST_DAYS_MAX: Final = 400
"""Days that a forecast looks back: a year and what is needed to see it come again; older ones have no weight left."""
FORECAST_PAST_HOURS_MAX: Final = 60 * 24
"""Hours that one by the hour looks back: eight weeks, of which the last weighs nothing any more."""
FORECAST_DAYS_AHEAD_MAX: Final = 366
"""Days ahead: nobody's usage of a year from now is known any better."""
FORECAST_HOURS_AHEAD_MAX: Final = 14 * 24
"""Hours ahead: beyond two weeks an hour is like any other of its weekday, and days say the same."""
FORECAST_SHOWN_ROWS_MAX: Final = 1_000
"""Rows of a forecast that are printed, the largest; `--json` has them all."""
INFRASTRUCTURE_FILE_BYTES_MAX: Final = 64 * 1024 * 1024
"""A file of seats or GPU jobs: a month of half a million jobs; it is read whole."""
GPU_HOURS_MAX: Final = 10**9
"""GPU hours of one line: a hundred thousand GPUs for a year; more is a counter that is broken."""
GPUS_MAX: Final = 1_000_000
"""GPUs that somebody owns: more is a slip of the keyboard."""
RUNWAY_PAST_DAYS_MAX: Final = 180
"""Days of spending that a wallet's runway draws from: who worked otherwise half a year ago works otherwise by now."""
RETENTION_DAYS_MAX: Final = 36_500
"""A hundred years: whoever means longer sets no retention."""

# --- alerts ----------------------------------------------------------------------------------------------
ALERT_THRESHOLDS_MAX: Final = 10
"""Thresholds of one home: more are noise."""
ALERT_DESTINATIONS_MAX: Final = 16
"""Destinations of one home: whoever needs more has something that forwards."""
ALERT_CHANGES_MAX: Final = 20
"""Thresholds noted in one transaction, some 30 ms; the next ones follow a moment later."""
ALERT_SECONDS: Final = 5
"""How often thresholds are looked at: what is told by mail need not be sooner."""
MESSAGE_SECONDS_MAX: Final = 15
"""How long one delivery may take: as long as receivers of webhooks are asked to answer in."""
MESSAGE_ATTEMPTS_MAX: Final = 12
"""Deliveries of one message before it is given up: with the pauses below some nine hours."""
MESSAGE_RETRY_SECONDS_MIN: Final = 10
MESSAGE_RETRY_SECONDS_MAX: Final = 3_600
"""Pauses between them double from the first to the second."""
MESSAGES_PER_ROUND_MAX: Final = 50
"""Messages taken for delivery at a time."""

# --- bounds (reference: ANSWERS, money and bounds) ------------------------------------------------------
OVERHEAD_TOKENS_PER_MESSAGE: Final = 16
OVERHEAD_TOKENS_PER_REQUEST_WITH_TOOLS: Final = 512
OVERHEAD_TOKENS_PER_TOOL: Final = 32
"""Overheads are added to the input bound until a provider's own figures are proven smaller."""

# --- thrift ------------------------------------------------------------------------------------------------
LOOP_REQUESTS_MIN: Final = 3
"""Equal requests in a row before a loop may be broken: two are a retry by hand."""
LOOP_REQUESTS_MAX: Final = 100
"""A higher threshold would break nothing before its wallet is empty."""
LOOP_CYCLE_TURNS_MAX: Final = 3
"""Turns of a cycle that is looked for in an agent's work; longer ones are seldom exact."""
LOOP_PAUSE_SECONDS: Final = 60
"""Whoever pauses for so long does not loop: polling once a minute is nobody's trouble."""
LOOP_AGENTS_REMEMBERED_MAX: Final = 4_096
"""Agents whose last request a worker remembers: some 200 bytes each; the longest silent one is forgotten first."""
FOLLOWERS_MAX: Final = 256
"""Calls that wait for the answer of one: they are written to in one turn of the loop. More are sent by themselves."""

PROMPT_CACHE_SECONDS: Final = 300
"""How long a provider keeps what was written to its cache, from its last use; the life of an hour is never asked for."""
PROMPT_CACHE_MARKS_MAX: Final = 4
"""Marks of one request: more are refused by the provider."""
THRIFT_BODY_BYTES_MAX: Final = 4 * 1024 * 1024
"""A larger request is sent as it is: to hash it would hold up other calls for milliseconds."""
BEGINNINGS_PER_PROMPT_MAX: Final = 512
"""Beginnings of one prompt that are looked at, the longest ones and those of tools and system."""
BEGINNINGS_REMEMBERED_MAX: Final = 65_536
"""Beginnings of prompts that a worker remembers, some 250 bytes each."""
PROMPT_KINDS_REMEMBERED_MAX: Final = 8_192
"""Kinds of prompts of which it keeps sums."""
THRIFT_COMPARED_CALLS_MIN: Final = 30
"""Calls with and without a cache key, at one card and tier, before the two are compared: fewer say nothing."""
CAP_HINT_CALLS_MIN: Final = 100
"""Answers of a key from a model before it is told which output cap would do: of fewer nobody knows what one in a hundred is."""
CAP_HINT_CALLS_MAX: Final = 4_096
"""Answers that are counted before the counts are halved, so that what changes is noticed."""
CAP_HINTS_REMEMBERED_MAX: Final = 4_096
"""Keys and models whose answers a worker counts: under a kilobyte each."""
REUSE_EVIDENCE_BYTES: Final = 16_384
"""So much of a kind is seen before it is believed: about one prompt of the size from which providers cache."""
REUSE_BYTES_MAX: Final = 16 * 1024 * 1024
"""What a kind's sums hold before they are halved, so that what changes is noticed within some hundred prompts."""

KEPT_ANSWERS_BYTES_MAX: Final = 64 * 1024 * 1024
"""Answers kept for calls that may still ask the same, of one worker; beyond it later ones are sent by themselves."""

# --- suspense, tape, ledger ----------------------------------------------------------------------------
SUSPENSE_SECONDS_MAX: Final = 72 * 3_600
"""Law 4: after this the evidence decides and the rest returns to the wallet."""
TRAINING_SECONDS_MAX: Final = 7 * 86_400
"""The same for a model that is trained: a job waits for machines and runs for days at most, and its provider says so all the while."""
TRAINING_RESUMED_SECONDS_MAX: Final = TRAINING_SECONDS_MAX - SUSPENSE_SECONDS_MAX
"""How old a job may be that is resumed: three days of its hold are left then, so that it can end within them."""
ENQUIRY_SECONDS: Final = 1
"""How soon a provider is asked about an answer that goes on after its call; later it is asked less and less often."""
ENQUIRY_SECONDS_MAX: Final = 60
ENQUIRY_ANSWER_SECONDS_MAX: Final = 60
"""How long one answer about it may take."""
ENQUIRY_LINE_BYTES_MAX: Final = 64 * 1024 * 1024
"""One line of such an answer: a response with all of its output is one."""
ENQUIRIES_IN_VAIN_MAX: Final = 20
"""So often a provider may not know of it before it is asked no more: a bill or age decides then."""
BATCH_REQUESTS_MAX: Final = 2_000
"""Requests of one batch: reading them holds up other calls for some tens of milliseconds."""
BATCH_OUTPUT_TOKENS_MAX: Final = 4_000_000_000
"""What the output caps of one batch may add up to: a record has 32 bits for it."""
BATCH_FILE_BYTES_MAX: Final = 200 * 1024 * 1024
"""The input file of a batch: the provider's own limit."""
FILE_LINE_BYTES_MAX: Final = BODY_BYTES_MAX
"""One line of a file that bounds a call: in a batch it is a request, and what is too large for one is too large for the other."""
FILE_READINGS_MAX: Final = 16
"""Files that one worker reads at a time to bound calls: each may hold a line of the largest size."""
FILE_READING_SECONDS_MAX: Final = 120
"""How long reading one may take: longer than that no client waits for a receipt."""
TRAINING_FILES_BYTES_MAX: Final = 512 * 1024 * 1024
"""The files of one fine-tuning job together: the largest file that the provider takes."""
TRAINING_EPOCHS_MAX: Final = 50
"""How often a model is trained on a file at most, whoever chooses it: the provider's own limit (decision 0078)."""
FOUND_USAGES_MAX: Final = BATCH_REQUESTS_MAX
"""Requests behind one attempt that goes on."""
TAPE_SEGMENT_BYTES_MAX: Final = 64 * 1024 * 1024
"""A segment is the unit of digest and deletion."""
TAPE_BLOCK_BYTES_MAX: Final = 4 * 1024 * 1024
"""One write of the tape; a reader never allocates more for one block."""
UNFOLDED_RECORDS_MAX: Final = 2_000_000
"""So many records may wait on a worker's tape for the ledger, some 300 MB; above it nobody is admitted: a start would take too long."""
FOLD_RECORDS_MAX: Final = 65_536
"""Attempts folded in one transaction: larger batches save nothing more and make a crash's repeat longer."""
MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024
"""One message of the ledger protocol."""
NODE_WORKER_MIN: Final = 64
"""Workers on other machines are numbered from here to the tape's last number, and those beside the ledger below it: no certificate
speaks for one of the ledger's own machine."""
NODE_HELLO_BYTES_MAX: Final = 4_096
"""The first message of a connection from another machine: a HELLO is a hundred bytes, and nothing else may come before it."""
NODE_HANDSHAKE_SECONDS_MAX: Final = 10
"""From a connection's first byte to both certificates checked, and from there to its HELLO; slower ones are nobody's node."""
NODE_HANDSHAKES_MAX: Final = 64
"""Connections that have shown no certificate yet: as many as there are nodes; more wait in the kernel's queue."""
NODE_SILENCE_SECONDS_MAX: Final = 20
"""A peer on another machine that is silent so long, asked four times, is gone, whatever the network says."""
NODE_UNREAD_BYTES_MAX: Final = 512 * 1024 * 1024
"""What waits for a node that does not read: above the lease of a million wallets, below what would hurt the ledger."""
NODE_SEGMENTS_TOLD_MAX: Final = 64
"""Segments of a tape in one question whether they may go: four gigabytes of tape, and a message of a few kilobytes."""
IDEMPOTENCY_KEY_CHARACTERS_MAX: Final = 128
"""A client's own call or command id."""
LEADING_BYTES_MAX: Final = 4 * 1024
"""So much of each field that begins a prompt decides its cache key: about the 1,024 tokens at which a provider's cache begins."""

# --- imported usage ----------------------------------------------------------------------------------
IMPORT_LINE_BYTES_MAX: Final = 64 * 1024 * 1024
"""One line of a log: agents write whole files and pictures into theirs; longer is no log."""
IMPORT_SLICE_EVENTS: Final = 50_000
"""Events appended to the lake at a time: some 100 MB of them, and a stop loses the work of a second."""
OUTCOME_ROWS_MAX: Final = 5_000_000
"""Events of a log of outcomes: ten a minute for a year."""
OUTCOME_LOG_BYTES_MAX: Final = 256 * 1024 * 1024
"""What webhooks told of outcomes: some two million that still decide."""
OUTCOME_BODY_BYTES_MAX: Final = 25 * 1024 * 1024
"""One delivery: as large as GitHub makes them."""
OUTCOME_EVENTS_TOLD_MAX: Final = 1_000
"""Events in one delivery of our own shape."""
OUTCOME_HOOK_AGE_SECONDS_MAX: Final = 300
"""How far a signed delivery's time may be from ours, as Standard Webhooks asks: an old one may be somebody else's copy."""
IMPORT_SETTINGS_BYTES_MAX: Final = 1024 * 1024
"""A mapping or a file of rules: thousands of rules have room."""
IMPORT_BAD_ROWS_NAMED_MAX: Final = 1_000
"""Bad rows that are named by file and line; all are counted, and a file with more is of another format."""
IMPORT_IDS_REMEMBERED_MAX: Final = 1_000_000
"""Event ids by which one file's repeats are known while it is read, some 100 MB; what repeats farther back, the store knows again."""
IMPORT_FILES_MAX: Final = 1_000_000
"""Files of one import: ten years of logs of a company; a folder with more is not one of usage."""
IMPORT_HEAD_BYTES: Final = 64 * 1024
"""First bytes of a file, by which its kind is known: an agent's log may begin with a line that long."""
IMPORT_BLOCK_BYTES: Final = 8 * 1024 * 1024
"""Of a large table that are taken apart at once: some 70,000 rows, so that starting costs nothing and memory stays flat."""
IMPORT_SLICE_ROWS: Final = 250_000
"""Rows of a large table that become one slice: some 200 MB while they are read, and what a crash has to repeat at most."""
IMPORT_SLICE_ROWS_MAX: Final = 1_000_000
"""Rows of the largest slice, which the lake takes in one append."""
CHARGE_ROWS_MAX: Final = 50
"""Days of a member's usage with a model that one command charges: twenty statements each, a fraction of a second in all, for which
reports of a gateway wait."""
CHARGE_RECALLS_OPEN_MAX: Final = 2_000
"""Lots asked by charges that have not answered yet, above which nothing more is charged: a gateway that comes back is asked all of
them in one message and answers them in one transaction, some seconds long."""
CHARGES_LISTED_MAX: Final = 1_000
"""Charges of one listing: a screen shows fewer."""
IMPORT_RULES_MAX: Final = 10_000
"""Rules of attribution, each of which may be asked about each event: more are a table of people, which is imported as such."""

# --- live usage --------------------------------------------------------------------------------------
LIVE_AGE_SECONDS_MAX: Final = 5
"""Sums that are younger are told again as they are: several that watch cost one reading."""
LIVE_READ_SECONDS_MAX: Final = 2
"""So long one question counts on: watchers give up after ten seconds, and the next question goes on."""
PEOPLE_TOLD_MIN: Final = 5
"""What fewer people than this do, when and with which model, would be the habits of persons: it is withheld (law 10)."""
LIVE_SERIES_MAX: Final = 5_000
"""Sets of department, model and provider that are told apart, some 15,000 series of tokens: more would burden who stores them."""
LIVE_AVAILABLE_SECONDS: Final = 60
"""So often what is available is added up anew: every lot is read for it."""
LIVE_WALLETS_MAX: Final = 20_000
"""With more wallets that would take seconds each time, and what is available is not told here."""
LIVE_PUSH_WAIT_SECONDS_MAX: Final = 600
"""The longest pause between two tries at a collector that does not answer."""
SPANS_BODY_BYTES_MAX: Final = 16 * 1024 * 1024
"""One export of spans, unpacked: exporters send 512 spans at a time, and one with a long conversation in it has a few hundred kB."""
SPANS_SPOOL_BYTES_MAX: Final = 256 * 1024 * 1024
"""Calls that were taken and are not in the usage lake yet, some 500,000 of them: further ones are answered 503, which exporters try again."""
SPANS_FILE_BYTES: Final = 16 * 1024 * 1024
"""A file of them is ended after so much: one at a time is in memory when they are brought in."""
SPANS_INDEXED_MAX: Final = 4_000_000
"""Spans on disk by which repeats and frameworks' spans around calls are known, some 400 MB: the calls of a day of a large company."""
SPANS_DRAIN_SECONDS: Final = 10
"""How often what was taken is brought into the usage lake: each time makes a file for each day."""
SPANS_DRAIN_EVENTS: Final = 20_000
"""Calls that are brought into the lake at once."""
SPANS_COMPACT_FILES: Final = 64
"""Files of one day, after which they are merged: a question reads each, and merging rewrites the day."""
ANSWER_SHEET_ROWS_MAX: Final = 1_048_575
"""Rows of a worksheet below its header, as spreadsheets have it: more are for CSV or Parquet."""
