"""The presence set of an instance on its way to this worker, page by page."""

from dataclasses import dataclass, field

from fanout.workers import PresenceSetPage


@dataclass
class PresenceSetTransfer:
    """The pages that answer one request for a presence set.

    Attributes:
        request: the id of the request.
        contact: the contact in which it was sent; None where the instance may not have heard this worker then.
        progressed_at: when the request was sent, or the last page came, in seconds of the worker's clock.
        users: the users of the pages that came, in order. A repair takes users out of it.
        hinted: users of whom a hint came since the request was sent. The hint is newer than the presence set.
        complete: the last page came.
        unchanged: the presence set is the one that the table had when the request was sent.
    """

    request: str
    contact: int | None
    progressed_at: float
    users: dict[str, None] = field(default_factory=dict)
    hinted: set[str] = field(default_factory=set)
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
        return self.complete
