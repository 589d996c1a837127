"""What a newcomer runs into: full disks, closed pipes, slips of the finger. One line each, and nothing half done."""

import contextlib
import gzip
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tokenroll.cli import main
from tokenroll.cli.ratecard import CARD_EXAMPLE
from tokenroll.services.ledger_home import held_lock

GRANT = ("grant", "create", "Ada", "--plan", "tools", "--dry-run")


@pytest.fixture(scope="module")
def small_home(tmp_path_factory):
    home = tmp_path_factory.mktemp("mishaps") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKENROLL_HOME", str(home))
        for line in (
            ("init", "--zone", "Europe/Berlin"),
            ("department", "create", "Engineering"),
            ("member", "create", " Ada ", "--department", "Engineering"),
            (
                "plan",
                "create",
                "tools",
                "--kind",
                "stipend",
                "--classification",
                "tool",
                "--amount",
                "1",
                "--lifetime",
                "3m",
            ),
        ):
            assert main(line) == 0
    return home


@pytest.fixture
def home(small_home, monkeypatch, capsys):
    monkeypatch.setenv("TOKENROLL_HOME", str(small_home))
    capsys.readouterr()
    return small_home


@pytest.fixture
def copied_home(home, tmp_path, monkeypatch):
    """A copy of the home, for what changes or spoils it."""
    copy = tmp_path / "copy"
    shutil.copytree(home, copy)
    monkeypatch.setenv("TOKENROLL_HOME", str(copy))
    return copy


def eventually(check, seconds=60):
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.002)


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "tokenroll", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def told(capsys, *arguments, code=2):
    assert main(arguments) == code
    shown = capsys.readouterr()
    assert shown.err.startswith("tokenroll: ")
    assert shown.err.count("\n") == 1
    return shown.err


@pytest.mark.parametrize(
    "line", [("--version",), ("wallet", "list"), ("journal", "export"), ("member", "list", "--json")]
)
def test_it_says_in_one_line_that_its_output_is_full(home, line):
    with Path("/dev/full").open("w") as full:
        done = run(*line, stdout=full)
    assert (done.returncode, done.stderr) == (
        1,
        "tokenroll: standard output cannot be written: No space left on device\n",
    )


def unread(*arguments):
    """The command with a reader that has gone, as after `| head -1`."""
    reading, writing = os.pipe()
    os.close(reading)
    done = run(*arguments, stdout=writing)
    os.close(writing)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("line", "code"), [(("wallet", "list"), 0), (("--help",), 0), (("payrun", "run", "this month"), 1)]
)
def test_it_ends_in_silence_with_its_own_code_when_nobody_reads_on(home, line, code):
    month = f"{datetime.now(UTC):%Y-%m}"  # now, and not when the tests were found
    assert unread(*(month if part == "this month" else part for part in line)) == (code, "")


def test_it_revokes_a_key_whose_reader_has_gone(home, capsys):
    code, said = unread("key", "create", "--member", "Ada", "--name", "piped")
    assert code == 1
    assert said.endswith(
        " was made, but its secret could not be shown (Broken pipe), so it was revoked again: make another one\n"
    )
    assert main(["key", "list", "--json"]) == 0
    assert [one["state"] for one in json.loads(capsys.readouterr().out) if one["name"] == "piped"] == ["revoked"]


def test_it_makes_no_key_that_would_never_work(home, capsys):
    said = told(capsys, "key", "create", "--member", "Ada", "--expires-at", "2020-01-01T00:00:00Z", code=1)
    assert said == (
        "tokenroll: --expires-at: 2020-01-01T00:00:00Z is over, so the key would never work: "
        "name a time to come, or leave it out\n"
    )


def test_it_says_how_a_key_is_named(home, capsys):
    assert told(capsys, "key", "revoke", "tr-6X2", code=1) == (
        "tokenroll: there is no key 'tr-6X2': the ids of keys begin with key_, and `tokenroll key list` shows them\n"
    )


def test_a_company_in_no_zone_is_refused_in_the_words_of_the_file(copied_home, capsys):
    config = copied_home / "config.toml"
    config.write_text(config.read_text().replace('"Europe/Berlin"', '"Mars/Base"'))
    for line in (("member", "list"), ("serve", "--port", "0"), ("department", "create", "Sales")):
        assert told(capsys, *line, code=1) == (
            f"tokenroll: {config}:5: company.zone must be an IANA time zone, such as Europe/Berlin, not 'Mars/Base'\n"
        )


