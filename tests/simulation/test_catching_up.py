import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.simulation import catching_up
from tests.simulation.catching_up import CatchingUp, Progress
from tests.simulation.world import Answer, World
from tests.support.simulated import SMALL, in_world

# how far a device knows a channel


def progress(*steps: tuple[Any, ...]) -> tuple[int | None, bool]:
    """How far a device knows a channel after some steps, and whether the socket continues that."""
    known = Progress()
    for name, *arguments in steps:
        getattr(known, name)(*arguments)
    return known.upto, known.is_live


READ = ("open",), ("read", 0, 5)
LIVE = *READ, ("learn_end", 1, 5)


@pytest.mark.parametrize(
    ("steps", "known"),
    [
        ([("open",), ("hear", 6)], (None, False)),
        (READ, (5, False)),
        ([*READ, ("hear", 6)], (5, False)),
        (LIVE, (5, True)),
        ([("open",), ("learn_end", 1, 5), ("read", 0, 5)], (5, True)),
        ([("open",), ("learn_end", 1, 0), ("read", 0, 0)], (0, True)),
        ([("open",), ("learn_end", 1, 5), ("hear", 8)], (None, False)),
        ([*READ, ("learn_end", 1, 6)], (5, False)),
        ([*READ, ("learn_end", 1, 6), ("hear", 7), ("read", 5, 6)], (7, True)),
        ([*READ, ("learn_end", 1, 6), ("hear", 7), ("hear", 9), ("read", 5, 6)], (9, True)),
        ([*READ, ("learn_end", 1, 6), ("read", 6, 8)], (5, False)),
        ([*READ, ("hear", 1), ("hear", 9), ("learn_end", 1, 6)], (5, False)),
        ([*READ, ("learn_end", 1, None)], (5, False)),
        ([*READ, ("learn_end", 1, None), ("learn_end", 1, 5)], (5, True)),
        ([*READ, ("learn_end", 1, 6), ("learn_end", 1, 9), ("read", 5, 6)], (6, True)),
        ([*READ, ("learn_end", 0, 5)], (5, False)),
        ([*LIVE, ("hear", 9)], (9, True)),
        ([*LIVE, ("read", 5, 4)], (5, True)),
        ([*LIVE, ("open",)], (5, False)),
        ([*LIVE, ("hear", 8), ("open",)], (8, False)),
        ([*LIVE, ("open",), ("hear", 8)], (5, False)),
        ([*LIVE, ("open",), ("learn_end", 1, 5)], (5, False)),
        ([*LIVE, ("open",), ("learn_end", 2, 5)], (5, True)),
        ([*LIVE, ("refresh",)], (None, False)),
        ([*LIVE, ("hear", 6), ("open",), ("learn_end", 2, 6), ("hear", 7), ("refresh",)], (6, False)),
        ([*LIVE, ("open",), ("hear", 7), ("refresh",), ("read", 7, 9)], (5, False)),
        ([*LIVE, ("refresh",), ("learn_end", 1, 5), ("read", 0, 5)], (5, False)),
        ([*LIVE, ("refresh",), ("learn_end", 2, 5), ("read", 0, 5)], (5, True)),
        ([*LIVE, ("forget",)], (None, False)),
        ([*LIVE, ("forget",), ("hear", 9), ("read", 0, 8)], (8, False)),
        ([*LIVE, ("forget",), ("hear", 9), ("learn_end", 2, 8), ("read", 0, 8)], (9, True)),
        ([*LIVE, ("forget",), ("refresh",)], (None, False)),
    ],
)
def test_how_far_a_device_knows_a_channel(steps: list[tuple[Any, ...]], known: tuple[int | None, bool]) -> None:
    assert progress(*steps) == known


# what it reads


