"""Redis (or Valkey): the duplicate filter; later the rate limiter and the cache."""
