"""The atomic steps of unread counts, as server-side Lua. `scripts.prepared` completes them.

The scripts derive keys by themselves, as those of presence do. A position of the log is below 2^53, so a number of Lua
holds it; times in nanoseconds stay text.
"""

from typing import Final

from fanout.ports.unread import MENTIONS_KEPT
from services.adapters.redis.change_scripts import NOTE_CHANGE
from services.adapters.redis.scripts import GUARD

LEFT_KEPT_S: Final = 86_400
"""Seconds for which it is remembered that a user has left: longer than a late event of the membership takes."""

_SHARED: Final = f"""
local mentions_kept, left_kept = {MENTIONS_KEPT}, {LEFT_KEPT_S}

local function pointer_of(user, channel)
  return prefix .. 'read-pointer:' .. user .. ':' .. channel
end

local function mentions_of(user, channel)
  return prefix .. 'mentions:' .. user .. ':' .. channel
end
"""

COUNT: Final = (
    GUARD
    + _SHARED
    + """
-- KEYS: the place. ARGV: after, then of each message: seq, stored_ns, channel, message, sender, whether it is in the
-- channel, the number of mentions, the mentioned users.
local after = tonumber(ARGV[1])
local at = tonumber(redis.call('HGET', KEYS[1], 'seq') or ARGV[1])
if at < after then
  return at
end

local function mention(user, channel, seq)
  local key, pointer = mentions_of(user, channel), pointer_of(user, channel)
  local held = redis.call('HMGET', pointer, 'seq', 'left')
  if held[2] or tonumber(seq) <= (tonumber(held[1]) or 0) then
    return
  end
  redis.call('HINCRBY', pointer, 'mentions', redis.call('ZADD', key, seq, seq))
  redis.call('ZREMRANGEBYRANK', key, 0, -mentions_kept - 1)
end

local next, last, stored = 2, nil, nil
while next <= #ARGV do
  local seq, channel, sender, count = ARGV[next], ARGV[next + 2], ARGV[next + 4], tonumber(ARGV[next + 6])
  if tonumber(seq) > at then
    local latest = prefix .. 'channel-latest:' .. channel
    redis.call('HSET', latest, 'counted_seq', seq)
    if ARGV[next + 5] == '1' then
      redis.call('HSET', latest, 'message_id', ARGV[next + 3], 'seq', seq)
      redis.call('HINCRBY', latest, 'count', 1)
      redis.call('HINCRBY', pointer_of(sender, channel), 'own', 1)
    end
    for i = next + 7, next + 6 + count do
      mention(ARGV[i], channel, seq)
    end
    at, last, stored = tonumber(seq), seq, ARGV[next + 1]
  end
  next = next + 7 + count
end
if last then
  redis.call('HSET', KEYS[1], 'seq', last, 'stored_ns', stored)
end
return at
"""
)
"""Count messages that follow `after`, and return the position that was reached."""

STATES: Final = (
    _SHARED
    + """
-- KEYS: the place. ARGV: the user, then channels.
local refusal = foreign()
if refusal then
  return refusal
end
local place, states = redis.call('HGET', KEYS[1], 'seq'), {}
for i = 2, #ARGV do
  local channel = ARGV[i]
  local held = redis.call('HMGET', pointer_of(ARGV[1], channel), 'own', 'seq', 'count', 'own_read', 'last_read_id',
    'last_read_at', 'mentions')
  local known, from = redis.call('ZCARD', mentions_of(ARGV[1], channel)), false
  if known > 0 and known < (tonumber(held[7]) or 0) then
    from = redis.call('ZRANGE', mentions_of(ARGV[1], channel), 0, 0)[1]
  end
  local latest = redis.call('HMGET', prefix .. 'channel-latest:' .. channel, 'message_id', 'seq', 'count')
  states[#states + 1] = {place, latest, held, from}
end
return states
"""
)
"""Return how a user has read some channels."""

