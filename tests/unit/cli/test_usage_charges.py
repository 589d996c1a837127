"""`tokenroll usage charge` and `usage charges`: what finance reads, and what they are told when nothing can be charged."""

import json

import pytest

from tests.lake_kit import event
from tests.made_home import home_of
from tokenroll.cli import main
from tokenroll.cli.usage_charges import trial_lake
from tokenroll.model.usage_event import Billing
from tokenroll.store.lake import open_lake, read_lake

CREDIT = 1_000_000_000
MADE = (
    ("init", "--name", "Acme", "--zone", "UTC"),
    ("department", "create", "Engineering"),
    ("member", "create", "Ada", "--department", "Engineering"),
)


@pytest.fixture
def home(tmp_path, monkeypatch, capsys):
    """Ada has no lot, so that the company carries what she used; Zoe is nobody, and one event is of a seat."""
    home_of(tmp_path, monkeypatch, *MADE)
    with open_lake(tmp_path / "home" / "lake") as lake:
        lake.append(
            [
                event(1, list_cost_nanos=2_500_000_000), event(2, member="Zoe"), event(3, billing=Billing.SEAT),
                event(4, requested_model="own", list_cost_nanos=None), event(5, source="codex"),
            ],
            {},
        )  # fmt: skip
    capsys.readouterr()
    return tmp_path


def said(capsys, *arguments, code=0):
    assert main(["usage", *arguments]) == code
    return capsys.readouterr()


def test_a_dry_run_a_charge_and_again(home, capsys):
    tried = said(capsys, "charge", "--source", "claude-code", "--dry-run")
    assert "would charge 2.50 credits, of which the company carries 2.50 that no lot could pay" in tried.out
    done = said(capsys, "charge", "--source", "claude-code")
    *_, ada, summary = (line for line in done.out.splitlines() if line.strip())
    assert ada.split() == ["Ada", "claude-code", "1", "2.50", "0.00", "2.50"]
    assert summary == "charged 2.50 credits, of which the company carries 2.50 that no lot could pay"
    assert done.err.splitlines() == [
        "not charged: 1 event of Ada by claude-code, of a seat, not billed by use (sonnet): `--seats` charges it, too",
        "not charged: 1 event of Ada by claude-code, without a price (own): neither your rate cards nor the published prices had one when it was used",
        "not charged: 1 event of Zoe by claude-code, of nobody who is a member (sonnet): `tokenroll member create NAME` under that very name, then `tokenroll usage charge`",
    ]
    again = said(capsys, "charge", "--source", "claude-code")
    assert "charged 0.00 credits\n" in again.out
    listed = said(capsys, "charges").out
    assert [line.split()[:6] for line in listed.splitlines() if "Ada" in line] == [
        ["Ada", "claude-code", "2026-01-05", "sonnet", "2.50", "0.00"]
    ]


def test_a_dry_run_of_more_than_one_command_takes_says_what_the_company_carries_at_least(tmp_path, monkeypatch, capsys):
    """60 of a credit each, 55 in Ada's lot: the first fifty fit, and the last ten would, too, if those were not paid."""
    since = ("--effective-at", "2026-01-01T00:00:00Z")
    plan = (
        ("plan", "create", "tools", "--kind", "stipend", "--classification", "tool", "--amount", "55", *since),
        ("grant", "create", "Ada", "--plan", "tools", *since),
    )
    home_of(tmp_path, monkeypatch, *MADE, *plan)
    events = [event(number, requested_model=f"m{number}", list_cost_nanos=CREDIT) for number in range(60)]
    with open_lake(tmp_path / "home" / "lake") as lake:
        lake.append(events, {})
    capsys.readouterr()
    tried = said(capsys, "charge", "--source", "claude-code", "--dry-run")
    assert "would charge 60.00 credits\n" in tried.out
    assert "of it at least carried by the company" in " ".join(tried.out.split())
    assert "they may leave more to the company" in tried.err
    told = json.loads(said(capsys, "charge", "--source", "claude-code", "--dry-run", "--json").out)
    assert (told["carried_is_least"], told["carried"]["amount"]) == (True, "0.000000000")
    done = said(capsys, "charge", "--source", "claude-code")
    assert "charged 60.00 credits, of which the company carries 5.00 that no lot could pay" in done.out
    assert "at least" not in done.out + done.err


