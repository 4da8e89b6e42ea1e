-- The state that nodes share, and what may be done to it. Redis runs a script as one step: nobody sees half of it.
-- docs of the state: mod.rs. ARGV: operation, node, the number of its session, and what the operation takes.
-- Ids are raw bytes: nodes and peers 16, rooms 32. A kind is p (pair), c (camera) or v (viewer).

local NODES = 'roomcam:nodes' -- hash: node -> number of its session
local RUN = 'roomcam:run' -- which start of Redis all of this is from
local SETTLING = 'roomcam:settling' -- there while nodes come back after a start of Redis
local ALIVE = 'roomcam:alive:' -- .. node: there as long as the node lives; the start of Redis that it has come back to
local CLIENTS = 'roomcam:clients:' -- .. node: hash: peer -> room
local ROOM = 'roomcam:room:' -- .. room: hash: peer -> kind .. node
local BURIED = 'roomcam:buried:' -- .. node: it was taken for dead
local CHANNEL = 'roomcam:to:' -- .. node: what it is told

local operation, node, session = ARGV[1], ARGV[2], ARGV[3]

local function unsettled()
    if redis.call('EXISTS', SETTLING) == 0 then
        return false
    end
    local run = redis.call('GET', RUN)
    for _, other in ipairs(redis.call('HKEYS', NODES)) do
        if redis.call('GET', ALIVE .. other) ~= run then
            return true
        end
    end
    redis.call('DEL', SETTLING)
    return false
end

-- The room as it is now, for one node or for all that have somebody in it but one.
local function tell(room, only, except)
    local members = redis.call('HGETALL', ROOM .. room)
    local nodes, parts = {}, { 'R', unsettled() and '1' or '0', room }
    for i = 1, #members, 2 do
        table.insert(parts, members[i] .. members[i + 1])
        nodes[string.sub(members[i + 1], 2)] = true
    end
    local text = table.concat(parts)
    if only then
        redis.call('PUBLISH', CHANNEL .. only, text)
        return
    end
    for other in pairs(nodes) do
        if other ~= except then
            redis.call('PUBLISH', CHANNEL .. other, text)
        end
    end
end

-- Why there is no place for one more of this kind.
local function refusal(room, kind, most)
    local count = 0
    for _, value in ipairs(redis.call('HVALS', ROOM .. room)) do
        local other = string.sub(value, 1, 1)
        if (other == 'p') ~= (kind == 'p') then
            return 'ROOM_MODE'
        end
        if other == kind then
            count = count + 1
        end
    end
    return count >= most and 'ROOM_FULL' or nil
end

local function add(room, peer, kind)
    redis.call('HSET', ROOM .. room, peer, kind .. node)
    redis.call('HSET', CLIENTS .. node, peer, room)
end

-- Comes, or comes back. Takes: how long it lives, start of Redis, the one that it knew, the nodes that it knew.
if operation == 'enter' then
    local life, run, known_run = ARGV[4], ARGV[5], ARGV[6]
    local newest = tonumber(redis.call('HGET', NODES, node) or '')
    if newest and newest > tonumber(session) then
        return 'GONE'
    end
    local is_new = redis.call('GET', RUN) ~= run
    if is_new then
        redis.call('SET', RUN, run)
        redis.call('SET', SETTLING, '1', 'PX', life)
    end
    -- Those that others have known may come back, too.
    if known_run ~= '' and (is_new or known_run ~= run) then
        for i = 7, #ARGV do
            if ARGV[i] ~= node and redis.call('HSETNX', NODES, ARGV[i], '') == 1 then
                redis.call('SET', SETTLING, '1', 'PX', life)
            end
        end
    end
    redis.call('HSET', NODES, node, session)
    redis.call('SET', ALIVE .. node, '', 'PX', life)
    local buried = redis.call('DEL', BURIED .. node)
    return { buried, redis.call('HGETALL', CLIENTS .. node) }
end

-- A node that was taken for dead, or whose session is over, has to enter again before it does anything.
if redis.call('HGET', NODES, node) ~= session then
    return 'GONE'
end

-- Takes: peer, room, kind, most of that kind, whether it may make a room.
if operation == 'join' then
    local peer, room, kind, most, may_make = ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8]
    if unsettled() then
        return 'CLUSTER_UNAVAILABLE'
    end
    if may_make == '0' and redis.call('EXISTS', ROOM .. room) == 0 then
        return 'TOO_MANY_ROOMS'
    end
    local code = refusal(room, kind, most)
    if code then
        return code
    end
    add(room, peer, kind)
    tell(room)
    return 'OK'
end

-- Somebody who was let in before. Takes: peer, room, kind, most of that kind.
if operation == 'restore' then
    local peer, room, kind, most = ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
    if redis.call('HEXISTS', ROOM .. room, peer) == 1 then
        return 'OK'
    end
    local code = refusal(room, kind, most)
    if code then
        return code
    end
    add(room, peer, kind)
    tell(room, nil, node)
    return 'OK'
end

-- Takes: room. What there is of it, to the node itself, after all that it was told before.
if operation == 'show' then
    tell(ARGV[4], node)
    return 'OK'
end

-- Takes: peer, room.
if operation == 'leave' then
    local peer, room = ARGV[4], ARGV[5]
    redis.call('HDEL', CLIENTS .. node, peer)
    if redis.call('HDEL', ROOM .. room, peer) == 1 then
        tell(room, nil, node)
    end
    return 'OK'
end

-- Lives. Takes: how long, the start of Redis that it has come back to or '', the number of this sign of life.
-- Gives: whether all have come back, the nodes, which of them are dead.
if operation == 'beat' then
    redis.call('SET', ALIVE .. node, ARGV[5], 'PX', ARGV[4])
    redis.call('PUBLISH', CHANNEL .. node, 'B' .. ARGV[6])
    local nodes, dead = redis.call('HKEYS', NODES), {}
    for _, other in ipairs(nodes) do
        if redis.call('EXISTS', ALIVE .. other) == 0 then
            table.insert(dead, other)
        end
    end
    return { unsettled() and 0 or 1, nodes, dead }
end

-- Takes: a dead node. Removes what it had, a piece at a time. Gives 1 while there is more.
if operation == 'bury' then
    local dead = ARGV[4]
    if redis.call('EXISTS', ALIVE .. dead) == 1 or redis.call('HEXISTS', NODES, dead) == 0 then
        return 0
    end
    redis.call('SET', BURIED .. dead, '1', 'EX', 86400)
    local clients = redis.call('HSCAN', CLIENTS .. dead, '0', 'COUNT', 100)[2]
    for i = 1, #clients, 2 do
        redis.call('HDEL', CLIENTS .. dead, clients[i])
        if redis.call('HDEL', ROOM .. clients[i + 1], clients[i]) == 1 then
            tell(clients[i + 1])
        end
    end
    if redis.call('EXISTS', CLIENTS .. dead) == 1 then
        return 1
    end
    redis.call('HDEL', NODES, dead)
    return 0
end

return redis.error_reply('unknown operation')
