"""Thresholds are noted once, whatever restarts; messages leave at least once, under one id, until they are delivered or given up."""

import base64
import hashlib
import hmac
import json
from email import message_from_string

import pytest
from sqlalchemy import event

from tests.e2e.test_it_verifies_the_provider import certificate
from tests.firm import CREDIT, FEBRUARY, HOUR, JANUARY, Firm
from tests.post_office import MailServer, Receiver, opened
from tests.tampering import change
from tokenroll.model.limits import MESSAGE_ATTEMPTS_MAX
from tokenroll.services import alert_desk, alert_watch, alerting
from tokenroll.services.alert_desk import AlertDesk
from tokenroll.services.alert_sending import send
from tokenroll.services.alert_watch import AlertWatch
from tokenroll.services.alerting import Outcome, pause_seconds
from tokenroll.services.protocol import Reply
from tokenroll.settings import AlertSettings, DestinationSettings, SmtpSettings

KEY = bytes(range(32))
OPS = DestinationSettings(name="ops", url="http://127.0.0.1:9/", signing_key=KEY)


@pytest.fixture
def firm():
    one = Firm()
    one.hire("Ada")
    one.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100 * CREDIT, lifetime="1m")
    one.do("grant.create", to="Ada", plan="tools")
    return one


def desk(firm, *destinations):
    return AlertDesk(firm.ledger, AlertSettings(destinations=destinations))


def told(firm):
    return [
        (one["subject"], one["name"], one["kind"], one["threshold_percent"])
        for one in reversed(firm.reports.alerts(100))
    ]


def test_however_many_limits_there_are_a_look_asks_as_often(firm):
    """A company may have a budget for each of thousands of keys; the ledger does nothing else while it looks."""
    asked = []
    event.listen(firm.connection, "before_cursor_execute", lambda *told: asked.append(told[2]))
    watch, counts = desk(firm), []
    watch.look()
    for more in (1, 14):
        for number in range(more):
            firm.do(
                "limit.create", name=f"limit {more} {number}", member="Ada", window="day", measure="credits", cap=CREDIT
            )
        watch.look()
        asked.clear()
        watch.look()
        counts.append(len(asked))
    assert counts[0] == counts[1] > 0


def test_each_threshold_of_a_wallets_cycle_is_told_once_when_it_is_crossed(firm):
    watch = desk(firm)
    assert watch.look() == 0
    (lot,) = firm.lot_ids("Ada")
    firm.call("Ada", lot, 49 * CREDIT)
    assert watch.look() == 0
    firm.call("Ada", lot, CREDIT)
    assert watch.look() == 1
    firm.call("Ada", lot, 31 * CREDIT, bound=31 * CREDIT)
    assert (watch.look(), watch.look()) == (1, 0)
    assert told(firm) == [("wallet", "Ada", "crossed", 50), ("wallet", "Ada", "crossed", 80)]
    (_, newest) = reversed(firm.reports.alerts(100))
    assert (newest["used"]["amount"], newest["of"]["amount"]) == ("81.000000000", "100.000000000")


def team_of_five(firm):
    """Ada and four more, each with 50 of their 100 credits used."""
    names = ["Ada", "Bo", "Cleo", "Dev", "Eli"]
    for name in names[1:]:
        firm.hire(name)
        firm.do("grant.create", to=name, plan="tools")
    for name in names:
        (lot,) = firm.lot_ids(name)
        firm.call(name, lot, 50 * CREDIT)
    return names


def test_many_wallets_are_looked_at_in_parts_and_none_is_left_out(firm, monkeypatch):
    """The ledger lends between two parts: with ten thousand wallets at work a look took it a second."""
    monkeypatch.setattr(alert_watch, "_PART", 2)
    names = team_of_five(firm)
    parts = [len(one) for one in AlertWatch((50, 80)).changes(firm.connection, dict, lambda: firm.now)]
    assert parts == [0, 2, 2, 1]  # their calls are read, then three parts of wallets
    assert (desk(firm).look(), desk(firm).look()) == (5, 0)
    assert told(firm) == [("wallet", name, "crossed", 50) for name in names]


