"""The REST calls of the client commands."""

from collections.abc import Callable
from typing import Any, Final

import httpx

from fanout.client.addresses import GATEWAY, check_address
from fanout.errors import FanoutError
from fanout.ids import new_ulid

TIMEOUT_S: Final = 10.0

_REMEDIES: Final = {
    "token_signature": "the token is signed with another secret than the server's: "
    "set FANOUT_JWT_SECRET to that of the server, here or where the token was made",
    "token_expired": "the token has expired: make a new one",
}
"""Remedies for the user of the command, by error code. The server gives none to a client without a valid token."""


def remedy(error: str) -> str | None:
    """The remedy for an error whose text has a code; None if there is none."""
    return next((what for code, what in _REMEDIES.items() if code in error), None)


class ClientError(FanoutError):
    """An error with a text for the user of the command."""


class Rest:
    """Calls a gateway as one user.

    Args:
        url: the address of the gateway.
        token: returns the token for the next call.

    Raises:
        InvalidAddress: `url` is not the address of a gateway.
    """

    def __init__(self, url: str, token: Callable[[], str]) -> None:
        self._url = check_address(url, GATEWAY)
        self._token = token

    async def send_message(self, channel: str, text: str, thread: str = "") -> str:
        """Send a message, and return its id.

        Args:
            channel: to send it to.
            text: of the message.
            thread: the thread that it is a reply of; empty if it is none.

        Raises:
            ClientError: the gateway refused it, or cannot be reached.
        """
        body = {"channel": channel, "text": text, "client_msg_id": new_ulid()}
        if thread:
            body["thread_id"] = thread
        return str((await self._call("POST", "chat.sendMessage", body))["message_id"])

    async def _call(self, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token()}"}
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S) as http:
                response = await http.request(method, f"{self._url}/api/v1/{path}", json=body, headers=headers)
                return _answer(response)
        except UnicodeEncodeError as error:
            raise ClientError("the token is not valid: it has characters that no token has") from error
        except httpx.HTTPError as error:
            raise ClientError(f"{self._url} cannot be reached: {str(error) or type(error).__name__}") from error


def _answer(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ClientError(f"the answer (status {response.status_code}) is not from a Fanout gateway")
    if response.is_error:
        code = str(document.get("code", ""))
        detail = _REMEDIES.get(code) or document.get("detail") or document.get("title") or response.reason_phrase
        raise ClientError(f"{detail} ({response.status_code} {code})")
    return document
