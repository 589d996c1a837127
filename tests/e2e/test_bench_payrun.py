"""The bench of a pay run fills a ledger by rows, so a column that is added must not break it unseen."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_it_closes_a_small_company_and_shows_a_wallet_of_many_lots(tmp_path):
    said = tmp_path / "payrun.json"
    sizes = ("--wallets", "20", "--rounds", "1", "--lots", "5")
    done = subprocess.run(
        [sys.executable, "-m", "bench.payrun", *sizes, "--folder", tmp_path, "--json", said],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '"slip_count": 20' in json.dumps(json.loads(said.read_text()))