def test_more_than_one_note_holds_is_noted_all_the_same(firm, monkeypatch):
    monkeypatch.setattr(alert_desk, "ALERT_CHANGES_MAX", 2)
    team_of_five(firm)
    watch = desk(firm)
    assert (watch.look(), watch.look()) == (5, 0)


def test_what_could_not_be_noted_is_looked_at_again(firm, monkeypatch):
    watch = desk(firm)
    watch.look()
    (lot,) = firm.lot_ids("Ada")
    firm.call("Ada", lot, 50 * CREDIT)
    with monkeypatch.context() as broken:
        broken.setattr(firm.ledger, "execute", lambda command: Reply(command.id, problem="the disk is full"))
        with pytest.raises(RuntimeError, match="the disk is full"):
            watch.look()
    assert (watch.look(), watch.look()) == (1, 0)


def test_a_note_that_fails_again_and_again_reads_the_journal_once(firm, monkeypatch):
    """A full disk is the worst moment to read two months of calls every five seconds."""
    watch = desk(firm)
    watch.look()
    (lot,) = firm.lot_ids("Ada")
    firm.call("Ada", lot, 50 * CREDIT)
    asked = []
    event.listen(firm.connection, "before_cursor_execute", lambda *told: asked.append(told[2]))
    with monkeypatch.context() as broken:
        broken.setattr(firm.ledger, "execute", lambda command: Reply(command.id, problem="the disk is full"))
        for _ in range(3):
            with pytest.raises(RuntimeError):
                watch.look()
    assert sum("FROM settlements" in one for one in asked) == 1
    assert watch.look() == 1


def test_a_look_that_is_left_half_way_forgets_nobody(firm, monkeypatch):
    monkeypatch.setattr(alert_watch, "_PART", 2)
    team_of_five(firm)
    watch = desk(firm)
    steps = watch._looks()
    while not next(steps):
        pass
    steps.close()
    assert (watch.look(), watch.look()) == (3, 0)


def between_parts(firm, monkeypatch, do):
    """A look at two limits, the second of which is looked at after something else was done."""
    monkeypatch.setattr(alert_watch, "_PART", 1)
    limited(firm, name="first", cap=10**6 * CREDIT)
    limited(firm)
    count(firm, 8 * CREDIT, JANUARY, 2)
    looked = AlertWatch((50, 80)).changes(firm.connection, dict, lambda: firm.now)
    assert [next(looked), next(looked), next(looked)] == [[], [], []]  # what was granted, Ada, and the first limit
    do()
    return [(one["subject_id"], one["threshold"]) for part in looked for one in part]


def test_a_limit_is_looked_at_as_it_is_when_its_counters_are(firm, monkeypatch):
    """Another cap, none at all, or another day, between two steps of a look."""
    assert between_parts(firm, monkeypatch, lambda: None) == [(2, 50), (2, 80)]


def test_a_cap_that_was_raised_meanwhile_is_the_cap(firm, monkeypatch):
    raised = {"limit": "ada-daily", "cap": 1_000 * CREDIT, "until": JANUARY + HOUR}
    assert between_parts(firm, monkeypatch, lambda: firm.do("limit.override", **raised)) == []


def test_a_limit_that_was_removed_meanwhile_is_none(firm, monkeypatch):
    assert between_parts(firm, monkeypatch, lambda: firm.do("limit.remove", limit="ada-daily")) == []


def test_a_day_that_began_meanwhile_counts_its_own_calls(firm, monkeypatch):
    def midnight():
        firm.now = JANUARY + 24 * HOUR
        count(firm, 4 * CREDIT, JANUARY + 24 * HOUR, 2)

    assert between_parts(firm, monkeypatch, midnight) == []


