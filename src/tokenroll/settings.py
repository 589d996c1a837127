"""The only reader of the environment, so that every other module behaves the same wherever it runs."""
