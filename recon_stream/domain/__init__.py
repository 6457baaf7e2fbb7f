"""The pure decisions: no I/O, no clock, no randomness; time comes in as an argument."""