def test_a_ledger_that_starts_again_repeats_nothing(firm):
    (lot,) = firm.lot_ids("Ada")
    firm.call("Ada", lot, 50 * CREDIT)
    assert desk(firm).look() == 1
    assert desk(firm).look() == 0
    firm.call("Ada", lot, 35 * CREDIT, bound=50 * CREDIT)
    assert desk(firm).look() == 1


def test_a_top_up_and_a_new_cycle_recover_it_once(firm):
    watch = desk(firm)
    (lot,) = firm.lot_ids("Ada")
    firm.call("Ada", lot, 85 * CREDIT, bound=100 * CREDIT)
    watch.look()
    firm.do("grant.top_up", to="Ada", amount_nanos=60 * CREDIT)  # 85 of 160
    assert (watch.look(), watch.look()) == (1, 0)
    firm.now = FEBRUARY + HOUR
    assert (watch.look(), watch.look()) == (1, 0)
    assert told(firm)[2:] == [("wallet", "Ada", "recovered", 80), ("wallet", "Ada", "recovered", 50)]


def test_what_a_pool_pays_is_the_pools_share(firm):
    firm.do("pool.create", name="Engineering pool", department="Engineering")
    firm.do("grant.create", to="Engineering pool", plan="tools")
    (own,), (pooled,) = firm.lot_ids("Ada"), firm.lot_ids("Engineering pool")
    sequence = firm.hold("Ada", (own, 40 * CREDIT), (pooled, 90 * CREDIT))
    firm.settle(sequence, 95 * CREDIT)
    desk(firm).look()
    assert told(firm) == [("wallet", "Engineering pool", "crossed", 50)]


def limited(firm, **changes):
    facts = {"name": "ada-daily", "member": "Ada", "window": "day", "cap": 10 * CREDIT}
    return firm.do("limit.create", **facts | changes)


def count(firm, used, start_at, limit_id=1):
    firm.connection.rollback()
    with firm.connection.begin():
        change(
            firm.connection,
            "INSERT INTO limit_counters VALUES (?, ?, ?, 1, 0, 0) ON CONFLICT(limit_id, start_at) DO UPDATE SET used = excluded.used",
            limit_id, start_at, used,
        )  # fmt: skip


def test_a_limits_thresholds_are_told_once_a_window(firm):
    limited(firm)
    watch = desk(firm)
    count(firm, 8 * CREDIT, JANUARY)
    assert (watch.look(), watch.look()) == (2, 0)
    firm.now = JANUARY + 24 * HOUR
    assert (watch.look(), watch.look()) == (2, 0)
    count(firm, 5 * CREDIT, JANUARY + 24 * HOUR)
    assert (watch.look(), watch.look()) == (1, 0)
    assert told(firm) == [
        ("limit", "ada-daily", "crossed", 50), ("limit", "ada-daily", "crossed", 80),
        ("limit", "ada-daily", "recovered", 50), ("limit", "ada-daily", "recovered", 80),
        ("limit", "ada-daily", "crossed", 50),
    ]  # fmt: skip


def test_a_share_is_of_the_present_window_and_of_its_whole_cap(firm):
    """T41: 0.40 of 15 credits today is no news, however full yesterday was."""
    limited(firm, cap=15 * CREDIT)
    watch = desk(firm)
    count(firm, 15 * CREDIT - 1, JANUARY - 24 * HOUR)
    count(firm, 400_000_000, JANUARY)
    assert watch.look() == 0
    count(firm, 7_500_000_000, JANUARY)
    assert watch.look() == 1


def test_a_full_minute_is_no_news(firm):
    for name, window in (("minute", {"window": "minute"}), ("rolling", {"window": "rolling", "window_seconds": 60})):
        limited(firm, name=name, **window)
    for limit_id in (1, 2):
        count(firm, 10 * CREDIT, JANUARY, limit_id)
    assert desk(firm).look() == 0


