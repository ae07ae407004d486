"""Variables that begin with `FANOUT_` and are no setting. Most are misspelt, and would be ignored without a word."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from services.runtime.settings import PREFIX, Settings

URL_VARIABLE: Final = f"{PREFIX}URL"
TOKEN_VARIABLE: Final = f"{PREFIX}TOKEN"
CLIENT_VARIABLES: Final = frozenset({URL_VARIABLE, TOKEN_VARIABLE})
"""The variables of the client commands, which read them from the environment and not from `.env`."""

_SETTINGS: Final = frozenset(f"{PREFIX}{name.upper()}" for name in Settings.model_fields)
_SERVICE_HOST: Final = "_SERVICE_HOST"


def unknown_variables() -> list[str]:
    """A line for each variable of the environment, and of `.env`, that begins with `FANOUT_` and is no setting."""
    environment = _ours(EnvSettingsSource(Settings).env_vars)
    in_file = _ours(DotEnvSettingsSource(Settings).env_vars)
    return [
        *(f"{name}: {_why(name)}" for name in sorted(_unlinked(environment) - _SETTINGS - CLIENT_VARIABLES)),
        *(f"{name} in .env: {_why(name)}" for name in sorted(in_file - _SETTINGS)),
    ]


def _ours(names: Iterable[str]) -> set[str]:
    return {upper for name in names if (upper := name.upper()).startswith(PREFIX)}


def _unlinked(names: set[str]) -> set[str]:
    """The names without those that Kubernetes sets in a pod for Services such as `fanout-gateway`."""
    services = [name.removesuffix(_SERVICE_HOST) for name in names if name.endswith(_SERVICE_HOST)]
    links = tuple(f"{service}{part}" for service in services for part in ("_SERVICE_", "_PORT"))
    return {name for name in names if not name.startswith(links)}


def _why(name: str) -> str:
    if name in CLIENT_VARIABLES:
        return "is read from the environment only; it has no effect here"
    # Compared without the prefix, which would make any two names similar.
    known = {known.removeprefix(PREFIX): known for known in _SETTINGS | CLIENT_VARIABLES}
    near = get_close_matches(name.removeprefix(PREFIX), known, n=1)
    return f"is no setting; did you mean {known[near[0]]}?" if near else "is no setting"
