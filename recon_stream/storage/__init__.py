"""PostgreSQL: the schema, its migrations, every statement by name, and the sink's transactions.

Pure parts (`values`, `raw_events`, `verdicts`, `dead_letters`) build rows and take decisions; `pool`, `store`, `writer` and
`migrate` perform I/O. Amounts are integers in minor units throughout.
"""
