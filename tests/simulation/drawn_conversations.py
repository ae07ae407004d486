"""Draws what people do beside posting: replies, mentions, marks, and the removal of members."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from tests.simulation.hosts import Draw
from tests.simulation.plan import ACTIVE_S, FIRST_FAULT_S, GUEST, Action, Fault, Plan

_ITS_OWN: Final = 0x7EAD
"""Sets the chance of conversations apart, so that the rest of a plan is drawn as without them."""
_NTH: Final = (0, 0, 0, 1, 2, 5, 12)
"""Which message is replied to or marked, counted from the newest one."""


def with_conversations(plan: Plan) -> Plan:
    """Let people also reply, mention each other, mark channels as read, and remove members.

    Args:
        plan: has everything else.
    """
    draw = Draw(plan.seed << 16 | _ITS_OWN)
    posts = [action for action in plan.actions if action.what == "post"]
    times = [action.at for action in plan.actions if action.what != "connect"]
    times += [at for fault in plan.faults for at in (fault.at, fault.at + fault.seconds)]
    actions = [_mentioning(draw, plan, action) if action.what == "post" else action for action in plan.actions]
    actions += _replies(draw, plan, posts)
    actions += _marks(draw, plan, times)
    actions += _removals(draw, plan, times)
    actions += _looks(draw, plan, times)
    faults = [*plan.faults, *(_late_writers(draw, plan) if plan.faults and draw.happens(0.2) else ())]
    return msgspec.structs.replace(plan, actions=actions, faults=faults)


def _mentioning(draw: Draw, plan: Plan, post: Action) -> Action:
    if not draw.happens(0.2):
        return post
    return msgspec.structs.replace(post, mentions=draw.sample(_people(plan, post.channel), 1 + draw.below(2)))


def _replies(draw: Draw, plan: Plan, posts: Sequence[Action]) -> Iterator[Action]:
    """Some posts are replied to soon after, by one of those who post in the channel; one in ten replies goes astray."""
    for post in posts:
        if not draw.happens(0.25):
            continue
        at = min(post.at + draw.choice((draw.between(0.05, 0.5), draw.between(0.5, 5.0))), ACTIVE_S)
        who = draw.choice([other.who for other in posts if other.channel == post.channel])
        astray = draw.choice(("reply elsewhere", "reply to a reply")) if draw.happens(0.1) else "reply"
        mentions = draw.sample(_people(plan, post.channel), 1) if draw.happens(0.3) else []
        nth, also = draw.choice(_NTH), draw.happens(0.4)
        yield Action(at, astray, who, post.channel, nth=nth, also=also, mentions=mentions)


def _marks(draw: Draw, plan: Plan, times: Sequence[float]) -> Iterator[Action]:
    for device, user in plan.devices.items():
        for _ in range(draw.below(8)):
            channel = draw.choice([name for name, members in plan.channels.items() if user in members] or ["room1"])
            what = "mark elsewhere" if draw.happens(0.05) else "mark"
            yield Action(_time(draw, times), what, device, channel, nth=draw.choice(_NTH))


def _removals(draw: Draw, plan: Plan, times: Sequence[float]) -> Iterator[Action]:
    """The first member, who has created a channel, removes another one, who may be invited again."""
    shared = plan.shared()
    for _ in range(draw.choice((0, 0, 1, 1, 2)) if shared else 0):
        channel, at = draw.choice(shared), _time(draw, times)
        creator, *others = plan.channels[channel]
        whom = draw.choice(others)
        yield Action(at, "remove", creator, channel, whom)
        if draw.happens(0.6):
            yield Action(min(at + draw.between(0.05, 6.0), ACTIVE_S), "invite", creator, channel, whom)


def _late_writers(draw: Draw, plan: Plan) -> Iterator[Fault]:
    """What is posted for some seconds is stored and counted later: the writers have not the one store, or nothing."""
    at, seconds = draw.between(FIRST_FAULT_S, ACTIVE_S - 5.0), draw.between(1.0, 8.0)
    what, to = draw.choice((("cut", "stores"), ("stall", "stores"), ("cut", "redis"), ("pause", ""), ("kill", "")))
    for writer in plan.of_kind("writer"):
        yield Fault(at, what, writer, to, seconds)


def _looks(draw: Draw, plan: Plan, times: Sequence[float]) -> Iterator[Action]:
    for channel, members in plan.channels.items():
        for _ in range(draw.below(3)):
            what = draw.choice(("list", "read thread"))
            yield Action(_time(draw, times), what, draw.choice(members), channel, nth=draw.choice((0, 0, 1)))


def _people(plan: Plan, channel: str) -> list[str]:
    """Who may be mentioned in a channel: its first members, and the users of devices."""
    members = plan.channels.get(channel, [])
    return sorted({*members, *plan.devices.values()} - ({GUEST} - {*members}))


def _time(draw: Draw, times: Sequence[float]) -> float:
    if not times or draw.happens(0.5):
        return draw.between(2.0, ACTIVE_S)
    return min(max(0.5, draw.choice(times) + draw.between(-0.2, 1.0)), ACTIVE_S)