class Gateway:
    """Answers the calls of a device with pages of a channel, and notes them.

    Attributes:
        seqs: of the messages that are stored.
        upto: what the pages say.
        newest: the end of the log, by the pages; None for `upto`.
        fails: answers that come first.
        queries: of the calls so far.
    """

    def __init__(self, world: World) -> None:
        self.seqs: list[int] = []
        self.upto = 0
        self.newest: int | None = None
        self.fails: list[Answer | None] = []
        self.queries: list[str] = []
        world.call = self._call  # type: ignore[method-assign]

    async def _call(self, user: str, method: str, path: str, body: Any = None) -> Answer | None:
        assert (user, method, body) == ("ann", "GET", None)
        name, _, query = path.partition("?")
        assert name == "channels.history"
        asked = dict(pair.split("=") for pair in query.split("&"))
        limit = int(asked.pop("limit"))
        self.queries.append(" ".join(f"{key} {value}" for key, value in asked.items()))
        await asyncio.sleep(0.01)
        return self.fails.pop(0) if self.fails else Answer(200, self._page(asked, limit))

    def _page(self, asked: dict[str, str], limit: int) -> dict[str, Any]:
        way, _, bound = asked.get("cursor", f"after-{asked['after']}" if "after" in asked else "before-999").partition(
            "-"
        )
        if way == "after":
            left = [seq for seq in self.seqs if seq > int(bound)]
            shown, upto = left[:limit], self.upto
            upto = min(self.upto, left[limit] - 1) if left[limit:] else self.upto
        else:
            left = [seq for seq in self.seqs if seq < int(bound)][::-1]
            shown, upto = left[:limit][::-1], self.upto
        messages = [{"seq": seq, "client_msg_id": f"m{seq}", "message_id": f"msg_{seq}"} for seq in shown[::-1]]
        page = {"messages": messages, "upto_seq": upto, "newest_seq": self.upto if self.newest is None else self.newest}
        return page | ({"cursor": f"{way}-{shown[-1 if way == 'after' else 0]}"} if left[limit:] else {})


def reads(world: World) -> list[list[int]]:
    """The bounds and the messages of each page that was read."""
    entries = [entry.about for entry in world.history.of("history")]
    return [[about["above"], about["below"], *(seq for seq, _, _ in about["messages"])] for about in entries]


def message(seq: int, channel: str = "room1") -> dict[str, Any]:
    return {"type": "message.new", "channel_id": channel, "seq": seq}


def member(kind: str, channel: str = "room1", version: int = 1, user: str = "ann") -> dict[str, Any]:
    return {"type": f"member.{kind}", "channel_id": channel, "user_id": user, "version": version}


GAP = {"type": "full_refresh_required", "reason": "gap"}


@pytest.fixture(autouse=True)
def pages_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catching_up, "PAGES", (2,))


def device(work: Callable[[CatchingUp, Gateway, World], Any]) -> None:
    """Let something happen to a device of Ann."""

    async def live(world: World) -> None:
        await work(CatchingUp(world, "ann-phone", "ann"), Gateway(world), world)

    in_world(live, SMALL)


async def lived(catching: CatchingUp, gateway: Gateway, seqs: list[int]) -> None:
    """The device has read a channel, and the socket continues that."""
    gateway.seqs, gateway.upto = seqs, seqs[-1]
    catching.begin()
    await asyncio.sleep(30.0)
    assert catching.is_done
    catching.take(message(seqs[-1] + 1))
    gateway.queries.clear()


def test_a_channel_is_read_back_to_its_beginning_and_then_on_from_there() -> None:
    async def work(catching: CatchingUp, gateway: Gateway, world: World) -> None:
        gateway.seqs, gateway.upto = [2, 3, 5, 7, 8], 8
        catching.begin()
        await asyncio.sleep(5.0)
        assert reads(world) == [[6, 0, 8, 7], [2, 7, 5, 3], [0, 3, 2]]
        gateway.seqs, gateway.upto = [*gateway.seqs, 10, 11, 12, 14], 14
        catching.end()
        catching.begin()
        await asyncio.sleep(30.0)
        assert [page[2:] for page in reads(world)[3:]] == [[11, 10], [14, 12]]
        assert gateway.queries[3] == "channel room1 after 8"
        (about, *_) = [entry.about for entry in world.history.of("history")]
        assert about["messages"][0] == [8, "m8", "msg_8"]
        assert (about["device"], about["channel"], about["upto"]) == ("ann-phone", "room1", 8)

    device(work)


def test_a_device_asks_again_until_it_has_what_the_log_held_when_it_asked_first() -> None:
    async def work(catching: CatchingUp, gateway: Gateway, _: World) -> None:
        gateway.newest = 4
        catching.begin()
        await asyncio.sleep(1.0)
        assert not catching.is_done
        catching.take(message(1))
        gateway.seqs, gateway.newest = [1, 4], 9
        for upto, done in ((3, False), (4, True)):
            gateway.upto = upto
            catching.ask_again()
            await asyncio.sleep(1.0)
            assert catching.is_done == done
        asked = len(gateway.queries)
        catching.ask_again()
        await asyncio.sleep(1.0)
        assert len(gateway.queries) == asked

    device(work)


def test_a_device_asks_again_while_the_log_does_not_answer() -> None:
    async def work(catching: CatchingUp, gateway: Gateway, world: World) -> None:
        gateway.fails = [Answer(200, {"messages": [], "upto_seq": 0})]
        catching.begin()
        await asyncio.sleep(1.0)
        assert not catching.is_done
        catching.ask_again()
        await asyncio.sleep(1.0)
        assert catching.is_done
        assert [entry.about["newest"] for entry in world.history.of("history")] == [None, 0]

    device(work)