def test_it_serves_no_zone_but_the_ledgers(copied_home):
    config = copied_home / "config.toml"
    config.write_text(config.read_text().replace('"Europe/Berlin"', '"Europe/Lisbon"'))
    done = run("serve", "--port", "0", stdout=subprocess.DEVNULL)
    assert done.returncode == 1
    assert (
        f"tokenroll ledger: {config}:5: company.zone says Europe/Lisbon, but the ledger of this home was made for Europe/Berlin, and "
        'its cycles are counted there: write zone = "Europe/Berlin", or leave the line out. Members have zones of their own; a '
        "company in another zone is another home\n"
    ) in done.stderr


def test_a_home_in_no_zone_is_not_made(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TOKENROLL_HOME", str(tmp_path / "new"))
    for zone in ("Mars/Base", "Europe"):
        message = f"tokenroll: {zone!r} is not an IANA time zone, such as Europe/Berlin\n"
        assert told(capsys, "init", "--zone", zone, code=2) == message
    assert not (tmp_path / "new").exists()


def test_an_exported_journal_has_the_name_that_the_pages_have(copied_home, capsys):
    config = copied_home / "config.toml"
    config.write_text(config.read_text().replace('name = "Company"', 'name = "Acme"'))
    assert main(["journal", "export"]) == 0
    assert 'option "title" "Acme"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"", "0 characters"), (b"\n", "0 characters"), (b"x\n", "1 characters"), (b"short\n", "5 characters"),
        (b"fifteen-letters", "15 characters"), (b"a b c d e f g h i j", "19 characters"), (b"sixteen\tletters!", "others"),
        (b"s\xe9cret-of-sixteen", "others"),
    ],
)  # fmt: skip
def test_a_key_that_can_be_guessed_is_not_taken(home, tmp_path, capsys, line, found):
    (tmp_path / "secret").write_bytes(line)
    make = ("key", "create", "--member", "Ada", "--name", "guessed", "--secret-file", str(tmp_path / "secret"))
    assert told(capsys, *make, code=2) == (
        "tokenroll: --secret-file: a key is one line of 16 to 256 printable ASCII characters, of which at least 16 are no blanks, "
        f"and this file has {found}: whoever guesses it spends the wallet, so bring a longer one, or leave --secret-file out for a "
        "new key\n"
    )
    assert told(capsys, "key", "show", "guessed", code=1).startswith("tokenroll: there is no key 'guessed'")


def test_a_key_of_sixteen_characters_is_taken(home, tmp_path, capsys):
    (tmp_path / "secret").write_text("sixteen-letters!\n")
    line = [
        "key",
        "create",
        "--member",
        "Ada",
        "--name",
        "sixteen",
        "--secret-file",
        str(tmp_path / "secret"),
        "--dry-run",
    ]
    assert main(line) == 0
    assert capsys.readouterr().out.startswith("would create key sixteen for Ada\n")


def test_it_revokes_the_one_key_that_begins_so(home, tmp_path, capsys):
    for secret in ("my-abcdef-0123456789", "my-abcxyz-0123456789"):
        (tmp_path / "secret").write_text(secret)
        assert (
            main(["key", "create", "--member", "Ada", "--name", secret[:9], "--secret-file", str(tmp_path / "secret")])
            == 0
        )
    capsys.readouterr()
    assert told(capsys, "key", "revoke", "my-abc", code=1).startswith("tokenroll: 'my-abc' names 2 keys: use the id; ")
    assert main(["key", "revoke", "my-abcd"]) == 0
    capsys.readouterr()
    assert main(["key", "list", "--json"]) == 0
    states = {one["name"]: one["state"] for one in json.loads(capsys.readouterr().out)}
    assert (states["my-abcdef"], states["my-abcxyz"]) == ("revoked", "live")


