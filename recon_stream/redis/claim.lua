-- Before a unit of work: what is known of its events, and whose unit each of them is in.
-- ARGV[1]: JSON array, flat: txn_id, source, event_id:revision, ... ; ARGV[2]: this worker; ARGV[3]: inflight TTL in seconds.
-- Answer: { number of events that another worker has in flight, what is known of the 1st event or false, of the 2nd, ... }
local asked = cjson.decode(ARGV[1])
local worker, ttl = ARGV[2], ARGV[3]
local answer, foreign = {0}, 0
for i = 1, #asked, 3 do
  local tail = asked[i] .. ':' .. asked[i + 1]
  answer[#answer + 1] = redis.call('HGET', 'dedupe:' .. tail, asked[i + 2])
  local before = redis.call('SET', 'inflight:' .. tail, worker, 'EX', ttl, 'GET')
  if before and before ~= worker then foreign = foreign + 1 end
end
answer[1] = foreign
return answer
