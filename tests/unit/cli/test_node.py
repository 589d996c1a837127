"""`tokenroll node`: certificates whose numbers are given once, files that are their owner's alone, homes that say whose they are."""

import json
import stat
import subprocess
import sys

import pytest

from tests.made_home import home_of
from tokenroll.cli import main, role
from tokenroll.cli.program import Failure
from tokenroll.cli.serve import Role, Supervisor
from tokenroll.services.node_line import ledger_context, node_context
from tokenroll.settings import load_settings
from tokenroll.settings_table import SettingsError


@pytest.fixture
def home(tmp_path, monkeypatch):
    home_of(tmp_path, monkeypatch, ("init", "--name", "Acme"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def said(capsys, *line, code=0):
    capsys.readouterr()
    assert main([*line, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def certificate(capsys, name, *options, code=0):
    return said(capsys, "node", "certificate", name, "--ledger", "ledger.example:7443", *options, code=code)


def test_it_makes_a_home_that_is_its_owners_alone_and_whose_certificates_fit(home, tmp_path, capsys):
    made = certificate(capsys, "eu-1")
    assert made == {
        "name": "eu-1", "workers": [64], "folder": str(tmp_path / "eu-1"), "ledger": "tls://ledger.example:7443", "dry_run": False,
    }  # fmt: skip
    files = [one for folder in ("eu-1", "home/nodes") for one in (tmp_path / folder).iterdir()]
    assert len(files) == 10
    assert {stat.S_IMODE(one.stat().st_mode) for one in files} == {0o600}
    assert {stat.S_IMODE((tmp_path / one).stat().st_mode) for one in ("eu-1", "home/nodes")} == {0o700}
    node = load_settings(tmp_path / "eu-1")
    assert node.node is not None
    assert (str(node.node.ledger), node.node.worker, node.gateway.workers) == ("ledger.example:7443", 64, 1)
    assert node.pepper() == load_settings(home).pepper()
    node_context(node.node.files)
    with (home / "config.toml").open("a") as file:
        file.write('[nodes]\nlisten = "127.0.0.1:7443"\n')
    nodes = load_settings(home).nodes
    assert nodes is not None
    ledger_context(nodes.files)
    # an outside judge: openssl itself, as strict as it can be
    for purpose, file in (("sslclient", "eu-1/node.crt"), ("sslserver", "home/nodes/ledger.crt")):
        subprocess.run(
            ["openssl", "verify", "-x509_strict", "-CAfile", "home/nodes/ca.crt", "-purpose", purpose, file],
            check=True, capture_output=True, cwd=tmp_path,
        )  # fmt: skip


def test_a_number_is_given_once(home, tmp_path, capsys):
    assert certificate(capsys, "eu-1")["workers"] == [64]
    assert certificate(capsys, "eu-2")["workers"] == [65]
    before = (tmp_path / "eu-1/node.crt").read_bytes()
    (tmp_path / "eu-1/config.toml").write_text("# mine\n")
    assert certificate(capsys, "eu-1")["workers"] == [64]
    assert (tmp_path / "eu-1/node.crt").read_bytes() != before
    assert (tmp_path / "eu-1/config.toml").read_text() == "# mine\n"
    assert [(one["name"], one["workers"]) for one in said(capsys, "node", "list")] == [("eu-1", [64]), ("eu-2", [65])]


def test_a_dry_run_makes_nothing(home, tmp_path, capsys):
    assert certificate(capsys, "eu-1", "--dry-run")["workers"] == [64]
    assert not (tmp_path / "eu-1").exists()
    assert said(capsys, "node", "list") == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (("eu-1",), "--ledger must say where nodes reach this ledger, host:port: config.toml has no [nodes] yet"),
        (("eu-1", "--ledger", "0.0.0.0:7443"), "0.0.0.0:7443 is every address of this machine"),
        (("eu-1", "--ledger", "7443"), "--ledger must be host:port"),
        (("eu/1", "--ledger", "a:1"), "a node's name has letters, digits"),
    ],
)
def test_what_cannot_be_is_refused_in_words(home, tmp_path, capsys, line, words):
    assert main(["node", "certificate", *line]) in {1, 2}
    assert words in capsys.readouterr().err
    assert not (home / "nodes").exists()


def test_without_openssl_it_says_so(home, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["node", "certificate", "eu-1", "--ledger", "a:1"]) == 1
    assert "the program openssl is not on this machine: install it" in capsys.readouterr().err


def test_a_nodes_home_knows_that_it_has_no_ledger(home, tmp_path, capsys, monkeypatch):
    certificate(capsys, "eu-1")
    monkeypatch.setenv("TOKENROLL_HOME", str(tmp_path / "eu-1"))
    for line in (["serve"], ["init"], ["member", "list"], ["department", "create", "Sales"]):
        assert main(line) == 1
        assert "is a node's home, and its ledger is at ledger.example:7443" in capsys.readouterr().err
    assert not (tmp_path / "eu-1/ledger.db").exists()
    (tmp_path / "eu-1/node.key").chmod(0o644)
    assert main(["node", "serve"]) == 1
    assert "may be read by others: chmod 600 it" in capsys.readouterr().err


def test_a_ledger_without_certificates_for_nodes_does_not_start(home, tmp_path, capsys):
    with (home / "config.toml").open("a") as file:
        file.write('[nodes]\nlisten = "127.0.0.1:7443"\n')
    assert main(["serve"]) == 1
    said = capsys.readouterr().err
    assert "nodes.listen: key_file" in said
    assert "cannot be read: No such file or directory; `tokenroll node certificate NAME` makes the first ones" in said
    certificate(capsys, "eu-1")
    (home / "nodes/ledger.crt").write_text("not one")
    assert main(["serve"]) == 1
    said = capsys.readouterr().err
    assert "cannot be used" in said
    assert "makes the first ones" not in said


def test_a_ledgers_home_is_no_nodes(home, capsys):
    assert main(["node", "serve"]) == 1
    assert (
        "has no table [node]: `tokenroll node certificate NAME`, beside the ledger, makes a node's home"
        in capsys.readouterr().err
    )


def test_a_list_says_what_each_node_was_lent(home, capsys):
    certificate(capsys, "eu-1")
    (one,) = said(capsys, "node", "list")
    assert (one["lease"], one["lease_seconds_left"]) == ("none", None)
    assert one["lent"] == one["suspense"] == {"amount": "0.000000000", "unit": "credits"}
    assert main(["node", "list"]) == 0
    shown = capsys.readouterr().out
    assert "in suspense" in shown
    assert "counts on" in shown


def test_only_a_node_that_is_away_is_given_up(home, capsys):
    certificate(capsys, "eu-1")
    assert main(["node", "give-up", "eu-1"]) == 1
    assert "node eu-1 is not away, its lease is none" in capsys.readouterr().err
    assert main(["node", "give-up", "eu-9"]) == 1
    assert "no node is called eu-9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('when_cut_off = "hope"', "must be one of retry_then_deny, deny, allow"),
        ('when_cut_off = "allow"', "go together"),
        ("allow_credits_max = 5", "go together"),
        ('when_cut_off = "allow"\nallow_credits_max = 1000001', "from 0 to 1000000"),
        ("alone = 1", "must be true or false"),
    ],
)
def test_what_a_node_does_that_is_cut_off_is_said_in_its_home(home, tmp_path, capsys, line, problem):
    certificate(capsys, "eu-1")
    path = tmp_path / "eu-1/config.toml"
    path.write_text(path.read_text().replace("[node]\n", f"[node]\n{line}\n"))
    with pytest.raises(SettingsError, match=problem):
        load_settings(tmp_path / "eu-1")


