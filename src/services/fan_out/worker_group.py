"""The worker group: workers that hear each other's notices, and assign the partitions by the same rule."""

import asyncio
from collections.abc import Callable, Mapping

import msgspec
import structlog

from fanout import Unavailable, machine
from fanout.ports.bus import Bus
from fanout.ports.log import Log
from fanout.subjects import WORKERS
from fanout.workers import WORKER_SILENT_AFTER_S, WorkerNotice, decode_notice
from services.fan_out.assignment import assign
from services.fan_out.contact import Contact
from services.fan_out.partitions import Partitions
from services.runtime.skipping import skip
from services.runtime.tasks import retry_forever

log = structlog.get_logger(__name__)

ANNOUNCE_EVERY_S = 0.4


class WorkerGroup:
    """This worker's view of the group, and its share of the partitions.

    Workers whose views differ may claim the same partition. The log lets only the last one read it, so no event is lost
    or routed out of order. A worker claims no partition that a live worker still reads; it waits for the release.

    Args:
        worker_id: this worker.
        bus: carries the notices.
        events: the log; it has the number of partitions.
        partitions: claims and releases partitions.
        contact: gets the notices of this worker that come back.
        clock: seconds, from any fixed point; it must not step back.
    """

    def __init__(
        self,
        worker_id: str,
        bus: Bus,
        events: Log,
        partitions: Partitions,
        contact: Contact,
        *,
        clock: Callable[[], float] = machine.monotonic_s,
    ) -> None:
        self._worker_id = worker_id
        self._bus = bus
        self._log = events
        self._partitions = partitions
        self._contact = contact
        self._clock = clock
        self._heard: dict[str, tuple[float, WorkerNotice]] = {}
        self._ready = False
        self._left = False
        self._turn = asyncio.Lock()

    async def run(self, ready: asyncio.Event) -> None:
        """Publish notices, and read a share of the partitions once `ready` is set; cancel it to stop."""
        await retry_forever(lambda: self._bus.subscribe(WORKERS, self._hear), "listening to the other workers")
        while True:
            async with self._turn:
                await self._take_part(ready=ready.is_set() and not self._left)
            await asyncio.sleep(ANNOUNCE_EVERY_S)

    def is_responsible(self, part: int) -> bool:
        """Whether this worker reads a partition, or, as far as it knows, no worker does.

        Several workers may be responsible for a partition that nobody reads.
        """
        if self._partitions.is_claimed(part):
            return True
        return not any(part in notice.partitions for notice in self._live().values())

    async def leave(self) -> None:
        """Release all partitions, claim no other one, and notify the group at once."""
        self._left = True
        async with self._turn:  # a partition that is being claimed now is released too
            self._ready = False
            await self._partitions.release_all()
            await self._announce()

    async def _take_part(self, *, ready: bool) -> None:
        # Instances wait for confirmations of ready workers only. So a worker says that it is ready before it claims.
        was_ready, self._ready = self._ready, ready
        if await self._announce() and was_ready and ready:
            await self._take_share()

    async def _announce(self) -> bool:
        notice_id = self._contact.sign() if self._ready else ""
        notice = msgspec.structs.replace(self._notice(), notice_id=notice_id)
        try:
            await self._bus.publish(WORKERS, msgspec.json.encode(notice))
        except Unavailable:
            # While the bus is away no notice can come, so the silence of the other workers means nothing.
            now = self._clock()
            self._heard = {worker: (now, notice) for worker, (_, notice) in self._heard.items()}
            return False
        return True

    def _notice(self) -> WorkerNotice:
        return WorkerNotice(self._worker_id, self._ready, self._partitions.epochs(), self._partitions.members_upto)

    def _hear(self, _subject: str, payload: bytes) -> None:
        try:
            notice = decode_notice(payload)
        except msgspec.DecodeError as error:
            skip("worker_notice", error)
            return
        self._heard[notice.worker] = (self._clock(), notice)
        if notice.worker == self._worker_id:
            self._contact.hear(notice.notice_id)

    def _live(self) -> dict[str, WorkerNotice]:
        oldest = self._clock() - WORKER_SILENT_AFTER_S
        self._heard = {worker: seen for worker, seen in self._heard.items() if seen[0] >= oldest}
        return {worker: notice for worker, (_, notice) in self._heard.items()}

    async def _take_share(self) -> None:
        live = self._live()
        live[self._worker_id] = self._notice()
        readers_by_part = _readers(live)
        readers = [worker for worker, notice in live.items() if notice.ready]
        share = assign(self._log.partitions, readers_by_part, readers)
        mine = {part for part, worker in share.items() if worker == self._worker_id}
        await asyncio.gather(
            *(self._partitions.release(part) for part in self._partitions.claimed() if part not in mine)
        )
        if self._heard.get(self._worker_id) is None:
            return  # its own first notice has not come back: notices of the others may be missing too
        claims = [part for part in sorted(mine) if part not in readers_by_part]
        await asyncio.gather(*(self._claim(part) for part in claims))

    async def _claim(self, part: int) -> None:
        try:
            await self._partitions.claim(part)
        except Unavailable as error:
            log.warning("partition cannot be claimed now", partition=part, reason=str(error))


def _readers(notices: Mapping[str, WorkerNotice]) -> dict[int, str]:
    """The worker that reads each partition: the one with the highest epoch.

    Another one that names the partition has not noticed yet, when it gave its notice, that it lost it. If that counted,
    the new reader would release the partition, and the two could exchange partitions without end.
    """
    claims = [(epoch, part, worker) for worker, notice in notices.items() for part, epoch in notice.partitions.items()]
    return {part: worker for _, part, worker in sorted(claims)}
