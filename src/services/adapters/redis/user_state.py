"""The unread counts, drafts and changes of users in Redis or Valkey: one connection to the server for these ports."""

from services.adapters.redis.changes import RedisChanges
from services.adapters.redis.client_state import RedisClientState
from services.adapters.redis.drafts import RedisDrafts
from services.adapters.redis.unread import RedisUnread


class RedisUserState(RedisUnread, RedisDrafts, RedisChanges, RedisClientState):
    """Unread counts, drafts, the record of changes, and the channels used last."""
