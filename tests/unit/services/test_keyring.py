"""Keys are made for something, changed, rotated with an overlap, and found when nobody uses them."""

import pytest

from tests.firm import CREDIT, DAY, FEBRUARY, HOUR, JANUARY, Firm
from tokenroll.services.leasing import key_terms
from tokenroll.services.protocol import KeysUsed

OLD, NEW, NEWER = "aa" * 32, "bb" * 32, "cc" * 32


@pytest.fixture
def firm():
    one = Firm()
    one.hire("Ada")
    one.do("ratecard.set", card=card("claude-opus-5-5", "opus"))
    one.do("ratecard.set", card=card("claude-haiku-4-5"))
    return one


def card(model, *aliases):
    prices = {"standard": {"input": "3", "output": "15"}}
    return {"provider": "anthropic", "model": model, "aliases": list(aliases), "prices": prices}


def make(firm, **changes):
    facts = {"member": "Ada", "name": "laptop", "secret_hash": OLD, "shown_prefix": "tr-old"}
    return firm.do("key.create", **facts | changes)


def terms(firm):
    firm.connection.rollback()
    (one,) = key_terms(firm.connection, firm.now)
    return one


def rotate(firm, secret_hash=NEW, hours=24, prefix="tr-new"):
    return firm.do(
        "key.rotate", key="laptop", secret_hash=secret_hash, shown_prefix=prefix, overlap_seconds=hours * 3_600
    )


def test_a_key_is_made_for_models_and_with_tags(firm):
    made = make(firm, models=["opus", "claude-haiku-*"], tags="Project=atlas, draft", purpose="work")
    assert (made["models"], made["tags"]) == ("opus, claude-haiku-*", "purpose=work,project=atlas,draft")
    one = terms(firm)
    assert (one.models, one.tags) == (["opus", "claude-haiku-*"], "purpose=work,project=atlas,draft")
    shown = firm.reports.key("laptop")
    assert (shown["origin"], shown["models"], shown["used_at"], shown["limits"]) == (
        "command", ["opus", "claude-haiku-*"], None, [],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"models": ["gpt-9"]}, "not_found", "no model 'gpt-9' has a rate card now: `tokenroll ratecard list` shows them"),
        ({"models": ["gpt-*"]}, "not_found", "no model 'gpt-*' has a rate card now"),
        ({"budget_nanos": 0}, "argument", "a budget of 0 credits would refuse every call of this key: name one above 0"),
        ({"models": ["opus", "opus"]}, "invalid", "a key's models: a name stands twice"),
        ({"tags": "project=a,project=b"}, "invalid", "the tag project is given twice"),
        ({"purpose": "fun"}, "invalid", "the purpose of a call is work or personal, not 'fun'"),
        ({"scope": "read", "models": ["opus"]}, "invalid", "a key with scope read calls no model, so it has no models"),
        ({"scope": "admin", "budget_nanos": CREDIT}, "argument", "a key with scope admin calls no model, so it has no budget"),
        ({"scope": "all"}, "invalid", "'all' is not a valid KeyScope"),
        ({"origin": "session"}, "invalid", "a session's key ends with its session: it needs an expiry"),
    ],
)  # fmt: skip
def test_what_a_key_cannot_be_is_refused_and_makes_none(firm, changes, kind, says):
    facts = {"member": "Ada", "name": "laptop", "secret_hash": OLD, "shown_prefix": "tr-old"}
    reply = firm.ask("key.create", **facts | changes)
    assert (reply.problem_kind, reply.problem[: len(says)]) == (kind, says)
    assert firm.reports.keys() == []


def test_a_session_s_key_is_a_key_with_an_end(firm):
    make(firm, origin="session", expires_at=JANUARY + 8 * HOUR)
    assert firm.reports.keys()[0]["origin"] == "session"


def test_a_key_s_budget_is_a_limit_in_one_command(firm):
    made = make(firm, budget_nanos=20 * CREDIT, budget_window="day")
    assert (made["budget"], made["budget_window"]) == ("20.00 credits", "day")
    (limit,) = firm.reports.limits()
    assert (limit["name"], limit["of"]) == (made["limit"], "the key laptop")
    assert firm.reports.key("laptop")["limits"] == [made["limit"]]
    again = firm.ask("key.change", key="laptop", budget_nanos=CREDIT)
    assert again.problem.startswith(f"key laptop has the limit {made['limit']!r} already: `tokenroll limit override`")


def test_what_a_key_is_for_changes_and_what_is_not_named_stays(firm):
    make(firm, models=["opus"], tags="project=atlas")
    firm.do("key.change", key="laptop", purpose="personal")
    assert (terms(firm).models, terms(firm).tags) == (["opus"], "purpose=personal,project=atlas")
    firm.do("key.change", key="laptop", models=[], budget_nanos=CREDIT)
    assert (terms(firm).models, terms(firm).tags) == ([], "purpose=personal,project=atlas")
    firm.do("key.change", key="laptop", tags="")
    assert terms(firm).tags == ""
    assert firm.ask("key.change", key="laptop").problem == "nothing to change: name models, tags, a purpose or a budget"


