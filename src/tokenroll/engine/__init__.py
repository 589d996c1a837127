"""The verbs: pure functions from nouns and instants to nouns, so that every law can be a property."""
