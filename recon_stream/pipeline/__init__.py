"""The matcher's data path, from a batch of raw records to acknowledged changelog, results and state."""
