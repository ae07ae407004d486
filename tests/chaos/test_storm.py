"""The storm, small: see `make chaos` for the whole one."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.scenario import Scenario
from tests.chaos.storm import Outcome, run_storm

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SMALL = Scenario(
    messages=10_000,
    channels=200,
    instances=2,
    clients=30,
    channels_each=40,
    change_every=2.0,
    instance_kills=2,
    nats_restarts=1,
    rate=700.0,
)


async def raged(scenario: Scenario, folder: Path) -> Outcome:
    outcome = await run_storm(scenario, folder, print)
    print(outcome.findings, outcome.summary())
    assert outcome.clean, outcome.findings
    assert outcome.good, outcome.summary()
    assert outcome.accepted == scenario.messages
    assert outcome.received == outcome.expected > 0
    assert outcome.struck.kills > 0
    assert outcome.struck.adds > 0
    assert outcome.struck.restarts == scenario.nats_restarts
    assert outcome.struck.instance_kills == scenario.instance_kills
    assert outcome.reconnects > 0
    return outcome


async def test_every_client_gets_everything_once_and_in_order_while_workers_die_and_nats_restarts(
    tmp_path: Path,
) -> None:
    outcome = await raged(SMALL, tmp_path)
    assert outcome.dropped == 0


async def test_the_same_when_one_message_to_an_instance_in_a_hundred_is_lost(tmp_path: Path) -> None:
    outcome = await raged(replace(SMALL, drop=0.01, seed=2), tmp_path)
    assert outcome.dropped > 0
    assert outcome.gaps_repaired > 0
