"""The providers: a module per dialect, and the simulated provider that keeps its own bill."""
