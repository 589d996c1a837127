"""The door for programs: administration and self-service as JSON."""
