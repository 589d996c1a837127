"""Admission and settlement of one call, free of SQL and of I/O, so that a worker can decide by itself."""