UNREAD: Final = (
    _SHARED
    + """
-- ARGV: the user, then channels.
local refusal = foreign()
if refusal then
  return refusal
end
local found = {}
for i = 2, #ARGV do
  local count = tonumber(redis.call('HGET', prefix .. 'channel-latest:' .. ARGV[i], 'count')) or 0
  local held = redis.call('HMGET', pointer_of(ARGV[1], ARGV[i]), 'own', 'count', 'own_read', 'mentions')
  local others = count - (tonumber(held[1]) or 0)
  local read = (tonumber(held[2]) or 0) - (tonumber(held[3]) or 0)
  local unread, mentions = math.max(0, others - read), tonumber(held[4]) or 0
  if unread > 0 or mentions > 0 then
    found[#found + 1] = {ARGV[i], unread, mentions}
  end
end
return found
"""
)
"""Return what a user has not read, in the channels where there is something."""

_MOVE: Final = """
-- Raise the pointer. ARGV: seq, count, own, message, time, older mentions.
local function move(seq)
  if tonumber(ARGV[1]) <= (tonumber(seq) or 0) then
    return 0
  end
  redis.call('HSET', KEYS[1], 'seq', ARGV[1], 'count', ARGV[2], 'own_read', ARGV[3], 'last_read_id', ARGV[4],
    'last_read_at', ARGV[5])
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[1])
  redis.call('HSET', KEYS[1], 'mentions', redis.call('ZCARD', KEYS[2]) + tonumber(ARGV[6]))
  return 1
end
"""

MARK_READ: Final = (
    GUARD
    + NOTE_CHANGE
    + _MOVE
    + """
-- KEYS: pointer, mentions, changed. ARGV: as of `move`, then the channel.
local held = redis.call('HMGET', KEYS[1], 'seq', 'left')
if held[2] or move(held[1]) == 0 then
  return 0
end
note_change(KEYS[3], ARGV[7])
return 1
"""
)
"""Raise a read pointer."""

JOINED: Final = (
    GUARD
    + NOTE_CHANGE
    + _MOVE
    + """
-- KEYS: pointer, mentions, changed. ARGV: as of `move`, then the channel, the version.
local held = redis.call('HMGET', KEYS[1], 'seq', 'version')
if tonumber(ARGV[8]) <= (tonumber(held[2]) or 0) then
  return 0
end
redis.call('HDEL', KEYS[1], 'left')
redis.call('HSET', KEYS[1], 'version', ARGV[8])
redis.call('PERSIST', KEYS[1])
move(held[1])
note_change(KEYS[3], ARGV[7])
return 1
"""
)
"""Begin a membership."""

LEFT: Final = (
    GUARD
    + NOTE_CHANGE
    + _SHARED
    + """
-- KEYS: pointer, mentions, changed, draft. ARGV: channel, version.
if tonumber(ARGV[2]) <= (tonumber(redis.call('HGET', KEYS[1], 'version')) or 0) then
  return 0
end
redis.call('DEL', KEYS[2], KEYS[4])
redis.call('HDEL', KEYS[1], 'seq', 'count', 'own_read', 'last_read_id', 'last_read_at', 'mentions')
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'left', 1)
redis.call('EXPIRE', KEYS[1], left_kept)
note_change(KEYS[3], ARGV[1])
return 1
"""
)
"""End a membership, and the draft. What remains for a while keeps late events from bringing something back."""

CORRECT: Final = (
    GUARD
    + _SHARED
    + """
-- KEYS: pointer, mentions. ARGV: seq, count, own, then positions of mentions.
local held = redis.call('HMGET', KEYS[1], 'seq', 'left')
if held[2] or (tonumber(held[1]) or 0) ~= tonumber(ARGV[1]) then
  return 0
end
redis.call('HSET', KEYS[1], 'seq', ARGV[1], 'count', ARGV[2], 'own_read', ARGV[3])
for i = 4, #ARGV do
  redis.call('ZADD', KEYS[2], ARGV[i], ARGV[i])
end
redis.call('HSET', KEYS[1], 'mentions', redis.call('ZCARD', KEYS[2]))
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -mentions_kept - 1)
return 1
"""
)
"""Replace the counts at a pointer."""
