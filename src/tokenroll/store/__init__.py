"""The memory: tape, ledger and usage lake, with the schema and the migrations that keep them readable for years."""
