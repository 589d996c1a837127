"""The parts wired together: the one place where a service meets its store, its clock and its transport."""