def test_an_override_recovers_a_limit(firm):
    limited(firm)
    watch = desk(firm)
    count(firm, 6 * CREDIT, JANUARY)
    watch.look()
    firm.do("limit.override", limit="ada-daily", cap=20 * CREDIT, until=JANUARY + HOUR)
    watch.look()
    firm.now = JANUARY + 2 * HOUR
    watch.look()
    assert [kind for _, _, kind, _ in told(firm)] == ["crossed", "recovered", "crossed"]


def test_every_destination_gets_a_message_with_the_alert(firm):
    (lot,) = firm.lot_ids("Ada")
    firm.call("Ada", lot, 50 * CREDIT)
    watch = desk(firm, OPS, DestinationSettings(name="cleo", email="cleo@acme.example"))
    watch.look()
    assert [(one.destination, one.told["threshold_percent"]) for one in watch.due()] == [("ops", 50), ("cleo", 50)]


# ---- the outbox ---------------------------------------------------------------------------------------------------


def state(firm):
    (one,) = firm.reports.alerts(1)[0]["messages"]
    return one["state"], one["attempt_count"], one["last_error"]


def fail(firm):
    """The one message that is due is tried, in vain."""
    (row,) = alerting.due(firm.connection, firm.now)
    alerting.note_outcomes(firm.connection, [Outcome(row.id, "HTTP 503")], firm.now)
    firm.connection.rollback()
    assert alerting.due(firm.connection, firm.now) == []


def test_a_failed_delivery_is_tried_again_after_pauses_that_double_and_then_given_up(firm):
    firm.do("alert.test", destination="ops")
    pauses = [10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600]
    assert pauses == [pause_seconds(number) for number in range(1, MESSAGE_ATTEMPTS_MAX)]
    for pause in pauses:
        fail(firm)
        firm.now += pause * 1_000_000 - 1
        assert alerting.due(firm.connection, firm.now) == []
        firm.now += 1
    fail(firm)
    assert state(firm) == ("dead", 12, "HTTP 503")
    assert [one["kind"] for one in firm.reports.alerts(10, dead_only=True)] == ["test"]


def test_a_message_that_was_given_up_is_tried_again_when_a_person_says_so(firm):
    made = firm.do("alert.test", destination="ops")
    assert firm.ask("alert.retry", message=made["message"]).problem_kind == "not_dead"
    (row,) = alerting.due(firm.connection, firm.now)
    alerting.note_outcomes(firm.connection, [Outcome(row.id, "HTTP 410 Gone", final=True)], firm.now)
    assert state(firm) == ("dead", 1, "HTTP 410 Gone")
    assert firm.do("alert.retry", message=made["message"])["message_count"] == 1
    (row,) = alerting.due(firm.connection, firm.now)
    alerting.note_outcomes(firm.connection, [Outcome(row.id)], firm.now)
    assert state(firm) == ("delivered", 1, None)
    assert firm.ask("alert.retry", message="message_1").problem_kind == "not_found"
    assert firm.do("alert.retry")["message_count"] == 0


# ---- receivers ----------------------------------------------------------------------------------------------------

TOLD = {
    "alert": "alert_1", "kind": "crossed", "subject": "limit", "subject_id": "limit_1", "name": "ada-daily",
    "threshold_percent": 80, "used": {"amount": "16", "unit": "credits"}, "of": {"amount": "20", "unit": "credits"},
    "recorded_at": JANUARY,
}  # fmt: skip


