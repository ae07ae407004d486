"""A stand-in for the verification of tokens."""

from fanout.ports.authenticator import Identity, TokenRefused
from tests.support.faulty import FaultSwitches, faulty


class _ReadableTokens:
    async def verify(self, token: str) -> Identity:
        prefix, _, user = token.partition(":")
        if not token:
            raise TokenRefused("token_missing")
        if prefix != "user" or not user:
            raise TokenRefused("token_malformed")
        return Identity(user, 4e9)


@faulty
class StubAuthenticator(FaultSwitches, _ReadableTokens):
    """Takes the token `user:{user_id}` for that user, and refuses any other."""
