"""The atomic steps of the users' presence, as server-side Lua; `services.adapters.redis.scripts` prepares them.

Every script that changes a connection computes the presence in the same step, by `AGGREGATE`.
"""

from typing import Final

from fanout.keys import CHANGES_KEPT_S, UNTOLD_AFTER_S

_OURS: Final = """
local refusal = foreign()
if refusal then
  return refusal
end
"""

CLOCK: Final = """
-- Microseconds since 1970, by the server's clock. A double holds them exactly.
local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function now_ms()
  return math.floor(now_us() / 1000)
end

local function integer(number)
  return string.format('%.0f', number)
end

-- The time as RFC 3339, UTC, milliseconds. The date is computed as in H. Hinnant, "chrono-compatible low-level date
-- algorithms", with years that begin in March.
local function now_text()
  local ms = now_ms()
  local day, rest = math.floor(ms / 86400000) + 719468, ms % 86400000
  local era = math.floor(day / 146097)
  local of_era = day - era * 146097
  local year = math.floor(
    (of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524) - math.floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local month = math.floor((5 * of_year + 2) / 153)
  local of_month = of_year - math.floor((153 * month + 2) / 5) + 1
  month = month < 10 and month + 3 or month - 9
  year = year + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, of_month, math.floor(rest / 3600000),
    math.floor(rest / 60000) % 60, math.floor(rest / 1000) % 60, rest % 1000)
end
"""

AGGREGATE: Final = (
    CLOCK
    + f"""
local RANKS = {{background = 1, idle = 2, active = 3}}
local STATUSES = {{[0] = 'offline', 'away', 'idle', 'online'}}

-- Whether connections to an incarnation of an instance count, and whether they never will again. After a time in which
-- no instance renewed its lease, the store was away, or all instances were: the leases that ended meanwhile say nothing
-- yet.
local function lives(instance, incarnation)
  local held = redis.call('HGET', prefix .. 'instance:' .. instance, 'incarnation')
  if held then
    local is_same = incarnation == '' or held == incarnation
    return is_same, not is_same
  end
  return redis.call('GET', prefix .. 'instance-leaving:' .. instance) == incarnation
    or redis.call('EXISTS', prefix .. 'leases-doubted') == 1
end

-- The highest rank of a user's devices, their number, and the milliseconds until the first record ends by itself.
-- Devices that never count again are removed.
local function over_devices(user)
  local conns, highest, count, ends = prefix .. 'conns:' .. user, 0, 0, nil
  for _, device in ipairs(redis.call('SMEMBERS', conns)) do
    local conn = prefix .. 'conn:' .. user .. ':' .. device
    local held = redis.call('HMGET', conn, 'instance_id', 'incarnation', 'client_state')
    local counts, is_gone = false, true
    if held[1] then
      counts, is_gone = lives(held[1], held[2] or '')
    end
    if counts then
      local left = redis.call('PTTL', conn)
      highest, count = math.max(highest, RANKS[held[3]] or 1), count + 1
      ends = math.min(ends or left, left)
    elseif is_gone then
      redis.call('SREM', conns, device)
      redis.call('DEL', conn)
    end
  end
  return highest, count, ends
end

-- What a client of the script is told of a user's presence.
local function presence_of(user)
  local fields = redis.call('HMGET', prefix .. 'presence:' .. user,
    'status', 'version', 'last_active', 'status_text', 'status_emoji', 'active_device_count')
  return {{user, unpack(fields)}}
end

-- Write a new version of a user's presence with the duty to tell it.
local function changed(user, ...)
  local key, now = prefix .. 'presence:' .. user, now_ms()
  local version = (tonumber(redis.call('HGET', key, 'version')) or 0) + 1
  redis.call('ZREMRANGEBYSCORE', prefix .. 'presence-recent', '-inf', now - {CHANGES_KEPT_S * 1000})
  redis.call('HSET', key, 'version', integer(math.max(version, now_us())), ...)
  redis.call('ZADD', prefix .. 'presence-recent', now, user)
  redis.call('ZADD', prefix .. 'presence-untold', now, user)
end

-- Compute a user's presence. Returns whether it changed, and when the first record ends, in milliseconds from now.
-- known: whether there was a connection, so that a presence of which nothing is known is written, too.
local function aggregate(user, known)
  local key = prefix .. 'presence:' .. user
  local highest, count, ends = over_devices(user)
  local before = redis.call('HMGET', key, 'status', 'version', 'active_device_count')
  if not before[2] and not known and count == 0 then
    return false
  end
  local is_changed = not before[2] or before[1] ~= STATUSES[highest]
  if is_changed then
    changed(user, 'status', STATUSES[highest], 'active_device_count', count)
  elseif before[3] ~= tostring(count) then
    redis.call('HSET', key, 'active_device_count', count)
  end
  return is_changed, ends
end

-- Compute the presence of a user who has, or had, a connection. Returns it if it changed, else false.
-- seen_active: whether a device is active now, or was until now.
local function settle(user, seen_active)
  redis.call('ZREM', prefix .. 'presence-due', user)
  local is_changed, ends = aggregate(user, true)
  if ends then
    redis.call('ZADD', prefix .. 'presence-due', now_ms() + ends + 1, user)
  end
  if seen_active then
    redis.call('HSET', prefix .. 'presence:' .. user, 'last_active', now_text())
  end
  return is_changed and presence_of(user)
end
"""
)