def test_a_webhook_is_signed_as_standard_webhooks_are():
    with opened(Receiver()) as receiver:
        settings = AlertSettings(destinations=(DestinationSettings(name="ops", url=receiver.url, signing_key=KEY),))
        assert send(settings, "ops", "message_1", TOLD, JANUARY) == Outcome(0)
        (hook,) = receiver.hooks
    assert hook.path == "/hooks/tokenroll?of=acme"
    assert (hook.headers["webhook-id"], hook.headers["webhook-timestamp"]) == ("message_1", "1767225600")
    signed = b"message_1.1767225600." + hook.body
    assert (
        hook.headers["webhook-signature"] == "v1," + base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
    )
    body = json.loads(hook.body)
    assert (body["type"], body["timestamp"]) == ("limit.threshold.crossed", "2026-01-01T00:00:00Z")
    assert (body["data"]["name"], body["data"]["threshold_percent"]) == ("ada-daily", 80)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (204, Outcome(0)),
        (302, Outcome(0, "HTTP 302 Found")),
        (410, Outcome(0, "HTTP 410 Gone", final=True)),
        (503, Outcome(0, "HTTP 503 Service Unavailable")),
    ],
)
def test_only_a_good_answer_is_a_delivery(status, outcome):
    with opened(Receiver()) as receiver:
        receiver.answers = [status]
        settings = AlertSettings(destinations=(DestinationSettings(name="ops", url=receiver.url, signing_key=KEY),))
        assert send(settings, "ops", "message_1", TOLD, JANUARY) == outcome


def test_nobody_there_is_a_failure_that_passes_and_a_name_that_is_gone_is_none():
    settings = AlertSettings(destinations=(OPS,))
    outcome = send(settings, "ops", "message_1", TOLD, JANUARY)
    assert (outcome.error.split(":")[0], outcome.final) == ("ConnectionRefusedError", False)
    assert send(settings, "old", "message_1", TOLD, JANUARY).final
    keyless = AlertSettings(destinations=(DestinationSettings(name="ops", url="http://127.0.0.1:9/"),))
    assert "the signing key of ops is not set" in send(keyless, "ops", "message_1", TOLD, JANUARY).error


def mailing(office, tmp_path, security, **changes):
    smtp = SmtpSettings(
        host="localhost", port=office.port, sender="tokenroll@acme.example", security=security,
        ca_file=tmp_path / "localhost.pem", **changes,
    )  # fmt: skip
    return AlertSettings(destinations=(DestinationSettings(name="cleo", email="cleo@acme.example"),), smtp=smtp)


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_mail_says_it_in_words_over_tls(tmp_path, security):
    _, context = certificate(tmp_path, "localhost")
    with opened(MailServer(context, starttls=security == "starttls")) as office:
        settings = mailing(office, tmp_path, security, user="tokenroll", password="secret")
        assert send(settings, "cleo", "message_1", TOLD, JANUARY) == Outcome(0)
    ((sender, receivers, text),) = office.mails
    assert (sender, receivers) == ("tokenroll@acme.example", ["cleo@acme.example"])
    assert office.was_encrypted == [True]
    assert base64.b64decode(office.logins[0]) == b"\0tokenroll\0secret"
    mail = message_from_string(text)
    assert mail["Subject"] == "tokenroll: limit ada-daily has used 80 %"
    assert mail["Message-ID"] == "<message_1@tokenroll>"
    assert "16 of 20 credits of its cap in the present window are used." in mail.get_payload()


def test_a_mail_server_that_refuses_or_is_not_who_it_says_is_a_failure_that_passes(tmp_path):
    _, context = certificate(tmp_path, "localhost")
    (tmp_path / "other").mkdir()
    certificate(tmp_path / "other", "localhost")
    with opened(MailServer(context)) as office:
        office.refusing = True
        outcome = send(mailing(office, tmp_path, "tls"), "cleo", "message_1", TOLD, JANUARY)
        assert (outcome.error.split(":")[0], outcome.final) == ("SMTPSenderRefused", False)
        office.refusing = False
        outcome = send(mailing(office, tmp_path / "other", "tls"), "cleo", "message_1", TOLD, JANUARY)
        assert (outcome.error.split(":")[0], outcome.final) == ("SSLCertVerificationError", False)
    assert office.mails == []
