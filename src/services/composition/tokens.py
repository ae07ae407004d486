"""The backend that verifies tokens: a shared secret, or the public keys of their issuer."""

from services.composition.backends import Backends, Found
from services.runtime.settings import ConfigurationError, Settings
from services.runtime.tokens import SECRET_FILE, TokenVerifier, embedded_secret, stored_secret, verifier


async def open_secret(backends: Backends) -> TokenVerifier:
    """Verify tokens by the configured secret. A process that runs every service makes one where none is configured.

    Raises:
        ConfigurationError: there is no secret, and other processes need the same one.
    """
    settings = backends.settings
    if settings.jwt_secret:
        return verifier(settings)
    _require_alone(backends)
    return verifier(settings, embedded_secret(settings.data_dir))


async def look_at_secret(backends: Backends) -> Found:
    """Check that there is a secret, or that one will be made."""
    settings = backends.settings
    if settings.jwt_secret:
        return await _found(settings, "FANOUT_JWT_SECRET")
    _require_alone(backends)
    secret, kept_in = stored_secret(settings.data_dir) or "", settings.data_dir / SECRET_FILE
    source = f"the secret in {kept_in}" if secret else f"a secret that the first `fanout up` puts in {kept_in}"
    return await _found(settings, source, secret)


async def open_issuer(backends: Backends) -> TokenVerifier:
    """Verify tokens by the keys of their issuer, which are fetched when the first token comes."""
    return verifier(backends.settings)


async def look_at_issuer(backends: Backends) -> Found:
    """Fetch the issuer's keys."""
    return await _found(backends.settings, "the issuer's JWKS")


async def _found(settings: Settings, source: str, secret: str | None = None) -> Found:
    await verifier(settings, secret).ping()
    return Found(f"{', '.join(settings.jwt_algorithms)} by {source}")


def _require_alone(backends: Backends) -> None:
    if not backends.alone:
        why = "services that run in separate processes need the same secret; set it, or FANOUT_JWKS_URL"
        raise ConfigurationError([f"FANOUT_JWT_SECRET: {why}"])
