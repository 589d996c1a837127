"""The use cases: one unit of work each, between the doors above and the engine and the store below."""
