"""Drafts: saved and loaded for their users, the same by REST and over a WebSocket."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from fanout import machine
from fanout.api.drafts import DeleteRequest, DraftAnswer, LoadRequest, SaveRequest
from fanout.error_codes import DRAFT_CONFLICT, DRAFT_TOO_LONG
from fanout.errors import CallRejected
from fanout.events import timestamp
from fanout.ports.drafts import Base, Draft, DraftContent, Drafts, Saved
from fanout.user_sync import DraftSync
from services.runtime.membership_cache import MembershipCache
from services.runtime.user_sync import UserSync

MAX_TEXT: Final = 16_000
"""Characters of a draft's text."""


class DraftCommands:
    """Saves, deletes and loads drafts.

    Args:
        cache: says who is a member of a channel.
        drafts: the store.
        user_sync: tells the other devices of a user.
        now: the time, with a zone.
    """

    def __init__(
        self,
        cache: MembershipCache,
        drafts: Drafts,
        user_sync: UserSync,
        now: Callable[[], datetime] = machine.utc_now,
    ) -> None:
        self._cache = cache
        self._drafts = drafts
        self._user_sync = user_sync
        self._now = now

    async def save(
        self,
        user_id: str,
        channel_id: str,
        content: DraftContent | None,
        *,
        device_id: str = "",
        base: Base | None = None,
    ) -> Saved:
        """Save or delete a draft; see `ClientCommands.save_draft`."""
        _check_length(content)
        await self._cache.check(channel_id, user_id)
        if content == DraftContent(""):
            content = None
        saved = await self._drafts.save_draft(
            user_id, channel_id, content, now=timestamp(self._now()), device_id=device_id, base=base
        )
        if not saved.is_refused:
            await self._user_sync.publish(DraftSync.of(user_id, channel_id, saved.draft, device_id))
        return saved

    async def load(self, user_id: str, channel_id: str) -> Draft:
        """Load a draft."""
        await self._cache.check(channel_id, user_id)
        (draft,) = await self._drafts.drafts(user_id, [channel_id])
        return draft

    async def save_draft(self, user_id: str, request: SaveRequest) -> DraftAnswer:
        """Handle `PUT` of a draft; see `fanout.api.drafts`."""
        content = DraftContent(request.text, request.reply_to, request.attachments)
        return await self._change(user_id, request, content)

    async def delete_draft(self, user_id: str, request: DeleteRequest) -> DraftAnswer:
        """Handle `DELETE` of a draft; see `fanout.api.drafts`."""
        return await self._change(user_id, request, None)

    async def get_draft(self, user_id: str, request: LoadRequest) -> DraftAnswer:
        """Handle `GET` of a draft; see `fanout.api.drafts`."""
        return DraftAnswer.of(request.channel_id, await self.load(user_id, request.channel_id))

    async def _change(
        self, user_id: str, request: SaveRequest | DeleteRequest, content: DraftContent | None
    ) -> DraftAnswer:
        channel_id = request.channel_id
        saved = await self.save(user_id, channel_id, content, device_id=request.device_id or "", base=request.base)
        answer = DraftAnswer.of(channel_id, saved.draft)
        if saved.is_refused:
            raise CallRejected(DRAFT_CONFLICT, more={"draft": answer})
        return answer


def _check_length(content: DraftContent | None) -> None:
    if content is not None and len(content.text) > MAX_TEXT:
        raise CallRejected(DRAFT_TOO_LONG)