@pytest.mark.parametrize(
    ("calls", "says"), [("-1", "greater than or equal to 1 "), ("0", "greater than or equal to 1 "), ("1001", "less than or equal to 1000 ")]
)  # fmt: skip
def test_it_lists_between_one_call_and_a_thousand(home, capsys, calls, says):
    assert main(["wallet", "show", "Ada", "--calls", calls]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ('{"provider": "ours", "model": "small", "rates": []}', "it lacks prices; it needs provider, model and prices"),
        ("[]", "it must be an object"),
        ('{"provider": "ours", "model": "small", "prices": {"standard": 1}}', "prices must name service tiers, each with its meters and prices"),
    ],
)  # fmt: skip
def test_it_says_what_a_card_lacks(home, tmp_path, capsys, card, says):
    (tmp_path / "card.json").write_text(card)
    assert told(capsys, "ratecard", "set", "--file", str(tmp_path / "card.json")) == (
        f"tokenroll: {tmp_path}/card.json is not a rate card: {says}, such as "
        '{"provider": "ours", "model": "small", "prices": {"standard": {"input": "0.15", "output": "0.60"}}}\n'
    )


@pytest.mark.parametrize(
    ("option", "price", "says"),
    [
        ("--input", "-3", "--input: -3 must lie between 0 and 1000000000 credits per million tokens"),
        ("--training", "2e9", "--training: 2e9 must lie between 0 and 1000000000 credits per million tokens"),
        ("--output", "three", "--output: 'three' is not a number of credits per million tokens, such as 0.15"),
    ],
)
def test_it_speaks_of_a_price_as_it_was_written(home, capsys, option, price, says):
    assert told(capsys, "ratecard", "set", "--model", "small", option, price) == f"tokenroll: {says}\n"


def test_it_speaks_of_a_price_in_a_file_as_it_was_written(home, tmp_path, capsys):
    (tmp_path / "card.json").write_text(CARD_EXAMPLE.replace("0.15", "-3"))
    assert told(capsys, "ratecard", "set", "--file", str(tmp_path / "card.json")) == (
        "tokenroll: input = '-3' must lie between 0 and 1000000000 for 1000000 of it\n"
    )


def test_it_makes_no_key_with_a_budget_of_nothing(home, capsys):
    assert told(capsys, "key", "create", "--member", "Ada", "--name", "nothing", "--budget", "0") == (
        "tokenroll: a budget of 0 credits would refuse every call of this key: name one above 0, leave it out for a key that "
        "only its wallet bounds, or end the key with `tokenroll key revoke`\n"
    )
    assert main(["key", "list", "--json"]) == 0
    assert [one for one in json.loads(capsys.readouterr().out) if one["name"] == "nothing"] == []


