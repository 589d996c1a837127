"""A moving clock is accepted in a home that the demo made, and nowhere else; a one-time way in lets one person in, once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cast import utc
from tokenroll.services.clock import VirtualClock, start_clock_at, system_clock
from tokenroll.services.entering import make_way_in, use_way_in
from tokenroll.settings import load_settings
from tokenroll.settings_table import SettingsError

BIN = Path(sys.executable).parent
MINUTE = 60_000_000
ADAS_KEY = "key_00000000000000000000000000000001"


def tokenroll(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TOKENROLL_HOME": str(home)}
    return subprocess.run(
        [BIN / "tokenroll", *arguments], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    "arguments", [("serve", "--port", "0"), ("department", "list"), ("department", "create", "Engineering")]
)
def test_any_other_home_refuses_to_start_with_a_clock(tmp_path, arguments):
    home = tmp_path / "home"
    assert tokenroll(home, "init").returncode == 0
    start_clock_at(home / "clock", utc("2027-03-01T08:00"))
    done = tokenroll(home, *arguments)
    assert done.returncode == 1
    assert "only the demo's own throw-away home may have one: remove the file" in done.stderr


def test_the_demos_mark_allows_it(tmp_path):
    (tmp_path / "clock").write_bytes(bytes(8))
    with pytest.raises(SettingsError, match="moves the clock"):
        _ = load_settings(tmp_path).clock_path
    (tmp_path / "made-by-demo").touch()
    assert load_settings(tmp_path).clock_path == tmp_path / "clock"


@pytest.mark.parametrize("moment", ["2001-01-01T00:00", "2099-01-01T00:00"])
def test_a_new_clock_starts_anywhere_and_only_goes_forward(tmp_path, moment):
    start_clock_at(tmp_path / "clock", utc(moment))
    clock = VirtualClock(tmp_path / "clock")
    assert utc(moment) <= clock() < utc(moment) + MINUTE
    clock.advance(60 * MINUTE)
    assert utc(moment) + 60 * MINUTE <= clock() < utc(moment) + 61 * MINUTE
    with pytest.raises(ValueError, match="only goes forward"):
        clock.advance(-1)
    clock.close()
    with pytest.raises(FileExistsError):
        start_clock_at(tmp_path / "clock", system_clock())


def test_a_way_in_is_used_once(tmp_path):
    now = utc("2027-03-01T08:00")
    ticket = make_way_in(tmp_path, ADAS_KEY, bytes(range(32)), now)
    assert ticket == "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    assert not [path for path in (tmp_path / "ways-in").iterdir() if ticket in path.name]
    assert use_way_in(tmp_path, ticket, now + MINUTE) == ADAS_KEY
    assert use_way_in(tmp_path, ticket, now + MINUTE) is None


def test_a_way_in_is_over_after_ten_minutes(tmp_path):
    now = utc("2027-03-01T08:00")
    ticket = make_way_in(tmp_path, ADAS_KEY, bytes(32), now)
    assert use_way_in(tmp_path, ticket, now + 10 * MINUTE) is None
    assert use_way_in(tmp_path, ticket, now) is None


@pytest.mark.parametrize("text", ["", "../secret", "0" * 63, "G" * 64, "0" * 64])
def test_no_other_text_is_a_way_in(tmp_path, text):
    make_way_in(tmp_path, ADAS_KEY, b"\x01" * 32, utc("2027-03-01T08:00"))
    assert use_way_in(tmp_path, text, utc("2027-03-01T08:00")) is None
