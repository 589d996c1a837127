"""What a key may do is looked at where calls are admitted: its models, its tags, its secrets, its hour of use."""

import json

import pytest

from tests.cast import CREDIT, POOL_WALLET, T0, make_card
from tests.desk import ADA_KEY, BOUND, CHAT, PEPPER, SIM, Desk, key, lot, make_facts, wallet
from tests.firm import HOUR, Firm
from tokenroll.model.hold import ReleaseReason
from tokenroll.services.hot import Deployment, HotHold
from tokenroll.services.hot_limits import Reroute
from tokenroll.services.keys import key_hash, new_key
from tokenroll.services.leasing import lease_parts
from tokenroll.services.protocol import Delta
from tokenroll.store import tape
from tokenroll.store.attempt_record import parse_record
from tokenroll.store.tape import RecordType
from tokenroll.upstream.anthropic import Messages

HAIKU = make_card(id=2, public_id="ratecard_00000000000000000000000000000002", model="haiku")
KEY = new_key(bytes(range(34)))
FLOOR_POOL = 7


def desk_with(tmp_path, *wallets, **terms):
    wallets = wallets or (wallet(lot(1, CREDIT)),)
    return Desk(tmp_path, *wallets, cards=(make_card(), HAIKU), keys=(key(1, ADA_KEY, 1, **terms),))


def recorded_tags(desk):
    """What the tape says of each hold: its tags, and whether it is personal."""
    names, found = {}, []
    for kind, record in desk.records():
        if kind is RecordType.NAME:
            number, text = tape.NAME_HEAD.unpack_from(record, 4)[0], record[8:].decode()
            names[number] = text
        if kind in tape.HOLDS:
            hold = parse_record(record).hold
            found.append((names.get(hold.tags_name, ""), bool(hold.flags & tape.HOLD_PERSONAL)))
    return found


@pytest.mark.parametrize("models", [[], ["sonnet"], ["haiku", "son*"]])
def test_a_key_calls_what_it_is_for(tmp_path, models):
    assert isinstance(desk_with(tmp_path, models=models).admit(), HotHold)


def test_a_key_calls_nothing_else_and_says_so_in_each_dialect(tmp_path):
    desk = desk_with(tmp_path, models=["haiku", "opus-*"])
    answer = desk.admit()
    assert answer.sentence() == (
        "This key is not for the model 'sonnet', only for haiku, opus-*. Call one of these, or use another key; whoever made this "
        "one can change it with `tokenroll key change`."
    )
    for dialect, kind in ((CHAT, "invalid_request_error"), (Messages(), "permission_error")):
        told = dialect.denial(answer)
        assert (told.status, json.loads(told.body)["error"]["type"]) == (403, kind)
        assert b"x-tokenroll-denied: not_for_model" in told.headers
    assert desk.available() == CREDIT


@pytest.mark.parametrize("enforcement", ["observe", "warn"])
def test_where_nothing_is_enforced_it_is_recorded_and_refuses_nobody(tmp_path, enforcement):
    hold = desk_with(tmp_path, wallet(lot(1, CREDIT), enforcement=enforcement), models=["haiku"]).admit()
    assert (hold.would_deny, hold.company_nanos) == (True, 0)


def test_its_plan_and_its_own_list_must_both_have_a_model(tmp_path):
    desk = desk_with(tmp_path, wallet(lot(1, CREDIT), models=["sonnet"]), models=["haiku"])
    assert desk.admit().code == "not_for_model"
    assert desk.admit(make_facts(model="haiku")).code == "no_access"


def test_a_cheaper_model_that_the_key_is_not_for_is_no_way_out(tmp_path):
    desk = desk_with(
        tmp_path, wallet(lot(1, 1_000), floor_model="haiku", floor_pool_id=FLOOR_POOL),
        wallet(id=POOL_WALLET, name="Research"), wallet(lot(5, CREDIT), id=FLOOR_POOL, name="Floor"), models=["sonnet"],
    )  # fmt: skip
    elsewhere = desk.admit()
    assert isinstance(elsewhere, Reroute)
    assert not desk.spending.is_for(desk.key(), SIM, elsewhere.model)
    # what the gateway then does: it asks again without a way to the cheaper model, and the wallet's own denial is the answer
    answer = desk.admit(reroute=elsewhere)
    assert answer.code == "wallet_empty"


@pytest.mark.parametrize(
    ("models", "deployment", "is_for"),
    [
        ([], SIM, True),
        (["haiku"], SIM, True),
        (["ha*"], Deployment("sim", "anthropic", model="haiku"), True),
        (["sonnet"], SIM, False),
        (["haiku"], Deployment("sim", "nobody"), False),
    ],
)
def test_a_key_is_for_a_model_by_its_card(tmp_path, models, deployment, is_for):
    desk = desk_with(tmp_path, models=models)
    assert desk.spending.is_for(desk.key(), deployment, "haiku") is is_for


