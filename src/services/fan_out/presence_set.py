"""The presence set of an instance on its way to this worker, page by page."""

from dataclasses import dataclass, field

from fanout.workers import PresenceChange, PresenceSetPage


@dataclass
class PresenceSetTransfer:
    """The pages that answer one request for a presence set.

    Attributes:
        request: the id of the request.
        contact: the contact in which it was sent; None where the instance may not have heard this worker then.
        progressed_at: when the request was sent, or the last page came, in seconds of the worker's clock.
        users: the users of the pages that came, in order. A repair takes users out of it.
        incarnation: of the instance that sent the pages.
        announced: the number of the newest presence change that the presence set contains; 0 until a page of it came.
        hinted: by user: the number of the newest hint that came since the request was sent.
        complete: the last page came.
        unchanged: the presence set is the one that the table had when the request was sent.
    """

    request: str
    contact: int | None
    progressed_at: float
    users: dict[str, None] = field(default_factory=dict)
    incarnation: str = ""
    announced: int = 0
    hinted: dict[str, int] = field(default_factory=dict)
    complete: bool = False
    unchanged: bool = False
    _next_page: int = 0

    def add(self, page: PresenceSetPage, now: float) -> bool:
        """Take a page, if it is the next one of this transfer.

        A page of an earlier request is ignored, and so is one that follows a lost page: the worker asks again later.

        Args:
            page: the page.
            now: seconds of the worker's clock.

        Returns:
            whether the transfer is complete with this page.
        """
        if self.complete or (page.request, page.page) != (self.request, self._next_page):
            return False
        self._next_page += 1
        self.progressed_at = now
        self.users.update(dict.fromkeys(page.users))
        self.complete, self.unchanged = page.last, page.unchanged
        self.incarnation = page.incarnation
        if not page.unchanged:
            self.announced = page.announced
        return self.complete

    def hint(self, change: PresenceChange) -> None:
        """Note a hint that comes while the pages are on their way."""
        self.hinted[change.user_id] = max(change.number, self.hinted.get(change.user_id, 0))

    def is_news_of(self, user_id: str) -> bool:
        """Whether no hint of the user that has come is newer than the presence set."""
        return self.hinted.get(user_id, 0) <= self.announced
