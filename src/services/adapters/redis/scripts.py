"""The atomic steps of presence, as server-side Lua.

`prepared` completes each of them. A script derives keys by itself (of leases and other connections), so a Redis Cluster
cannot run them. Times that are compared come from the server's own clock, so the clocks of instances need not agree.
"""

from typing import Final

from fanout.ids import check_id
from fanout.keys import DEPLOYMENT, ENDED_KEPT_S, PRESENCE_CHANGES, Keys
from services.adapters.redis.aggregate_scripts import AGGREGATE

_HEAD: Final = """
local prefix, deployment, deployment_key = '%s', '%s', '%s'

-- The error where the store is of another deployment: its code, the id there, the id here. Then the id there.
local function foreign()
  local there = deployment ~= '' and redis.call('GET', deployment_key)
  return there and there ~= deployment and redis.error_reply('FOREIGN ' .. there .. ' ' .. deployment), there
end

-- The same before a write: a store that was emptied becomes this deployment's again. One that carries the id is not
-- written to: a full one would refuse, and so refuse what frees memory.
local function not_ours()
  local refusal, there = foreign()
  if not there and deployment ~= '' then
    redis.call('SET', deployment_key, deployment)
  end
  return refusal
end
"""


def prepared(script: str, keys: Keys, deployment: str) -> str:
    """Complete a script of this module for the keys of one deployment.

    Args:
        script: one of this module.
        keys: the deployment's keys.
        deployment: the deployment's id; empty if the store carries none.

    Raises:
        InvalidId: the deployment's id has a character that no id may have.
    """
    if deployment:
        check_id(deployment, "deployment")
    return _HEAD % (keys.named(""), deployment, keys.named(DEPLOYMENT)) + script


GUARD: Final = """
local refusal = not_ours()
if refusal then
  return refusal
end
"""

_SHARED: Final = """
local function now()
  return tonumber(redis.call('TIME')[1])
end

-- The instances that a presence hash names, and whose word still counts.
local function present(key)
  local fields, instances = redis.call('HGETALL', key), {}
  for i = 1, #fields, 2 do
    local instance = string.match(fields[i], '^on:(.+)$')
    local counts = instance and (tonumber(fields[i + 1]) or 0) > now()
    if counts and redis.call('EXISTS', prefix .. 'instance:' .. instance) == 1 then
      instances[#instances + 1] = instance
    end
  end
  return instances
end

-- KEYS: conn, conns, presence, the users of the instance, conn-ended. ARGV: ttl, now as text, user, device, then the
-- fields of the conn hash.
local function hold(order)
  local ttl, instance = tonumber(ARGV[1]), ARGV[5]
  redis.call('SADD', KEYS[2], ARGV[4])  -- first: if another program has this key, nothing is written
  redis.call('EXPIRE', KEYS[2], ttl)
  redis.call('HSET', KEYS[1], 'instance_id', instance, 'connected_at', ARGV[6], 'client_state', ARGV[7],
    'focused_channel', ARGV[8], 'last_activity', ARGV[9], 'incarnation', ARGV[10], 'order', order)
  redis.call('HDEL', KEYS[1], 'ended')
  redis.call('EXPIRE', KEYS[1], ttl)
  redis.call('HSET', KEYS[3], 'status', 'online', 'last_seen', ARGV[2], 'on:' .. instance, now() + ttl)
  redis.call('EXPIRE', KEYS[3], ttl)
  redis.call('SADD', KEYS[4], ARGV[3])
  redis.call('SADD', prefix .. 'presence-holders', instance .. ':' .. ARGV[10])
end
"""

_PUBLISH: Final = f"""
-- Publish that a user came to an instance ('online') or left it ('offline'). It is for other programs, so nothing else
-- is refused where Redis gives no permission for the channel.
local function publish(user, state, instance)
  redis.pcall('PUBLISH', prefix .. '{PRESENCE_CHANGES}', user .. ':' .. state .. ':' .. instance)
end
"""

CONNECT: Final = (
    GUARD
    + AGGREGATE
    + _SHARED
    + _PUBLISH
    + """
local held = redis.call('HMGET', KEYS[1], 'instance_id', 'order', 'ended')
local order = integer(math.max((tonumber(held[2]) or 0) + 1, now_us()))
local is_first = (tonumber(redis.call('HGET', KEYS[3], 'on:' .. ARGV[5])) or 0) <= now()
hold(order)
redis.call('HSET', KEYS[3], 'instance', ARGV[5])
local fields = redis.call('HGETALL', KEYS[3])
for i = 1, #fields, 2 do
  if string.sub(fields[i], 1, 3) == 'on:' and (tonumber(fields[i + 1]) or 0) <= now() then
    redis.call('HDEL', KEYS[3], fields[i])
  end
end
if is_first then
  publish(ARGV[3], 'online', ARGV[5])
end
return {order, not held[3] and held[1], settle(ARGV[3], ARGV[7] == 'active')}
"""
)
"""Record a connection, and return its number, the instance that held the device before, and the user's presence if that
changed. A user's first one here is published.

It also removes what lost connections have left: device ids, and instances that crashed and whose time is over. The hash
of a user who stays online never expires, so each crash would otherwise leave a field in it.
"""