def test_a_call_s_tags_are_its_own_then_its_metadata_s_then_its_key_s(tmp_path):
    desk = desk_with(tmp_path, tags="purpose=personal,project=zeus")
    desk.admit(make_facts(tags="project=hermes"), tags="draft")
    desk.admit(tags="purpose=work")
    desk.admit()
    assert recorded_tags(desk) == [
        ("draft,project=hermes,purpose=personal", True), ("purpose=work,project=zeus", False), ("purpose=personal,project=zeus", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("key_tags", "call_tags", "recorded"),
    [
        ("", "", ("purpose=personal", True)),
        ("project=zeus", "", ("project=zeus,purpose=personal", True)),
        ("purpose=work", "", ("purpose=work", False)),
        ("", "purpose=work", ("purpose=work", False)),
        ("purpose=work", "purpose=personal", ("purpose=personal", True)),
    ],
)
def test_a_plan_says_what_calls_are_for_that_neither_say_it_nor_their_key(tmp_path, key_tags, call_tags, recorded):
    desk = desk_with(tmp_path, wallet(lot(1, CREDIT), purpose="personal"), tags=key_tags)
    desk.admit(tags=call_tags)
    assert recorded_tags(desk) == [recorded]


def test_the_plan_s_next_version_holds_for_keys_that_are_known_and_for_its_floor(tmp_path):
    terms = {"floor_model": "haiku", "floor_pool_id": FLOOR_POOL}
    desk = desk_with(tmp_path, wallet(lot(1, BOUND), **terms), wallet(lot(5, CREDIT), id=FLOOR_POOL, name="Floor"))
    desk.spending.release(desk.admit(), ReleaseReason.NOT_SENT, desk.now)
    desk.spending.apply_delta(Delta(1, [wallet(purpose="personal", **terms)], [], [], [], {}))
    desk.admit()
    reroute = desk.admit()
    reroute.deployment = SIM._replace(model=reroute.model)
    assert isinstance(desk.admit(reroute=reroute), HotHold)
    assert recorded_tags(desk) == [("", False), ("purpose=personal", True), ("purpose=personal", True)]


def test_a_wallet_is_leased_with_the_purpose_of_its_newest_plan():
    firm = Firm()
    firm.hire("Ada")
    plan = {"name": "perk", "kind": "stipend", "classification": "tool", "amount_nanos": 10 * CREDIT}
    firm.do("plan.create", **plan, terms={"purpose": "personal"})
    firm.do("grant.create", plan="perk", to="Ada")

    def leased():
        firm.connection.rollback()
        (lease,) = lease_parts(firm.connection, 0, firm.now)
        return next(one.purpose for one in lease.wallets if one.name == "Ada")

    assert leased() == "personal"
    firm.now += HOUR
    firm.do("plan.create", **plan, terms={"purpose": "work"})
    assert leased() == "work"
    firm.now += HOUR
    firm.do("plan.create", **plan)
    assert leased() == ""


def test_a_floor_s_call_has_the_key_s_tags_too(tmp_path):
    desk = desk_with(
        tmp_path, wallet(lot(1, 1_000), floor_model="haiku", floor_pool_id=FLOOR_POOL),
        wallet(lot(5, CREDIT), id=FLOOR_POOL, name="Floor"), tags="project=zeus",
    )  # fmt: skip
    reroute = desk.admit()
    reroute.deployment = SIM._replace(model=reroute.model)
    assert isinstance(desk.admit(reroute=reroute), HotHold)
    assert recorded_tags(desk) == [("project=zeus", False)]


def test_tags_that_do_not_fit_together_are_refused_before_anything_is_held(tmp_path):
    long = ",".join(f"{one:0127}" for one in range(7))  # with its other: 13 different labels of 127, and 12 commas
    desk = desk_with(tmp_path, tags=long)
    answer = desk.admit(tags=long.replace("0", "1"))
    assert answer.sentence() == (
        "The tags of a call have at most 1024 characters together, and what this one, its metadata and its key say has 1663."
    )
    assert (CHAT.denial(answer).status, Messages().denial(answer).status) == (400, 400)
    assert desk.available() == CREDIT


def test_limits_on_a_tag_count_what_the_key_says(tmp_path):
    desk = desk_with(tmp_path, tags="project=zeus")
    hold = desk.admit()
    assert hold.limited is None
    assert hold.bound_nanos == BOUND


# ---- secrets ----------------------------------------------------------------------------------------------------------


def secrets_of(*former, **terms):
    return key(1, ADA_KEY, 1, former_secrets=[(key_hash(PEPPER, one), until) for one, until in former], **terms)


def test_a_replaced_secret_works_until_its_overlap_is_over(tmp_path):
    desk = desk_with(tmp_path)
    desk.spending.apply_delta(Delta(1, [], [], [secrets_of((b"tr-old", T0 + HOUR))], [], {}))
    assert desk.key(b"tr-old").id == desk.key(ADA_KEY).id == 1
    assert desk.spending.key_for(b"tr-old", T0 + HOUR - 1) is not None
    assert desk.spending.key_for(b"tr-old", T0 + HOUR) is None
    assert desk.spending.key_for(ADA_KEY, T0 + HOUR) is not None
    assert desk.spending.why_no_key(b"tr-old", T0 + HOUR)[0] == "expired_key"


def test_an_overlap_never_outlives_the_key(tmp_path):
    desk = desk_with(tmp_path)
    desk.spending.apply_delta(Delta(1, [], [], [secrets_of((b"tr-old", T0 + HOUR), expires_at=T0 + 60)], [], {}))
    assert desk.spending.key_for(b"tr-old", T0 + 60) is None


def test_revoking_a_key_ends_all_its_secrets(tmp_path):
    desk = desk_with(tmp_path)
    desk.spending.apply_delta(Delta(1, [], [], [secrets_of((b"tr-old", T0 + HOUR))], [], {}))
    desk.key(b"tr-old")
    desk.spending.apply_delta(Delta(2, [], [], [secrets_of(revoked=True)], [], {}))
    assert desk.spending.key_for(b"tr-old", T0) is None
    assert desk.spending.key_for(ADA_KEY, T0) is None


@pytest.mark.parametrize(
    ("bearer", "why", "says"),
    [
        (KEY[:-1], "mistyped_key", "Copy it once more."),
        (f"{KEY[:4]}z{KEY[5:]}", "mistyped_key", "a part of it is missing, doubled or wrong"),
        (KEY, "unknown_key", "This key is not known here, or it was revoked."),
        ("sk-proj-1", "unknown_key", "This key is not known here, or it was revoked."),
        ("", "unknown_key", "This key is not known here, or it was revoked."),
    ],
)
def test_who_mistyped_a_key_is_told_so(tmp_path, bearer, why, says):
    word, sentence = desk_with(tmp_path).spending.why_no_key(bearer.encode("latin-1"), T0)
    assert (word, says in sentence) == (why, True)


def test_an_expired_key_says_when_it_stopped(tmp_path):
    desk = desk_with(tmp_path, expires_at=T0 + 1_000_000)
    assert desk.spending.key_for(ADA_KEY, T0 + 1_000_000) is None
    word, sentence = desk.spending.why_no_key(ADA_KEY, T0 + 1_000_000)
    assert (word, sentence) == ("expired_key", "This key stopped working at 2024-01-01T00:00:01Z; ask for a new one.")


@pytest.mark.parametrize(
    ("scope", "calls"), [("inference", True), ("read", False), ("admin", False), ("provision", False)]
)
def test_only_inference_keys_call_models(tmp_path, scope, calls):
    found = desk_with(tmp_path, scope=scope).key()
    assert (found.calls_models, found.scope) == (calls, scope)


# ---- when it was used -------------------------------------------------------------------------------------------------


def test_a_key_s_use_is_noted_once_an_hour_and_costs_no_call_anything(tmp_path):
    desk = desk_with(tmp_path)
    spending, hour = desk.spending, T0 // HOUR * HOUR
    assert spending.take_used(hour, 10) == []
    first = spending.key_for(ADA_KEY, hour)
    assert spending.key_for(ADA_KEY, hour + 1) is first  # remembered: nothing is noted, nothing is looked up
    assert spending.take_used(hour + 1, 10) == [1]
    spending.key_for(ADA_KEY, hour + 2)
    assert spending.take_used(hour + 2, 10) == []
    assert spending.take_used(hour + HOUR, 10) == []
    spending.key_for(ADA_KEY, hour + HOUR)
    assert spending.take_used(hour + HOUR, 10) == [1]


def test_of_many_used_keys_each_message_names_so_many(tmp_path):
    desk = Desk(
        tmp_path, wallet(lot(1, CREDIT)), cards=(make_card(),), keys=tuple(key(n, b"tr-%d" % n, 1) for n in (1, 2, 3))
    )
    for number in (1, 2, 3):
        desk.key(b"tr-%d" % number)
    assert [desk.spending.take_used(T0, 2) for _ in range(3)] == [[1, 2], [3], []]


def test_an_expired_key_is_not_used(tmp_path):
    desk = desk_with(tmp_path, expires_at=T0 - 1)
    assert desk.spending.key_for(ADA_KEY, T0) is None
    assert desk.spending.take_used(T0, 10) == []
