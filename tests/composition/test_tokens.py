"""What verifies tokens, by the settings."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from fanout.ports.authenticator import Authenticator
from services.composition.backends import Backends
from services.composition.table import BACKENDS
from services.runtime.health import Health
from services.runtime.settings import ConfigurationError, load_settings
from services.runtime.tokens import sign, stored_secret
from tests.composition.conftest import SECRET
from tests.support.issuer import new_key, running_issuer


async def verified(token: str, *, alone: bool = False, **settings: Any) -> str:
    async with AsyncExitStack() as stack:
        backends = Backends(BACKENDS, load_settings(**settings), Health(), stack, alone=alone)
        return (await (await backends.open(Authenticator)).verify(token)).user_id


async def test_the_configured_secret_verifies_and_is_no_check_of_health(tmp_path: Path) -> None:
    assert await verified(sign(SECRET, "ann", 60)) == "ann"
    assert not (tmp_path / "data").exists()
    async with AsyncExitStack() as stack:
        health = Health()
        await Backends(BACKENDS, load_settings(), health, stack, alone=False).open(Authenticator)
        assert (await health.report()).checks == {}


async def test_a_process_alone_makes_a_secret_and_keeps_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FANOUT_JWT_SECRET")
    async with AsyncExitStack() as stack:
        await Backends(BACKENDS, load_settings(), Health(), stack, alone=True).open(Authenticator)
    secret = stored_secret(tmp_path / "data")
    assert secret is not None
    assert await verified(sign(secret, "ann", 60), alone=True) == "ann"


async def test_one_of_several_makes_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FANOUT_JWT_SECRET")
    with pytest.raises(ConfigurationError, match="FANOUT_JWT_SECRET: services that run in separate processes"):
        await verified("token")
    assert not (tmp_path / "data").exists()


async def test_the_keys_of_an_issuer_are_a_check_of_health(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FANOUT_JWT_SECRET")
    with running_issuer() as issuer:
        issuer.publish(one=new_key("ES256"))
        settings = load_settings(jwks_url=issuer.url, jwt_algorithms="ES256", jwt_audience="any", jwt_issuer="any")
        async with AsyncExitStack() as stack:
            health = Health()
            await Backends(BACKENDS, settings, health, stack, alone=False).open(Authenticator)
            assert (await health.report()).checks.keys() == {"keys"}
