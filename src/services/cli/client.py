"""The client commands: `fanout token`, `fanout send` and `fanout listen`."""

import asyncio
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, ParamSpec, TypeVar

import typer
from rich.console import Console

from fanout.client import Device
from fanout.client.addresses import GATEWAY, check_address
from fanout.client.connection import Client
from fanout.errors import FanoutError
from fanout.ids import check_id, new_device_id
from services.cli.listening import Listener
from services.cli.rest import ClientError, Rest
from services.cli.resume_file import ResumeFile
from services.cli.screen import Screen, printable
from services.runtime.settings import load_settings
from services.runtime.tokens import claimed_user, expected, sign, stored_secret
from services.runtime.unknown import TOKEN_VARIABLE, URL_VARIABLE

DEFAULT_URL: Final = "http://127.0.0.1:8080"
DEFAULT_TTL_S: Final = 24 * 3600
_NOTHING_TO_SIGN_WITH: Final = (
    "there is no secret to sign a token with: set FANOUT_JWT_SECRET, or point FANOUT_DATA_DIR at the data of a "
    "`fanout up` that has run, or give --token"
)

Url = Annotated[str, typer.Option(help="The address of the gateway.", envvar=URL_VARIABLE)]
Token = Annotated[
    str,
    typer.Option(help="The token to use. Without it, one is signed with the configured secret.", envvar=TOKEN_VARIABLE),
]

P = ParamSpec("P")
R = TypeVar("R")


def signed_token(user_id: str, ttl: float = DEFAULT_TTL_S) -> str:
    """Sign a token for a user, with the configured secret or with the one in the data directory.

    Args:
        user_id: the user.
        ttl: seconds until it expires.

    Raises:
        ClientError: there is no secret.
        ConfigurationError: the settings are wrong.
        InvalidId: `user_id` is not a valid id.
    """
    settings = load_settings()
    secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else stored_secret(settings.data_dir)
    if secret is None:
        raise ClientError(_NOTHING_TO_SIGN_WITH)
    return sign(secret, user_id, ttl, says=expected(settings))


def tokens_of(user: str, token: str) -> Callable[[], str]:
    """Return a function that returns the token for each call of a user.

    Args:
        user: the user id.
        token: the token for every call; empty to sign a new one for each.

    Raises:
        ClientError: the token is of another user.
        InvalidId: `user` is not a valid id.
    """
    check_id(user, "the user id")
    if not token:
        return lambda: signed_token(user)
    claimed = claimed_user(token, load_settings().jwt_user_claim)
    if claimed not in (None, user):
        raise ClientError(
            f"the token is of {printable(str(claimed))}, not of {user}: give that user's id, or no --token"
        )
    return lambda: token


def shows_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Decorate a command: an error is printed without a traceback, and the exit code is 1."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except FanoutError as error:
            Console(stderr=True, markup=False, highlight=False).print(f"fanout: {error}")
            raise typer.Exit(1) from None

    return wrapped


@shows_errors
def token(
    user: Annotated[str, typer.Argument(help="The id of the user.")],
    ttl: Annotated[int, typer.Option(min=1, help="Seconds until it expires.")] = DEFAULT_TTL_S,
) -> None:
    """Print a signed token for a user."""
    typer.echo(signed_token(user, ttl))


@shows_errors
def send(
    channel: Annotated[str, typer.Argument(help="The id of the channel.")],
    text: Annotated[str, typer.Argument(help="The text of the message.")],
    user: Annotated[str, typer.Option("--as", help="The id of the user who sends it.")],
    url: Url = DEFAULT_URL,
    token: Token = "",
    thread: Annotated[str, typer.Option(help="Reply in a thread: the id of its first message.")] = "",
) -> None:
    """Send a message to a channel, and print its id."""
    check_id(channel, "the channel id")
    if thread:
        check_id(thread, "the thread id")
    rest = Rest(url, tokens_of(user, token))
    typer.echo(asyncio.run(rest.send_message(channel, text, thread)))


@shows_errors
def listen(
    user: Annotated[str, typer.Argument(help="The id of the user who listens.")],
    url: Url = DEFAULT_URL,
    token: Token = "",
    *,
    json: Annotated[bool, typer.Option("--json", help="Print each frame as one line of JSON.")] = False,
    read: Annotated[bool, typer.Option("--read", help="Say that the user has read each message that comes.")] = False,
    resume: Annotated[
        Path | None,
        typer.Option(help="Keep in this file where it was, and begin there the next time."),
    ] = None,
) -> None:
    """Print the events of a user's channels until Ctrl-C."""
    tokens, kept = tokens_of(user, token), ResumeFile(resume, user) if resume else None
    device = Device(kept.device_id if kept else new_device_id("desktop"))
    client = Client(check_address(url, GATEWAY), tokens, device, resume=kept.point if kept else None)
    screen = Screen(Console(highlight=False), Console(stderr=True), raw=json)
    listener = Listener(client, screen, reads=read, kept=kept)
    try:
        asyncio.run(listener.run())
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
