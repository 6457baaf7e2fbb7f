"""Simulated feeds of the three systems: a pure, seeded plan with its answer key, and what sends it to Kafka."""