def test_it_says_in_words_how_far_a_write_has_come(copied_home, capsys):
    assert main(["department", "create", "Sales"]) == 0
    said = capsys.readouterr().out
    assert main(["department", "create", "Support", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["delivery"] == "no_worker"
    assert "no gateway runs now; the next one that starts works by it\n" in said
    assert "no_worker" not in said


@pytest.mark.parametrize(
    "line", [("init",), ("key", "create", "--member", "Ada"), ("serve", "--port", "0")], ids=lambda line: line[0]
)
def test_it_says_what_is_lost_with_the_secret_and_sends_nobody_in_a_circle(copied_home, capsys, line):
    (copied_home / "secret").unlink()
    said = told(capsys, *line, code=1)
    assert said == (
        f"tokenroll: {copied_home}/secret is missing: put it back from your backup. Every key of this home is hashed with it, so "
        "without it no key works, and no command can make it again; wallets, grants and the journal are whole and can still be "
        "read\n"
    )
    assert not (copied_home / "secret").exists()
    assert main(["wallet", "show", "Ada"]) == 0
    assert main(["journal", "verify"]) == 0


RESTORE = (
    "stop `tokenroll serve`, keep ledger.db and its -wal and -shm aside, put your backup in their place, then "
    "`tokenroll journal verify`"
)


def spoilt(ledger, how):
    """What a failing disk or a slip of the hand leaves of a ledger."""
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'entries'").fetchone()
    whole = ledger.read_bytes()
    ledger.with_name("ledger.db-wal").unlink(missing_ok=True)
    start = (root - 1) * page_bytes
    hole = whole[:start] + b"\xa5" * page_bytes + whole[start + page_bytes :]
    left = {
        "noise": random.Random(1).randbytes(100_000),
        "zeros": bytes(100_000),
        "half": whole[: len(whole) // 2],
        "hole": hole,
    }
    ledger.write_bytes(left[how])


@pytest.mark.parametrize("how", ["noise", "zeros", "half"])
@pytest.mark.parametrize(
    "line",
    [("wallet", "list"), ("department", "create", "Sales"), ("journal", "verify"), ("journal", "export")],
    ids=" ".join,
)
def test_it_says_in_one_line_that_the_ledger_is_damaged_and_what_next(copied_home, capsys, line, how):
    spoilt(copied_home / "ledger.db", how)
    before = (copied_home / "ledger.db").read_bytes()
    said = told(capsys, *line, code=1)
    assert said.startswith(f"tokenroll: the ledger of {copied_home} is damaged (")
    assert said.endswith(f"): {RESTORE}; nothing was changed\n")
    assert (copied_home / "ledger.db").read_bytes() == before


def test_verify_says_that_a_ledger_with_a_hole_is_damaged(copied_home, capsys):
    spoilt(copied_home / "ledger.db", "hole")
    assert RESTORE in told(capsys, "journal", "verify", code=1)


@pytest.mark.parametrize(
    "line", [("wallet", "list"), ("department", "create", "Sales"), ("journal", "verify")], ids=" ".join
)
def test_it_never_fills_an_emptied_ledger_anew(copied_home, capsys, line):
    (copied_home / "ledger.db").write_bytes(b"")
    assert told(capsys, *line, code=1) == (
        f"tokenroll: the ledger at {copied_home}/ledger.db holds nothing, not even its tables: {RESTORE}\n"
    )
    assert main(["init"]) == 1
    assert (copied_home / "ledger.db").read_bytes() == b""


def test_the_card_of_a_reranker_in_the_docs_is_one(copied_home, tmp_path, capsys):
    page = (Path(__file__).parents[2] / "docs" / "endpoints.md").read_text()
    (card,) = re.findall(r"```json\n(.*search_unit.*)\n```", page)
    (tmp_path / "rerank.json").write_text(card)
    assert main(["ratecard", "set", "--file", str(tmp_path / "rerank.json")]) == 0
    capsys.readouterr()
    assert main(["ratecard", "show", "rerank-v3.5", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    internal = [(one["meter"], one["amount"], one["unit"]) for one in shown["rates"] if one["price"] == "internal"]
    assert internal == [("search_unit", "2.00", "thousand searches of a reranker")]


def test_its_example_of_a_card_is_one(home, tmp_path):
    (tmp_path / "card.json").write_text(CARD_EXAMPLE)
    assert main(["ratecard", "set", "--file", str(tmp_path / "card.json"), "--dry-run"]) == 0


def test_it_revokes_a_key_that_nobody_could_see(home, capsys):
    with Path("/dev/full").open("w") as full:
        done = run("key", "create", "--member", "Ada", "--name", "unseen", stdout=full)
    assert main(["key", "list", "--json"]) == 0
    (key,) = [one for one in json.loads(capsys.readouterr().out) if one["name"] == "unseen"]
    assert key["state"] == "revoked"
    assert done.returncode == 1
    assert done.stderr == (
        f"tokenroll: key {key['key']} was made, but its secret could not be shown (No space left on device), "
        "so it was revoked again: make another one\n"
    )


def no_more_than(size):
    """Every file that the command writes ends at `size`, as on a disk that is full there."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_it_says_in_one_line_that_the_disk_is_full_and_makes_nothing(home, capsys):
    done = run(
        "member",
        "create",
        "Bo",
        "--department",
        "Engineering",
        stdout=subprocess.DEVNULL,
        preexec_fn=no_more_than(4096),
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"tokenroll: the disk of {home} ")
    assert done.stderr.endswith("; nothing was changed\n")
    assert done.stderr.count("\n") == 1
    assert "Bo" not in told(capsys, "member", "show", "Bo", code=1).replace("no member 'Bo'", "")
    assert main(["journal", "verify"]) == 0


def test_it_leaves_no_half_a_home_on_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKENROLL_HOME", str(tmp_path / "new"))
    done = run("init", stdout=subprocess.DEVNULL, preexec_fn=no_more_than(8192))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert [one.name for one in (tmp_path / "new").rglob("*") if one.is_file()] == ["lock"]
    assert main(["init"]) == 0


KILLED_WHEN = {
    "the secret is half written": "import os, tokenroll.cli.init as at; os.fsync = die",
    "the ledger has no tables": "import tokenroll.store.database as at; at._bring_up_to_date = die",
    "the ledger is whole under another name": "import tokenroll.store.database as at; at.checkpoint = die",
    "the ledger is whole and knows no company": "import tokenroll.services.people as at; at.name_given = die",
}


@pytest.mark.parametrize("when", KILLED_WHEN)
def test_an_init_that_was_killed_does_not_stop_the_next_one(tmp_path, monkeypatch, when):
    home = tmp_path / "new"
    monkeypatch.setenv("TOKENROLL_HOME", str(home))
    program = f"import os, sys\ndie = lambda *_, **__: os.kill(os.getpid(), 9)\n{KILLED_WHEN[when]}\n"
    program += "from tokenroll.cli import main\nmain(['init', '--name', 'Babbage'])"
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == -9
    assert [one.name for one in home.iterdir()] != []
    assert main(["init", "--name", "Lovelace", "--zone", "Europe/Berlin"]) == 0
    assert sorted(one.name for one in home.rglob("*") if one.is_file() and ".new" in one.name) == []
    with sqlite3.connect(home / "ledger.db") as ledger:
        told = dict(ledger.execute("SELECT name, value FROM settings WHERE name LIKE 'company%'").fetchall())
    assert told == {"company_name": "Lovelace", "company_zone": "Europe/Berlin"}
    assert len((home / "secret").read_bytes()) == 32
    assert main(["department", "create", "Engineering"]) == 0
    assert main(["init"]) == 1


def test_init_makes_no_ledger_beside_the_log_of_a_lost_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TOKENROLL_HOME", str(tmp_path))
    log = tmp_path / "ledger.db-wal"
    log.write_bytes(b"what was committed last")
    said = told(capsys, "init", code=1)
    assert said == f"tokenroll: the ledger at {tmp_path}/ledger.db is gone, and its log is still there: {RESTORE}\n"
    assert log.read_bytes() == b"what was committed last"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ((*GRANT, "--effective-at", "9999-12-31T23:59:59Z"), "--effective-at: 9999-12-31T23:59:59Z must lie in the years from 2000 to 2999"),
        ((*GRANT, "--effective-at", ""), "--effective-at: '' is not an RFC 3339 time"),
        ((*GRANT, "--amount", "-1"), "--amount is -1 credits; it must lie between 0 and 1000000000 credits"),
        ((*GRANT, "--amount", "9" * 20), "it must lie between 0 and 1000000000 credits"),
        ((*GRANT, "--amount", "1_000"), "--amount: '1_000' is not a decimal amount"),
        (("member", "create", "   ", "--department", "Engineering"), "the name is missing"),
        (("member", "create", "Bo", "--department", "Engineering", "--hired-on", "soon"), "'soon' is not a date"),
        (("member", "create", "Bo", "--department", "Engineering", "--zone", "Mars"), "'Mars' is not an IANA time zone"),
        (("payslip", "show", "Ada", "2026-13"), "a cycle is a month such as 2026-01"),
        (("payrun", "preview", "9999-12"), "a cycle lies in the years from 2000 to 2999, so 9999-12 is none"),
        (("payrun", "dates", "--from", "9999-12-31"), "a cycle lies in the years from 2000 to 2999, so 9999-12-31 is none"),
        (("key", "create", "--member", "Ada", "--expires-at", ""), "--expires-at: ''"),
    ],
)  # fmt: skip
def test_it_takes_every_value_that_cannot_be_right_for_wrong_usage(home, capsys, line, says):
    assert says in told(capsys, *line)


@pytest.mark.parametrize("option", [("--lifetime", "soon"), ("--priority", "256"), ("--months", "-1")])
def test_it_takes_a_plan_that_cannot_be_for_wrong_usage(home, option):
    line = ["plan", "create", "x", "--kind", "stipend", "--classification", "tool", "--amount", "1", "--dry-run"]
    assert main([*line, *option]) == 2


def test_it_tells_a_program_of_a_missing_argument_in_json(home, capsys):
    assert main(["grant", "show", "--json"]) == 2
    shown = capsys.readouterr()
    assert json.loads(shown.out)["problem"] == {"kind": "usage", "detail": "Missing argument 'grant'."}
    assert shown.err == "tokenroll: Missing argument 'grant'.\n"


def test_it_says_what_a_dry_run_would_do(home, capsys):
    assert main(["member", "create", " Bo ", "--department", "Engineering", "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("would create member Bo\n")
    assert main(["member", "leave", "Ada", "--on", "2030-01-31", "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("would record that Ada leaves on 2030-01-31\n")
    assert main(["payrun", "run", f"{datetime.now(UTC):%Y-%m}"]) == 1
    assert " 1 slip, opening" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["ada", "A da", "Ａｄａ", " ADA "])
def test_it_warns_hr_of_a_name_that_looks_like_adas(home, capsys, name):
    assert main(["member", "create", name, "--department", "Engineering", "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"would create member {name.strip()}\n")
    warning = f"tokenroll: {name.strip()!r} looks like the member 'Ada', who is somebody else: `tokenroll member show 'Ada'`\n"
    assert shown.err == warning


def test_it_warns_of_no_name_that_only_begins_alike(home, capsys):
    assert main(["member", "create", "Adam", "--department", "Engineering", "--dry-run"]) == 0
    assert capsys.readouterr().err == ""


def test_it_says_how_to_see_which_prices_it_skipped(home, capsys):
    assert main(["ratecard", "import", "--dry-run"]) == 0
    assert "`tokenroll ratecard import --dry-run --json` names each with its reason" in capsys.readouterr().out
    assert main(["ratecard", "import", "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["skipped"]) == found["skipped_count"] > 0


def test_it_says_when_an_open_month_can_be_closed_and_decides_nothing_before(home, capsys):
    assert (
        "2998-01 has not ended in every zone yet: it ends at 2998-01-31T23:00:00Z, at midnight in Europe/Berlin"
        in told(capsys, "payrun", "close", "2998-01", code=1)
    )
    with contextlib.closing(sqlite3.connect(home / "ledger.db")) as ledger:
        assert ledger.execute("SELECT count(*) FROM commands WHERE name = 'suspense.decide'").fetchone() == (0,)


def test_it_has_no_slip_of_a_month_that_has_not_begun_or_was_before_the_wallet(home, capsys):
    assert "2998-01 has not begun, so there is no slip of it" in told(
        capsys, "payslip", "show", "Ada", "2998-01", code=1
    )
    early = told(capsys, "payslip", "show", "Ada", "2025-01", code=1)
    assert "the wallet of Ada was opened in " in early
    assert early.endswith(": there is no slip of 2025-01\n")


FIRST_REVISION = Path(__file__).parents[1] / "unit/store/data/ledger-0001.db.gz"
PLAIN = '\n[deployments.a]\ndialect = "openai"\nbase_url = "{url}"\napi_key_env = "A"\n{more}'


@pytest.mark.parametrize(
    ("url", "more", "says"),
    [
        (
            "http://example.com/v1",
            "",
            "plain http to example.com would send the company's key unprotected; use https, or set",
        ),
        ("https://example.com/v1", 'ca_file = "/no/such.pem"\n', "ca_file /no/such.pem cannot be used"),
    ],
)
def test_it_does_not_serve_by_a_deployment_that_cannot_be(tmp_path, monkeypatch, capsys, url, more, says):
    monkeypatch.setenv("TOKENROLL_HOME", str(tmp_path))
    assert main(["init"]) == 0
    with (tmp_path / "config.toml").open("a") as config:
        config.write(PLAIN.format(url=url, more=more))
    line = (tmp_path / "config.toml").read_text().splitlines().index("[deployments.a]") + 1
    capsys.readouterr()
    shown = told(capsys, "serve", "--port", "0", code=1)
    assert shown.startswith(f"tokenroll: {tmp_path}/config.toml:{line}: deployments.a: {says}")
    assert list((tmp_path / "run").glob("*.pid")) == []


def test_it_says_at_once_what_it_starts_and_who_has_the_lock(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKENROLL_HOME", str(tmp_path))
    assert main(["init"]) == 0
    command = [sys.executable, "-m", "tokenroll", "serve", "--port", "0", "--json"]
    with held_lock(tmp_path / "run" / "lock"):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert process.stderr.readline() == "tokenroll serve: starting the ledger\n"
        waiting = f"tokenroll ledger: waiting up to 10 s, because another process (pid {os.getpid()}) holds {tmp_path}/run/lock: "
        assert process.stderr.readline().startswith(waiting)
    with process:
        assert process.stderr.readline() == "tokenroll ledger: it goes on\n"
        assert process.stderr.readline().startswith("tokenroll serve: starting the pages; ")
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["pid"] == process.pid
        process.terminate()


def test_a_supervisor_that_is_killed_while_a_role_begins_leaves_nobody_behind(copied_home):
    """The role is not so far that the kernel would tell it: left alone it would keep lock and port, and no `serve` could start again."""
    written = copied_home / "run" / "ledger.pid"
    written.unlink(missing_ok=True)
    with subprocess.Popen([sys.executable, "-m", "tokenroll", "serve", "--port", "0"], stdout=-3, stderr=-3) as serving:
        eventually(written.exists)
        serving.kill()
    role = Path("/proc") / written.read_text().strip()
    eventually(lambda: not role.exists() or not (role / "cmdline").read_bytes())
    with held_lock(copied_home / "run" / "lock"):
        pass  # nobody has it


def test_a_home_of_an_earlier_release_is_served(copied_home):
    """Nobody but the ledger's own process can read it before that has brought it up to date."""
    for log in copied_home.glob("ledger.db-*"):
        log.unlink()
    (copied_home / "ledger.db").write_bytes(gzip.decompress(FIRST_REVISION.read_bytes()))
    config = copied_home / "config.toml"
    config.write_text(config.read_text().replace('"Europe/Berlin"', '"UTC"'))
    command = [sys.executable, "-m", "tokenroll", "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = process.stdout.readline()
        process.terminate()
        why = process.stderr.read()
    assert said, why
    assert json.loads(said)["pid"] == process.pid


@pytest.mark.parametrize("role", ["ledger", "gateway-000"])
def test_a_role_that_is_killed_while_it_starts_is_started_again(copied_home, role):
    """The gateway may serve calls by then: its callers must not hear that nobody is there, because one process died."""
    pid = copied_home / "run" / f"{role}.pid"
    pid.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tokenroll", "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        eventually(pid.exists)
        os.kill(int(pid.read_text()), signal.SIGKILL)
        said = process.stdout.readline()
        process.terminate()
        why = process.stderr.read()
    assert said, why
    assert json.loads(said)["pid"] == process.pid
    assert f"tokenroll serve: {role} ended (signal 9); starting it again in 0.1 s" in why


def test_it_ends_when_a_role_cannot_start(copied_home):
    spoilt(copied_home / "ledger.db", "noise")
    done = run("serve", "--port", "0", stdout=subprocess.DEVNULL)
    assert done.returncode == 1
    assert (
        f"tokenroll ledger: the ledger of {copied_home} is damaged (file is not a database): {RESTORE}" in done.stderr
    )
    assert done.stderr.splitlines()[-1].endswith("did not start (exit code 1); its reason stands above")
    assert "Traceback" not in done.stderr


def test_it_ends_a_gateway_whose_deployments_cannot_be(tmp_path, monkeypatch):
    """The ledger is there and gives the lease; the worker must still end, not wait for ever."""
    monkeypatch.setenv("TOKENROLL_HOME", str(tmp_path))
    assert main(["init"]) == 0
    with (tmp_path / "config.toml").open("a") as config:
        config.write(PLAIN.format(url="http://example.com/v1", more=""))
    role = [sys.executable, "-m", "tokenroll.cli.role"]
    with subprocess.Popen([*role, "ledger"]) as ledger:
        try:
            with socket.create_server(("127.0.0.1", 0)) as listening:
                fd = listening.fileno()
                done = subprocess.run(
                    [*role, "gateway", "--fd", str(fd)], pass_fds=(fd,), stderr=subprocess.PIPE, text=True, timeout=60, check=False
                )  # fmt: skip
        finally:
            ledger.terminate()
    assert done.returncode == 1
    assert "cannot start: a: plain http to example.com would send the company's key unprotected" in done.stderr
    assert "Traceback" not in done.stderr


def test_of_two_that_make_one_home_at_once_one_makes_it_and_the_other_takes_nothing_away(tmp_path):
    environment = {**os.environ, "TOKENROLL_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "tokenroll", "init", "--name"]
    both = [subprocess.Popen([*command, name], env=environment, stdout=-3, stderr=-3) for name in ("Acme", "Bolt")]
    assert sorted(one.wait(60) == 0 for one in both) == [False, True]
    assert (tmp_path / "home" / "ledger.db").stat().st_size > 0
