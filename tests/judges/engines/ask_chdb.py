"""Asks chDB, which is ClickHouse in a process, the statements of a JSON file over Parquet files; the answers go to another file.

It runs in an environment of its own, which has chDB and nothing of ours. A number is told as the engine has it: a float has a point.
"""

import json
import sys
from pathlib import Path

from chdb.session import Session  # type: ignore[import-not-found]  # only its own environment has it


def main(asked_path: str, told_path: str) -> None:
    """Table by table a view of its files, then statement by statement the rows."""
    asked = json.loads(Path(asked_path).read_text(encoding="utf-8"))
    session = Session()
    session.query("CREATE DATABASE lake ENGINE = Atomic")
    session.query("USE lake")
    for table, paths in asked["tables"].items():
        parts = [f"SELECT * FROM file('{path}', Parquet)" for path in paths]
        session.query(f"CREATE VIEW {table} AS {' UNION ALL '.join(parts)}")
    answers = [json.loads(str(session.query(one, "JSON")))["data"] for one in asked["statements"]]
    Path(told_path).write_text(json.dumps(answers), encoding="utf-8")
    session.close()


main(*sys.argv[1:])
