"""The atomic steps of drafts, as server-side Lua. `scripts.prepared` completes them.

A draft is a hash. After a deletion the hash stays for a while with `deleted`, so that a stale edit is recognised.
"""

from typing import Final

from fanout.ports.drafts import DRAFT_KEPT_S
from services.adapters.redis.change_scripts import NOTE_CHANGE
from services.adapters.redis.scripts import GUARD

_DRAFT: Final = """
local function draft_at(key)
  return redis.call('HMGET', key, 'updated_at', 'device_id', 'deleted', 'text', 'reply_to', 'attachments')
end
"""

SAVE: Final = (
    GUARD
    + NOTE_CHANGE
    + _DRAFT
    + f"""
-- KEYS: draft, changed, pointer. ARGV: channel, now, device, whether there is a base, base, whether it is a deletion,
-- text, reply_to, attachments.
local there = draft_at(KEYS[1])
local updated_at = there[1] or ''
if redis.call('HGET', KEYS[3], 'left') then
  return {{'left', there}}
end
if ARGV[4] == '1' and ARGV[5] ~= updated_at then
  return {{'refused', there}}
end
if ARGV[2] <= updated_at then
  return {{'later', there}}
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'updated_at', ARGV[2], 'device_id', ARGV[3])
if ARGV[6] == '1' then
  redis.call('HSET', KEYS[1], 'deleted', 1)
else
  redis.call('HSET', KEYS[1], 'text', ARGV[7], 'reply_to', ARGV[8], 'attachments', ARGV[9])
end
redis.call('EXPIRE', KEYS[1], {DRAFT_KEPT_S})
note_change(KEYS[2], ARGV[1])
return {{'saved', draft_at(KEYS[1])}}
"""
)
"""Replace or delete a draft, and return the outcome and the draft."""

LOAD: Final = (
    _DRAFT
    + """
-- KEYS: drafts.
local refusal = foreign()
if refusal then
  return refusal
end
local found = {}
for i, key in ipairs(KEYS) do
  found[i] = draft_at(key)
end
return found
"""
)
"""Return drafts."""
