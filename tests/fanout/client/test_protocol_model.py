"""Against a server that is cut off at any frame, a client gets every event once and in order, or is told of a loss."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fanout.client import AuthOk, Catchup, ClientProtocol, Device, Event, MessageNew, ResumeDropped, ResumePoint
from fanout.client.position import Position
from tests.support.model_server import DEVICE_ID, ModelDriver, ModelServer

CHANNELS = 4


def seqs_in(event: Event) -> list[tuple[str, int]]:
    """The channel and the seq of each message that an event brings."""
    match event:
        case MessageNew():
            return [(event.channel_id, event.seq)]
        case Catchup():
            return [(missed.channel_id, m.seq or 0) for missed in event.channels for m in missed.messages]
    return []


class CutClient(RuleBasedStateMachine):
    """Posts, deliveries, heartbeats, cuts and restarts of the program, in any order."""

    @initialize(partitions=st.integers(1, 3))
    def start(self, partitions: int) -> None:
        self.server = ModelServer(partitions)
        self.got: dict[str, list[int]] = {}
        self.complete_from: int | None = None
        """The program has every event above this seq; None while nothing is promised."""
        self.new_program(None)

    def new_program(self, point: ResumePoint | None) -> None:
        protocol = ClientProtocol(Device(DEVICE_ID), 0.0, point=point, random=lambda: 0.5)
        self.driver = ModelDriver(self.server, protocol)
        self.taken = Position(point)

    @rule(channel=st.integers(0, CHANNELS - 1))
    def post(self, channel: int) -> None:
        self.server.post(channel)

    @rule(tier=st.sampled_from([1, 1, 2]), count=st.integers(0, 6))
    def connect(self, tier: int, count: int) -> None:
        self.driver.connect(tier)
        self.receive(count)

    @rule(part=st.integers(0, 2), again=st.booleans())
    def deliver(self, part: int, again: bool) -> None:  # noqa: FBT001 - hypothesis passes it by name
        self.server.deliver(part, again=again)

    @rule()
    def heartbeat(self) -> None:
        if self.server.is_connected:
            self.server.answer_heartbeat()

    @rule(count=st.integers(1, 6))
    def receive(self, count: int) -> None:
        self.driver.receive(count)
        self.take()

    @rule()
    def cut(self) -> None:
        self.driver.cut()
        self.take()

    @rule()
    def restart(self) -> None:
        """The program is killed, and starts again with the point that it kept."""
        self.driver.cut()
        self.new_program(self.taken.point)

    def take(self) -> None:
        for event, _ in self.driver.client.take_events():
            self.taken.see(event)
            if isinstance(event, ResumeDropped):
                self.complete_from = None
            if isinstance(event, AuthOk) and self.complete_from is None:
                self.complete_from = event.seq
                self.got.clear()
            for channel, seq in seqs_in(event):
                self.got.setdefault(channel, []).append(seq)

    @invariant()
    def every_event_once_and_in_order(self) -> None:
        for channel, seqs in self.got.items():
            assert seqs == sorted(set(seqs)), f"{channel} came as {seqs}"

    def teardown(self) -> None:
        self.driver.cut()
        for _ in range(2):
            self.driver.connect(1)
            self.driver.receive(len(self.server.frames))
        for part in range(self.server.partitions):
            while self.server.lanes[part]:
                self.server.deliver(part)
        self.receive(len(self.server.frames))
        assert self.complete_from is not None
        due = range(self.complete_from + 1, len(self.server.log) + 1)
        assert sorted(seq for seqs in self.got.values() for seq in seqs if seq > self.complete_from) == list(due)


TestCutClient = CutClient.TestCase
TestCutClient.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
