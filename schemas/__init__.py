"""The Avro contracts of the topics: nouns, one .avsc a record."""
