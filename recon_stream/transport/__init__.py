"""Faust on Kafka in batches: one event of a stream is one batch of raw records of one partition."""
