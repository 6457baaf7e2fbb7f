-- After the acknowledgements: remember the events that were accepted, take the names out of flight.
-- ARGV[1]: JSON array, flat: txn_id, source, event_id:revision, coordinates and digest (empty: not accepted), ...
-- ARGV[2]: TTL of what is remembered, in seconds; ARGV[3]: this worker.
local told = cjson.decode(ARGV[1])
for i = 1, #told, 4 do
  local tail = told[i] .. ':' .. told[i + 1]
  if told[i + 3] ~= '' then
    local key = 'dedupe:' .. tail
    redis.call('HSET', key, told[i + 2], told[i + 3])
    redis.call('EXPIRE', key, ARGV[2])
  end
  local inflight = 'inflight:' .. tail
  if redis.call('GET', inflight) == ARGV[3] then redis.call('DEL', inflight) end
end
return #told / 4
