"""State of the stream, one table a module, kept in RocksDB and rebuilt from its changelog topic."""