def test_the_company_carries_so_many_credits_of_all_workers_of_a_node(home, tmp_path, capsys):
    certificate(capsys, "eu-1", "--workers", "4")
    path = tmp_path / "eu-1/config.toml"
    chosen = '[node]\nwhen_cut_off = "allow"\nallow_credits_max = 5\n'
    path.write_text(path.read_text().replace("[node]\n", chosen))
    settings = load_settings(tmp_path / "eu-1")
    assert role._beyond_max_nanos(settings) == 1_250_000_000
    assert role._lessees(settings) == 4


@pytest.mark.parametrize(("place", "line", "of"), [("eu-1", "", 2), ("eu-1", "alone = true\n", 1), ("home", "", 2)])
def test_with_nodes_each_worker_is_one_of_several_but_one_that_is_alone(home, tmp_path, capsys, place, line, of):
    certificate(capsys, "eu-1")
    path = tmp_path / "eu-1/config.toml"
    path.write_text(path.read_text().replace("[node]\n", f"[node]\n{line}"))
    assert role._lessees(load_settings(home)) == 1
    with (home / "config.toml").open("a") as file:
        file.write('[nodes]\nlisten = "127.0.0.1:7443"\nlease_seconds = 60\n')
    assert role._lessees(load_settings(tmp_path / place)) == of


def test_without_workers_and_nodes_nobody_would_be_served(home, capsys):
    for line in (["serve", "--workers", "0"], ["serve", "--workers", "0", "--json"]):
        assert main(line) == 1
        said = capsys.readouterr().err
        assert "with 0 workers only nodes serve, and " in said
        assert "config.toml lets none in: start with --workers 1 or more, or write [nodes]" in said


def test_a_role_that_no_other_life_can_help_is_not_started_again(home, capsys):
    """The certificate names one worker, and the node was to have two: the other one serves. Without any there is nothing to wait for."""
    supervisor = Supervisor(settings=load_settings(home))
    supervisor.settings.run_directory.mkdir(exist_ok=True)
    refused = Role(name="gateway-065", command=[sys.executable, "-c", "raise SystemExit(3)"])
    serves = Role(name="gateway-064", command=[sys.executable, "-c", "import time; time.sleep(60)"])
    supervisor.roles += [serves, refused]
    try:
        supervisor.look()
        assert refused.process is not None
        refused.process.wait(60)
        for _ in range(3):
            supervisor.look()
        assert refused.process is None
        assert capsys.readouterr().err == "tokenroll serve: gateway-065 is not started again; its reason stands above\n"
        supervisor.roles.remove(serves)
        supervisor.start(refused)
        refused.process.wait(60)
        with pytest.raises(Failure, match="nothing is left that could run"):
            supervisor.look()
    finally:
        assert serves.process is not None
        serves.process.kill()
        serves.process.wait()