def test_a_rotated_key_is_the_same_key_with_two_secrets_for_a_while(firm):
    made = make(firm, models=["opus"], budget_nanos=CREDIT)
    rotated = rotate(firm)
    assert (rotated["key"], rotated["former_works_until"]) == (made["key"], JANUARY + DAY)
    one = terms(firm)
    assert (one.secret_hash.hex(), one.models) == (NEW, ["opus"])
    assert [(secret.hex(), until) for secret, until in one.former_secrets] == [(OLD, JANUARY + DAY)]
    assert firm.reports.key("laptop")["limits"] == [made["limit"]]
    by_old, by_new = (firm.reports.visitor_with_secret(bytes.fromhex(one)) for one in (OLD, NEW))
    assert by_old == by_new
    assert by_new is not None
    firm.now = JANUARY + DAY
    assert firm.reports.visitor_with_secret(bytes.fromhex(OLD)) is None
    assert firm.reports.visitor_with_secret(bytes.fromhex(NEW)) == by_new
    assert terms(firm).former_secrets == []
    (former,) = firm.reports.key("laptop")["former_secrets"]
    assert former == {"shown_prefix": "tr-old", "replaced_at": JANUARY, "works_until": JANUARY + DAY, "works": False}


def test_a_rotation_without_overlap_ends_every_earlier_secret(firm):
    make(firm)
    rotate(firm)
    rotate(firm, NEWER, hours=0, prefix="tr-newer")
    for secret in (OLD, NEW):
        assert firm.reports.visitor_with_secret(bytes.fromhex(secret)) is None
    assert firm.reports.visitor_with_secret(bytes.fromhex(NEWER)) is not None


def test_no_secret_is_taken_twice_not_even_a_former_one(firm):
    make(firm)
    rotate(firm, hours=1)
    firm.now += DAY
    again = firm.ask("key.rotate", key="laptop", secret_hash=OLD, shown_prefix="tr-old", overlap_seconds=0)
    assert again.problem_kind == "taken"
    other = firm.ask("key.create", member="Ada", name="other", secret_hash=OLD, shown_prefix="tr-old")
    assert other.problem_kind == "taken"


def test_so_many_former_secrets_work_at_a_time_and_no_more(firm):
    make(firm)
    for number in range(4):
        rotate(firm, f"{number:064x}")
    more = firm.ask("key.rotate", key="laptop", secret_hash=NEW, shown_prefix="tr-new", overlap_seconds=60)
    assert more.problem.startswith(
        "4 replaced secrets of key laptop still work, which is as many as may: rotate without an overlap"
    )
    firm.now += DAY
    rotate(firm)


@pytest.mark.parametrize(
    ("before", "overlap", "says"),
    [
        ({"expires_at": JANUARY + 1}, 60, "key laptop (tr-old…) has expired: make another one"),
        ({}, -1, "an overlap lasts 0 seconds to 30 days, not -1 seconds"),
        ({}, 31 * 86_400, "an overlap lasts 0 seconds to 30 days, not 2678400 seconds"),
    ],
)
def test_what_cannot_be_rotated_says_why(firm, before, overlap, says):
    make(firm, **before)
    firm.now += 2
    reply = firm.ask("key.rotate", key="laptop", secret_hash=NEW, shown_prefix="tr-new", overlap_seconds=overlap)
    assert reply.problem == says


def test_a_revoked_key_is_neither_changed_nor_rotated(firm):
    make(firm)
    rotate(firm)
    firm.do("key.revoke", key="laptop")
    assert firm.reports.visitor_with_secret(bytes.fromhex(OLD)) is None
    for name, more in (("key.change", {"tags": ""}), ("key.rotate", {"secret_hash": NEWER, "shown_prefix": "x"})):
        assert firm.ask(name, key="laptop", **more).problem_kind == "already_revoked"


def test_keys_that_nobody_uses_are_found(firm):
    make(firm)
    make(firm, name="old one", secret_hash=NEW, shown_prefix="tr-two")
    make(firm, name="gone", secret_hash=NEWER, shown_prefix="tr-three")
    firm.do("key.revoke", key="gone")
    firm.now = FEBRUARY
    make(firm, name="new one", secret_hash="dd" * 32, shown_prefix="tr-four")
    firm.ledger.keys_used(KeysUsed(used_at=FEBRUARY - HOUR, key_ids=[1]))
    firm.ledger.keys_used(KeysUsed(used_at=FEBRUARY - 3 * HOUR, key_ids=[1]))  # told late: the later use stands
    assert firm.reports.key("laptop")["used_at"] == FEBRUARY - HOUR
    assert [one["name"] for one in firm.reports.keys(unused_days=31)] == ["old one"]
    assert [one["name"] for one in firm.reports.keys(unused_days=32)] == []
    firm.now += DAY
    assert [one["name"] for one in firm.reports.keys(unused_days=1)] == ["new one", "old one", "laptop"]
    firm.verified()
