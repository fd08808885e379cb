-- All that changes Redis, as scripts: each behind a line that names it. A script is atomic, and so is its trace in the
-- append-only file; repeated with the same arguments, because an answer was lost, it changes nothing more that matters.
-- For Redis 6.2 and newer, and Valkey.
--
-- Keys. What stands in braces is the hash tag: the keys of one script lie in one slot of a Redis Cluster, and all of
-- them are given in KEYS.
--
--   tailrace:run:{<run_id>}:events    stream, one entry per event. Its id is <seq>-0; its fields, in this order:
--                                     payload (JSON), last (seq of the last event of its append), timestamp (ms),
--                                     traceparent, and tracestate where there is one
--   tailrace:run:{<run_id>}:meta      hash: epoch, owner (node_id of who acquired it), last_seq, timestamp (of the
--                                     last event), sealed (0 or 1)
--   tailrace:ping                     what a node writes to see whether it can; gone after a minute
--   tailrace:work:{<kind>:<p>}        stream, partition p of a queue: one entry per run in it, field run_id; read by
--                                     one consumer group, whose pending entries are the claims
--   tailrace:work:{<kind>:<p>}:runs   hash: run_id -> "<entry id> <deliveries under earlier entry ids>"
--   tailrace:work:{<kind>:<p>}:again  set: runs that were put while they were in the queue
--   tailrace:work:{<kind>:<p>}:dead   hash: run_id -> deliveries
--
-- Channels.
--
--   tailrace:run:{<run_id>}:live      each append: "<first_seq> <timestamp> <sealed> <traceparent> <tracestate>", then
--                                     a line per payload. An empty message: the run was deleted
--   tailrace:node:<node_id>           "<epoch> <run_id>": a run that this node had acquired was acquired by another
--                                     or, with epoch 0, deleted by it
--   tailrace:work:<kind>              "<p>": there is something to claim in this partition

-- script: acquire
-- KEYS meta. ARGV node_id, run_id. -> {epoch, last_seq, timestamp, 1 where it was this node's}, or SEALED.
local epoch, owner, last, timestamp, sealed = unpack(
    redis.call('HMGET', KEYS[1], 'epoch', 'owner', 'last_seq', 'timestamp', 'sealed'))
if sealed == '1' then return 'SEALED' end
local following = (tonumber(epoch) or 0) + 1
redis.call('HSET', KEYS[1], 'epoch', following, 'owner', ARGV[1],
    'last_seq', last or 0, 'timestamp', timestamp or 0, 'sealed', 0)
if owner and owner ~= ARGV[1] then
    redis.call('PUBLISH', 'tailrace:node:' .. owner, following .. ' ' .. ARGV[2])
end
return {following, tonumber(last) or 0, tonumber(timestamp) or 0, owner == ARGV[1] and 1 or 0}

-- script: append
-- KEYS events, meta. ARGV epoch, node_id, channel, traceparent, tracestate (so far what a run's appends have in common),
-- "<first_seq> <last_seq> <sealed> <timestamp>", payloads (a line each). -> last_seq, also where this append was made
-- before; or STALE, SEALED, or SHORT: the log holds less than its writer knows of.
local epoch, owner, held, sealed = unpack(redis.call('HMGET', KEYS[2], 'epoch', 'owner', 'last_seq', 'sealed'))
local first, last, seals, timestamp = string.match(ARGV[6], '(%d+) (%d+) (%d) (%d+)')
local given = tonumber(ARGV[1])
first, last = tonumber(first), tonumber(last)
epoch, held = tonumber(epoch) or 0, tonumber(held) or 0
if epoch < given then return 'SHORT' end
if epoch > given or owner ~= ARGV[2] then return 'STALE' end
if held >= last then return last end
if sealed == '1' then return 'SEALED' end
if held ~= first - 1 then return 'SHORT' end
local fields = {'last', last, 'timestamp', timestamp, 'traceparent', ARGV[4]}
if ARGV[5] ~= '' then
    fields[7], fields[8] = 'tracestate', ARGV[5]
end
local seq = first
for payload in string.gmatch(ARGV[7], '[^\n]+') do
    redis.call('XADD', KEYS[1], string.format('%d-0', seq), 'payload', payload, unpack(fields))
    seq = seq + 1
end
redis.call('HSET', KEYS[2], 'last_seq', last, 'timestamp', timestamp, 'sealed', seals)
redis.call('PUBLISH', ARGV[3], table.concat({first, timestamp, seals, ARGV[4], ARGV[5]}, ' ') .. '\n' .. ARGV[7])
return last

-- script: restore
-- After Redis has forgotten its last moments: its writer has the log again, if nobody else does.
-- KEYS meta. ARGV epoch, node_id. -> last_seq, up to which the log is there; or STALE, SEALED.
local epoch, owner, last, sealed = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'owner', 'last_seq', 'sealed'))
local given = tonumber(ARGV[1])
epoch = tonumber(epoch) or 0
if epoch > given or (epoch == given and owner ~= ARGV[2]) then return 'STALE' end
if sealed == '1' then return 'SEALED' end
redis.call('HSET', KEYS[1], 'epoch', given, 'owner', ARGV[2], 'last_seq', last or 0, 'sealed', 0)
return tonumber(last) or 0