def test_a_page_that_was_asked_for_before_a_gap_says_nothing_of_what_came_after_it() -> None:
    async def work(catching: CatchingUp, gateway: Gateway, _: World) -> None:
        catching.begin()
        await asyncio.sleep(0.005)
        catching.take(GAP)
        gateway.newest = 7
        await asyncio.sleep(1.0)
        assert gateway.queries == ["channel room1", "channel room1 after 0"]
        assert not catching.is_done

    device(work)


@pytest.mark.parametrize("failure", [None, Answer(503, {})])
def test_a_call_that_fails_is_repeated_while_the_session_lasts(failure: Answer | None) -> None:
    async def work(catching: CatchingUp, gateway: Gateway, world: World) -> None:
        gateway.fails, gateway.newest = [failure] * 3, 1
        catching.begin()
        await asyncio.sleep(10.0)
        assert (len(gateway.queries), len(reads(world))) == (4, 1)
        gateway.fails = [failure] * 1_000
        catching.ask_again()
        await asyncio.sleep(10.0)
        catching.end()
        asked = len(gateway.queries)
        await asyncio.sleep(10.0)
        assert len(gateway.queries) == asked > 8

    device(work)


def test_a_channel_that_is_refused_is_not_asked_for_until_a_session_opens_or_the_user_joins() -> None:
    async def work(catching: CatchingUp, gateway: Gateway, world: World) -> None:
        gateway.fails = [Answer(403, {})]
        for again in (catching.begin, catching.ask_again):
            again()
            await asyncio.sleep(1.0)
            assert (len(gateway.queries), reads(world)) == (1, [])
        (refused,) = world.history.of("refused")
        assert refused.about == {
            "device": "ann-phone",
            "user": "ann",
            "channel": "room1",
            "asked": pytest.approx(refused.at - 0.01, abs=1e-3),
            "status": 403,
        }
        for number, again in enumerate((catching.begin, lambda: catching.take(GAP)), 2):
            gateway.fails = [Answer(403, {})]
            again()
            await asyncio.sleep(1.0)
            assert len(gateway.queries) == number
        catching.take(member("joined"))
        await asyncio.sleep(1.0)
        assert len(reads(world)) == 1

    device(work)


def test_who_joins_reads_the_channel_from_its_beginning_and_who_leaves_forgets_it() -> None:
    async def work(catching: CatchingUp, gateway: Gateway, world: World) -> None:
        await lived(catching, gateway, [1])
        catching.take(member("joined", version=2))
        catching.take(member("joined", version=3, user="bob"))
        await asyncio.sleep(1.0)
        assert gateway.queries == ["channel room1"]
        gateway.newest = 9
        catching.take(member("joined", version=2))
        await asyncio.sleep(1.0)
        assert not catching.is_done
        catching.take(member("left", version=1))
        assert not catching.is_done
        catching.take(member("left", version=3))
        assert catching.is_done

    device(work)


def test_a_channel_of_which_a_device_hears_is_read() -> None:
    async def work(catching: CatchingUp, gateway: Gateway, _: World) -> None:
        await lived(catching, gateway, [1])
        catching.take(message(5, "new1"))
        catching.take(member("joined", "new2"))
        await asyncio.sleep(1.0)
        assert gateway.queries == ["channel new1", "channel new2"]

    device(work)


def test_after_a_gap_a_device_reads_from_where_it_was_when_the_session_opened() -> None:
    async def work(catching: CatchingUp, gateway: Gateway, _: World) -> None:
        await lived(catching, gateway, [1, 2])
        catching.end()
        catching.begin()
        await asyncio.sleep(1.0)
        for seq in (4, 9):
            catching.take(message(seq))
        assert catching.is_done
        gateway.queries.clear()
        gateway.newest = 9
        catching.take(GAP)
        await asyncio.sleep(1.0)
        assert gateway.queries == ["channel room1 after 3"]
        assert not catching.is_done

    device(work)


def test_when_the_log_went_back_a_device_reads_everything_at_the_time_that_it_is_told() -> None:
    async def work(catching: CatchingUp, gateway: Gateway, _: World) -> None:
        await lived(catching, gateway, [1])
        catching.take({"type": "full_refresh_required", "reason": "log_reset", "after_ms": 4_000})
        await asyncio.sleep(3.9)
        assert gateway.queries == []
        await asyncio.sleep(1.0)
        assert gateway.queries == ["channel room1"]
        catching.take({"type": "full_refresh_required", "reason": "log_reset", "after_ms": 4_000})
        catching.end()
        await asyncio.sleep(5.0)
        assert gateway.queries == ["channel room1"]

    device(work)