RENEW: Final = (
    GUARD
    + AGGREGATE
    + _SHARED
    + """
local held = redis.call('HMGET', KEYS[1], 'order', 'client_state')
local mine, newest = tonumber(ARGV[11]), tonumber(held[1]) or 0
if newest > mine then
  return {1}
end
if (tonumber(redis.call('GET', KEYS[5])) or 0) >= mine and mine > 0 then
  return {0}
end
hold(ARGV[11])
redis.call('HSETNX', KEYS[3], 'instance', ARGV[5])
return {0, settle(ARGV[3], ARGV[7] == 'active' or held[2] == 'active')}
"""
)
"""Write a connection again, unless it was ended, or the device has connected again since.

Returns whether it has, and the user's presence if that changed.
"""

DISCONNECT: Final = (
    GUARD
    + AGGREGATE
    + _SHARED
    + _PUBLISH
    + f"""
-- KEYS: as of `hold`. ARGV: instance, number of the connection, device, whether it was the last, now as text, user,
-- milliseconds of grace, connected_at, for a connection whose number is not known.
local held = redis.call('HMGET', KEYS[1], 'instance_id', 'order', 'client_state', 'connected_at')
local is_same = ARGV[2] == '0' and held[4] == ARGV[8] or held[2] == ARGV[2]
local is_mine = is_same and held[1] == ARGV[1]
if is_mine and ARGV[7] == '0' then
  redis.call('DEL', KEYS[1])
  redis.call('SREM', KEYS[2], ARGV[3])
elseif is_mine then
  redis.call('PEXPIRE', KEYS[1], ARGV[7])
  redis.call('HSET', KEYS[1], 'ended', '1')
end
local ended = math.max(tonumber(redis.call('GET', KEYS[5])) or 0, tonumber(ARGV[2]))
redis.call('DEL', KEYS[5])  -- first: a full server refuses a script whose first write takes memory
redis.call('SET', KEYS[5], integer(ended), 'EX', {ENDED_KEPT_S})
if ARGV[4] == '1' then
  redis.call('SREM', KEYS[4], ARGV[6])
  local was_there = redis.call('HDEL', KEYS[3], 'on:' .. ARGV[1]) == 1
  local rest = present(KEYS[3])
  if #rest == 0 then
    redis.call('DEL', KEYS[3])
    redis.call('HSET', KEYS[3], 'status', 'offline', 'instance', ARGV[1], 'last_seen', ARGV[5])
  elseif redis.call('HGET', KEYS[3], 'instance') == ARGV[1] then
    redis.call('HSET', KEYS[3], 'instance', rest[1])
  end
  if was_there then
    publish(ARGV[6], 'offline', ARGV[1])
  end
end
return settle(ARGV[6], is_mine and held[3] == 'active')
"""
)
"""End a connection, unless the device has connected again since, and update where the user is.

That the last one has gone is published. Returns the user's presence if that changed.
"""

LOCATIONS: Final = _SHARED + "return foreign() or present(KEYS[1])"
"""Return the instances that a user is connected to."""

LEASE: Final = (
    GUARD
    + """
-- KEYS: the lease, instances. ARGV: ttl, instance, incarnation, then the fields of the lease by name and value.
local held = redis.call('HGET', KEYS[1], 'incarnation')
if redis.call('EXISTS', prefix .. 'leases-renewed') == 0 then
  redis.call('SET', prefix .. 'leases-doubted', '1', 'EX', ARGV[1])
end
redis.call('SET', prefix .. 'leases-renewed', '1', 'EX', ARGV[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('SADD', KEYS[2], ARGV[2])
return held == ARGV[3] and 0 or 1
"""
)
"""Take or renew a lease, and return whether it was taken.

Where no lease was renewed for the length of one, those that ended meanwhile say nothing about their instances: they are
doubted for the same time.
"""

RELEASE: Final = (
    GUARD
    + """
-- KEYS: as of `LEASE`. ARGV: instance, milliseconds.
local incarnation = redis.call('HGET', KEYS[1], 'incarnation')
redis.call('DEL', KEYS[1])
redis.call('SREM', KEYS[2], ARGV[1])
if incarnation and ARGV[2] ~= '0' then
  redis.call('SET', prefix .. 'instance-leaving:' .. ARGV[1], incarnation, 'PX', ARGV[2])
end
"""
)
"""End a lease. Connections to the instance count for some time more."""

LEASES: Final = """
local refusal = foreign()
if refusal then
  return refusal
end
local leases = {}
for _, instance in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local key = prefix .. 'instance:' .. instance
  local kind = redis.call('TYPE', key)['ok']
  if kind == 'hash' then
    leases[#leases + 1] = {instance, redis.call('HGETALL', key)}
  elseif kind == 'none' then
    redis.call('SREM', KEYS[1], instance)
  end
end
return leases
"""
"""Return every lease, and remove the ids of those that ended: in one step, so that a lease just taken is kept.

A key of another kind under the name of a lease belongs to another program.
"""