-- script: read
-- KEYS events. ARGV after, events, bytes. -> the entries behind `after`: whole appends, until there are so many events or
-- bytes.
local found, size, step, from = {}, 0, 8, '(' .. ARGV[1] .. '-0'
local most, enough = tonumber(ARGV[2]), tonumber(ARGV[3])
repeat
    local entries = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', step)
    for _, entry in ipairs(entries) do
        local fields = entry[2]
        found[#found + 1] = entry
        size = size + #fields[2]
        if (#found >= most or size >= enough) and entry[1] == fields[4] .. '-0' then return found end
        from = '(' .. entry[1]
    end
    local ended = #entries < step
    step = math.min(step * 2, 512)
until ended
return found

-- script: expire
-- KEYS events, meta. ARGV milliseconds. -> 1 where the run was sealed.
if redis.call('HGET', KEYS[2], 'sealed') ~= '1' then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return redis.call('PEXPIRE', KEYS[2], ARGV[1])

-- script: delete
-- KEYS events, meta. ARGV channel, run_id, node_id.
local owner = redis.call('HGET', KEYS[2], 'owner')
redis.call('UNLINK', KEYS[1], KEYS[2])
if owner and owner ~= ARGV[3] then redis.call('PUBLISH', 'tailrace:node:' .. owner, '0 ' .. ARGV[2]) end
return redis.call('PUBLISH', ARGV[1], '')

-- The scripts of the queues have the same KEYS: queue, runs, again, dead; and begin their ARGV with group, consumer,
-- channel, partition.

-- script: put
-- ARGV …, run_id, …
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM') end
local added = false
for i = 5, #ARGV do
    local run = ARGV[i]
    if redis.call('HEXISTS', KEYS[2], run) == 1 then
        redis.call('SADD', KEYS[3], run)
    else
        redis.call('HDEL', KEYS[4], run)
        redis.call('HSET', KEYS[2], run, redis.call('XADD', KEYS[1], '*', 'run_id', run) .. ' 0')
        added = true
    end
end
if added then redis.call('PUBLISH', ARGV[3], ARGV[4]) end

-- script: claim
-- ARGV …, limit, most deliveries, lease in ms (0: take over no lapsed claims), cursor. -> {cursor to go on from,
-- {run_id, deliveries, entry id, deliveries under it}, …}.
local queue, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local limit, most, lease, jobs = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), {ARGV[8]}
if redis.call('EXISTS', queue) == 0 then return jobs end

local function hand_out(entries)
    for _, entry in ipairs(entries) do
        local id, run = entry[1], entry[2][2]
        local count = redis.call('XPENDING', queue, group, id, id, 1)[1][4]
        local before = string.match(redis.call('HGET', KEYS[2], run) or '', ' (%d+)$') or 0
        redis.call('SREM', KEYS[3], run)
        if before + count > most then
            redis.call('XACK', queue, group, id)
            redis.call('XDEL', queue, id)
            redis.call('HDEL', KEYS[2], run)
            redis.call('HSET', KEYS[4], run, before + count - 1)
        else
            jobs[#jobs + 1] = {run, before + count, id, count}
        end
    end
end

if lease > 0 then
    local lapsed = redis.call('XAUTOCLAIM', queue, group, consumer, lease, ARGV[8], 'COUNT', limit)
    jobs[1] = lapsed[1]
    hand_out(lapsed[2])
end
if #jobs <= limit then
    local new = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', limit + 1 - #jobs, 'STREAMS', queue, '>')
    if new then hand_out(new[1][2]) end
end
return jobs

-- script: renew
-- ARGV …, then for each claim: entry id, deliveries under it. -> the entry ids of the claims that are lost.
local lost = {}
for i = 5, #ARGV, 2 do
    local id = ARGV[i]
    local claim = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1]
    if claim and claim[2] == ARGV[2] and claim[4] == tonumber(ARGV[i + 1]) then
        redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'JUSTID')
    else
        lost[#lost + 1] = id
    end
end
return lost

-- script: finish
-- Ends the claims that are still held. What was put meanwhile, or is handed over, joins the queue again.
-- ARGV …, then for each claim: entry id, deliveries under it, run_id, and the number of deliveries to go on from where
-- it is handed over (else -1).
local added = false
for i = 5, #ARGV, 4 do
    local id, run, from = ARGV[i], ARGV[i + 2], tonumber(ARGV[i + 3])
    local claim = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1]
    if claim and claim[2] == ARGV[2] and claim[4] == tonumber(ARGV[i + 1]) then
        redis.call('XACK', KEYS[1], ARGV[1], id)
        redis.call('XDEL', KEYS[1], id)
        if redis.call('SREM', KEYS[3], run) == 1 or from >= 0 then
            local new = redis.call('XADD', KEYS[1], '*', 'run_id', run)
            redis.call('HSET', KEYS[2], run, new .. ' ' .. math.max(from, 0))
            added = true
        else
            redis.call('HDEL', KEYS[2], run)
        end
    end
end
if added then redis.call('PUBLISH', ARGV[3], ARGV[4]) end

-- script: waiting
-- -> how many entries nobody has claimed.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
return redis.call('XLEN', KEYS[1]) - redis.call('XPENDING', KEYS[1], ARGV[1])[1]

-- script: tidy
-- Forgets consumers that hold no claim: the one that leaves, and those of which nothing was heard for so long.
-- ARGV …, milliseconds, 1 where the consumer leaves.
if redis.call('EXISTS', KEYS[1]) == 0 then return end
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    local about = {}
    for i = 1, #consumer, 2 do about[consumer[i]] = consumer[i + 1] end
    local leaves = ARGV[6] == '1' and about.name == ARGV[2]
    if about.pending == 0 and (leaves or about.idle > tonumber(ARGV[5])) then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], about.name)
    end
end
