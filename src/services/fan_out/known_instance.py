"""The state of one notification instance, as a worker knows it."""

import asyncio
from dataclasses import dataclass

from fanout.workers import PresenceChange, PresenceDigest
from services.fan_out.presence_set import PresenceSetTransfer

ASK_AGAIN_AFTER_S = 1.0
"""Seconds without a page after which the worker asks again. They double with each request in a row, since
the pages of an earlier request do not count: over a slow connection none would come in time."""
LONGEST_PATIENCE_S = 16.0
"""The longest time without a page."""
INSTANCE_UNREACHABLE_AFTER_S = 3.0
"""Seconds without a digest after which the instance, or the worker, had no connection: requests were lost too."""
MISMATCHES_BEFORE_REPAIR = 2
"""A digest and a hint may cross in the worker. The same difference twice means that a hint was lost."""


@dataclass
class KnownInstance:
    """An instance that gave a lease, a digest or a hint, or that a snapshot had users of.

    Attributes:
        incarnation: of the instance; empty until a lease or a digest names it.
        heard_at: when its last digest came, or when it became known, in seconds of the worker's clock.
        digest_heard: whether a digest of it came.
        leased: whether it had a lease when the leases were read last.
        transfer: the presence set that the worker asked for; None where none is on its way.
        mismatches: how many digests in a row differed from the table.
        loaded: whether its presence set was applied to the table once.
        announced: the number of the newest presence change that the presence set of the table contains.
        newest_hint: the number of the newest hint.
        requests: how many requests in a row were not answered completely.
        agreeing_in: the contact in which the newest complete presence set was asked for. The instance agrees as soon as
            all users of the table are placed.
        agreement: waits for that; None where nothing waited yet.
    """

    incarnation: str
    heard_at: float
    digest_heard: bool = False
    leased: bool = False
    transfer: PresenceSetTransfer | None = None
    mismatches: int = 0
    loaded: bool = False
    announced: int = 0
    newest_hint: int = 0
    requests: int = 0
    agreeing_in: int | None = None
    agreement: asyncio.Task[None] | None = None

    def is_due(self, now: float) -> bool:
        """Whether the worker has to ask for the presence set now."""
        if self.transfer is None:
            return not self.loaded or self.mismatches >= MISMATCHES_BEFORE_REPAIR
        patience = min(ASK_AGAIN_AFTER_S * 2.0 ** (self.requests - 1), LONGEST_PATIENCE_S)
        return not self.transfer.complete and now - self.transfer.progressed_at > patience

    def ask(self, request: str, now: float, contact: int | None) -> None:
        """Begin a transfer; what came of an earlier one is dropped."""
        self.transfer = PresenceSetTransfer(request, contact, now)
        self.mismatches = 0
        self.requests += 1

    def end_transfer(self) -> None:
        """Note that the presence set was applied to the table."""
        if self.transfer is not None:
            self.agreeing_in = self.transfer.contact
            self.announced = max(self.announced, self.transfer.announced)
        self.loaded, self.transfer, self.requests = True, None, 0

    def await_agreement(self, agreement: asyncio.Task[None] | None) -> None:
        """Note what waits for the newest agreement, and end what waits for an earlier one; None where nothing waits."""
        if self.agreement is not None:
            self.agreement.cancel()
        self.agreement = agreement

    def hear(self, digest: PresenceDigest, now: float, *, agrees: bool) -> None:
        """Note a digest of this incarnation.

        Args:
            digest: what the instance said.
            now: seconds of the worker's clock.
            agrees: whether the table has the same users.
        """
        self.incarnation = digest.incarnation
        if now - self.heard_at > INSTANCE_UNREACHABLE_AFTER_S:
            self.requests = min(self.requests, 1)  # the connection was away, so nothing shows that it is slow
        self.digest_heard, self.heard_at = True, now
        if self.transfer is None:
            self.mismatches = 0 if agrees else self.mismatches + 1

    def take(self, change: PresenceChange) -> bool:
        """Note a hint of this incarnation; returns whether it is to be applied.

        It is not where the newest complete presence set contains it. Nor is a departure that comes after a newer hint,
        which may be of the same user's return: the digests show a departure that was left out.
        """
        complete = self.transfer.announced if self.transfer is not None and self.transfer.complete else 0
        is_late = change.number < self.newest_hint
        self.newest_hint = max(change.number, self.newest_hint)
        if change.number <= max(self.announced, complete) or (is_late and not change.online):
            return False
        if self.transfer is not None:
            self.transfer.hint(change)
        return True

    def hear_incarnation(self, incarnation: str) -> bool:
        """Note which incarnation runs, where none is known; returns whether it is the known one."""
        self.incarnation = self.incarnation or incarnation
        return self.incarnation == incarnation

    def is_replaced_by(self, incarnation: str) -> bool:
        """Whether an incarnation is newer than the known one."""
        return bool(self.incarnation) and self.incarnation < incarnation