def test_a_total_that_shrank_is_named(home, capsys):
    said(capsys, "charge", "--source", "claude-code", "--seats")
    told = said(capsys, "charge", "--source", "claude-code")
    assert (
        "Ada's 2026-01-05 with sonnet by claude-code is 2.50 now and was charged as 2.500001: nothing is given back by "
        "itself; `tokenroll grant create` can"
    ) in told.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("charge",), "say which usage: --source; the lake has claude-code, codex"),
        (("charge", "--source", "litellm"), "nothing in the lake is of litellm; the lake has claude-code, codex"),
        (("import", "logs", "--seats"), "--seats says what --charge charges: give both"),
    ],
)
def test_what_is_not_said_is_asked_for(home, capsys, arguments, says):
    assert says in said(capsys, *arguments, code=2).err


def test_a_home_without_a_ledger_takes_nothing_in(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TOKENROLL_HOME", str(tmp_path / "none"))
    (tmp_path / "log.csv").write_text("time,model\n")
    assert "run `tokenroll init` first" in said(capsys, "import", str(tmp_path / "log.csv"), "--charge", code=1).err
    assert not (tmp_path / "none").exists()


def test_nothing_was_charged_yet(home, capsys):
    assert "nothing was charged yet: `tokenroll usage import FILE --charge`" in said(capsys, "charges").out


def test_what_wallets_paid_for_is_forgotten_only_by_who_says_so(home, capsys):
    said(capsys, "charge", "--source", "claude-code")
    told = said(capsys, "forget", "claude-code", code=1).err
    assert "wallets were charged for claude-code on 1 of these days, the first 2026-01-05" in told
    assert "would forget 1 events of codex" in said(capsys, "forget", "codex", "--dry-run").out
    assert "forgot 4 events of claude-code" in said(capsys, "forget", "claude-code", "--charged").out
    assert [line.split()[4] for line in said(capsys, "charges").out.splitlines() if "Ada" in line] == ["2.50"]


def test_a_table_that_may_be_a_corrected_copy_is_not_charged_before_somebody_looked(home, capsys):
    rows = [f"2026-01-0{day}T10:00:00Z,Ada,gpt-5,{day}00000,0" for day in range(2, 9)]
    first, corrected = home / "first.csv", home / "corrected.csv"
    first.write_text("\n".join(("time,user,model,input_tokens,output_tokens", *rows, "")))
    corrected.write_text(first.read_text().replace("500000", "555555"))
    # 3,500,000 model tokens in at 1.25 a million
    assert "charged 4.375 credits" in said(capsys, "import", str(first), "--charge").out
    told = said(capsys, "import", str(corrected), "--charge", code=1)
    assert "took 7 events" in told.out and "charged" not in told.out  # noqa: PT018 - one sentence, and not the other
    assert "so nothing is charged yet: see to the above" in told.err
    assert [line.split()[4] for line in said(capsys, "charges").out.splitlines() if "2026-01-05" in line] == ["0.625"]


def trials(home):
    return sorted(path.name for path in home.glob("home/lake-trial-*"))


def test_what_a_killed_trial_left_is_removed_and_a_running_one_is_not(home, capsys):
    lake = home / "home" / "lake"
    (home / "home" / "lake-trial-killed" / "lake").mkdir(parents=True)
    with trial_lake(lake) as first:
        assert trials(home) == [first.parent.name]
        (home / "home" / "lake-trial-killed").mkdir()
        said(capsys, "charge", "--source", "claude-code")
        assert trials(home) == [first.parent.name]
        with trial_lake(lake) as second, read_lake(second) as view:
            assert trials(home) == sorted([first.parent.name, second.parent.name])
            assert all((second / one.path).is_file() for one in view.manifest.of_kind("usage"))
    assert trials(home) == []


def test_a_lake_that_somebody_writes_is_not_tried(home, capsys, tmp_path):
    (tmp_path / "log.csv").write_text("time,model\n")
    with open_lake(home / "home" / "lake"):
        told = said(capsys, "import", str(tmp_path / "log.csv"), "--charge", "--dry-run", code=1)
    assert "another process is writing the usage lake" in told.err
    assert trials(home) == []
