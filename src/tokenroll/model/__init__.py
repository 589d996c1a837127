"""The nouns: frozen, slotted, keyword-only dataclasses that are valid at birth, without I/O, clock or randomness."""
