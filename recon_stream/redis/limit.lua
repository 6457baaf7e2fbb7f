-- One call against a sliding window, decided and counted as one. A call that is refused is not counted.
-- KEYS[1]: rate:{ip}:{endpoint}; ARGV: calls allowed, window in milliseconds, TTL of the key in seconds, a name for this call.
-- Answer: { 1 allowed or 0, calls in the window with this one, milliseconds until the oldest of them leaves it }
local allowed, window, ttl = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
local calls = redis.call('ZCARD', KEYS[1])
local verdict = 0
if calls < allowed then
  redis.call('ZADD', KEYS[1], now, ARGV[4])
  redis.call('EXPIRE', KEYS[1], ttl)
  calls, verdict = calls + 1, 1
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return { verdict, calls, oldest[2] and math.max(1, oldest[2] + window - now) or window }