READ: Final = (
    _OURS
    + AGGREGATE
    + """
-- ARGV: users.
local presences = {}
for index, user in ipairs(ARGV) do
  aggregate(user, false)
  presences[index] = presence_of(user)
end
return presences
"""
)
"""Return the presence of some users, computed now."""

SET_STATUS: Final = (
    AGGREGATE
    + """
-- ARGV: user, text, emoji.
aggregate(ARGV[1], true)
local before = redis.call('HMGET', prefix .. 'presence:' .. ARGV[1], 'status_text', 'status_emoji')
if (before[1] or '') ~= ARGV[2] or (before[2] or '') ~= ARGV[3] then
  changed(ARGV[1], 'status_text', ARGV[2], 'status_emoji', ARGV[3])
end
return presence_of(ARGV[1])
"""
)
"""Set what a user says of themself, and return the presence."""

SWEEP: Final = (
    _OURS
    + AGGREGATE
    + """
-- ARGV: the most users.
local changes, left = {}, tonumber(ARGV[1])

local function settle_each(users)
  for _, user in ipairs(users) do
    local change = settle(user)
    if change then
      changes[#changes + 1] = change
    end
  end
  left = left - #users
end

settle_each(redis.call('ZRANGEBYSCORE', prefix .. 'presence-due', '-inf', now_ms(), 'LIMIT', 0, left))
for _, holder in ipairs(redis.call('SMEMBERS', prefix .. 'presence-holders')) do
  local instance, incarnation = string.match(holder, '^([^:]*):(.*)$')
  if left > 0 and not lives(instance, incarnation) then
    local users = redis.call('SPOP', prefix .. 'presence-users:' .. holder, left)
    if #users < left then
      redis.call('SREM', prefix .. 'presence-holders', holder)
    end
    settle_each(users)
  end
end
return {changes, left == 0 and 1 or 0}
"""
)
"""Compute the presence of users whose records ended, and of those on instances that died.

A user who is removed from the set of a dead instance is computed in the same step, so nobody is forgotten.
"""

UNTOLD: Final = (
    _OURS
    + AGGREGATE
    + f"""
-- ARGV: the most users.
local now, presences = now_ms(), {{}}
local since = now - {int(UNTOLD_AFTER_S * 1000)}
for index, user in ipairs(
  redis.call('ZRANGEBYSCORE', prefix .. 'presence-untold', '-inf', since, 'LIMIT', 0, ARGV[1])) do
  redis.call('ZADD', prefix .. 'presence-untold', now, user)
  presences[index] = presence_of(user)
end
return presences
"""
)
"""Take changes that have been untold for long: nobody else gets them before the same time has passed."""

TOLD: Final = (
    _OURS
    + """
-- ARGV: users, each with the version that was told.
for index = 1, #ARGV, 2 do
  if redis.call('HGET', prefix .. 'presence:' .. ARGV[index], 'version') == ARGV[index + 1] then
    redis.call('ZREM', prefix .. 'presence-untold', ARGV[index])
  end
end
"""
)
"""End the duty to tell some changes, but for users whose presence has changed again since."""

CHANGED_WITHIN: Final = (
    _OURS
    + AGGREGATE
    + """
-- ARGV: milliseconds, the number of the first, the most.
local since, presences = now_ms() - ARGV[1], {}
for index, user in ipairs(
  redis.call('ZREVRANGEBYSCORE', prefix .. 'presence-recent', '+inf', since, 'LIMIT', ARGV[2], ARGV[3])) do
  presences[index] = presence_of(user)
end
return presences
"""
)
"""Return the presences that changed lately, the newest first.

Changes that are made between two parts move later users back, so that none is left out: it is only returned twice.
"""
