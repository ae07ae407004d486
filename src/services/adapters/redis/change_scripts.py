"""The record of what changed for a user: a part of the scripts that change something, and the script that reads it."""

from typing import Final

from fanout.ports.changes import CHANGES_KEPT, CHANGES_KEPT_S

NOTE_CHANGE: Final = f"""
-- Note that something of a channel changed for the user whose record it is.
local function note_change(record, channel)
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  redis.call('ZADD', record, now, channel)
  redis.call('ZREMRANGEBYSCORE', record, '-inf', now - {CHANGES_KEPT_S * 1_000})
  redis.call('ZREMRANGEBYRANK', record, 0, -{CHANGES_KEPT} - 1)
  redis.call('EXPIRE', record, {CHANGES_KEPT_S})
end
"""

CHANGED: Final = """
-- KEYS: records. ARGV: milliseconds back.
local refusal = foreign()
if refusal then
  return refusal
end
local time, found = redis.call('TIME'), {}
local since = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) - tonumber(ARGV[1])
for i, record in ipairs(KEYS) do
  found[i] = redis.call('ZRANGEBYSCORE', record, since, '+inf')
end
return found
"""
"""Return for each record the channels that changed lately."""
