"""Drafts in Redis or Valkey. Contract section 5."""

from collections.abc import Sequence

import orjson
from redis.asyncio import Redis

from fanout.errors import Unavailable
from fanout.events import later_timestamp
from fanout.keys import Keys
from fanout.ports.drafts import MEMBERSHIP_NOT_COUNTED, Base, Draft, DraftContent, Saved
from services.adapters.redis import draft_scripts as scripts
from services.adapters.redis.client import reaching_keys
from services.adapters.redis.keyspace import Encodable, Keyspace

_Fields = Sequence[str | None]


class RedisDrafts(Keyspace):
    """`fanout.ports.drafts.Drafts`: a hash for each draft."""

    def __init__(self, client: Redis, keys: Keys, deployment: str = "") -> None:
        super().__init__(client, keys, deployment)
        self._save_draft = self._script(scripts.SAVE)
        self._load_drafts = self._script(scripts.LOAD)

    async def drafts(self, user_id: str, channel_ids: Sequence[str]) -> list[Draft]:
        """See the port."""
        used = {self._keys.draft(user_id, channel_id): "hash" for channel_id in channel_ids}
        async with reaching_keys(self._client, "drafts", used):
            found = await self._load_drafts(keys=list(used), args=[])
        return [_draft(fields) for fields in found]

    async def save_draft(
        self,
        user_id: str,
        channel_id: str,
        content: DraftContent | None,
        *,
        now: str,
        device_id: str = "",
        base: Base | None = None,
    ) -> Saved:
        """See the port. It takes two steps where the draft has a later time than `now`."""
        used = {
            self._keys.draft(user_id, channel_id): "hash",
            self._keys.changed(user_id): "zset",
            self._keys.read_pointer(user_id, channel_id): "hash",
        }
        while True:
            values = [channel_id, now, device_id, *_base(base), *_content(content)]
            async with reaching_keys(self._client, "a draft", used):
                outcome, fields = await self._save_draft(keys=list(used), args=values)
            if outcome == "left":
                raise Unavailable(MEMBERSHIP_NOT_COUNTED)
            draft = _draft(fields)
            if outcome != "later":
                return Saved(draft, is_refused=outcome == "refused")
            now = later_timestamp(draft.updated_at)


def _base(base: Base | None) -> list[Encodable]:
    return [0, ""] if base is None else [1, base.updated_at or ""]


def _content(content: DraftContent | None) -> list[Encodable]:
    if content is None:
        return [1]
    return [0, content.text, content.reply_to or "", orjson.dumps(content.attachments)]


def _draft(fields: _Fields) -> Draft:
    updated_at, device_id, deleted, text, reply_to, attachments = fields
    content = None
    if updated_at and not deleted:
        content = DraftContent(text or "", reply_to or None, orjson.loads(attachments or "[]"))
    return Draft(content, updated_at or "", device_id or "")
