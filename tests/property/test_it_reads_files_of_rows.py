"""Whatever stands in a file of rows, it is read or refused with its line: never a defect."""

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tokenroll.services.award_files import read_awards
from tokenroll.services.member_files import read_members
from tokenroll.services.opening_files import read_openings
from tokenroll.services.row_files import RowFileError

CELLS = st.sampled_from(["", "17", "Ada", "Engineering", "2026-01-31", "80%", "1e400", "9" * 30, '"', "a\nb", "\u2028", "\0", "never", "-1", "½"])  # fmt: skip
NAMES = st.sampled_from(["id", "name", "department", "part_time", "hired_on", "to", "plan", "left", "amount", "x", ""])
CSV = st.lists(st.lists(CELLS, min_size=1, max_size=5).map(",".join), max_size=4).flatmap(
    lambda rows: st.lists(NAMES, min_size=1, max_size=5).map(lambda names: "\n".join([",".join(names), *rows]))
)
JSON_WORDS = st.sampled_from(["[", "]", "{", "}", ",", ":", '"id"', '"name"', '"department"', "17", "0.8", "null", "true", "\n", "NaN"])  # fmt: skip
TEXTS = CSV | st.lists(JSON_WORDS, max_size=14).map("".join).map("[".__add__) | st.text(max_size=40)


@given(text=TEXTS, suffix=st.sampled_from([".csv", ".json"]))
def test_any_file_is_read_or_refused(text, suffix):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows{suffix}"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        for read in (read_members, read_awards, read_openings):
            try:
                rows = read(path)
            except RowFileError as refused:
                assert str(path) in str(refused)  # noqa: PT017 - refused or read, each has its own proof
            else:
                assert rows
                assert all(row["id"] for row in rows)
