"""The small clients: `fanout token`, `fanout send` and `fanout listen`."""

import asyncio
import functools
from collections.abc import Callable
from typing import Annotated, Final, ParamSpec, TypeVar

import typer
from rich.console import Console

from fanout.errors import FanoutError
from fanout.ids import check_id
from services.cli.listening import Listener, Screen, printable
from services.cli.rest import ClientError, Rest
from services.runtime.settings import load_settings
from services.runtime.tokens import claimed_user, expected, sign, stored_secret
from services.runtime.unknown import TOKEN_VARIABLE, URL_VARIABLE

DEFAULT_URL: Final = "http://127.0.0.1:8080"
DEFAULT_TTL_S: Final = 24 * 3600
_NOTHING_TO_SIGN_WITH: Final = (
    "there is no secret to sign a token with: set FANOUT_JWT_SECRET, or point FANOUT_DATA_DIR at the data of a "
    "`fanout up` that has run, or give --token"
)

Url = Annotated[str, typer.Option(help="The gateway.", envvar=URL_VARIABLE)]
Token = Annotated[str, typer.Option(help="A token to use instead of signing one.", envvar=TOKEN_VARIABLE)]

P = ParamSpec("P")
R = TypeVar("R")


def signed_token(user_id: str, ttl: float = DEFAULT_TTL_S) -> str:
    """A token for a user, by the configured secret or the embedded one.

    Args:
        user_id: whose.
        ttl: seconds until it expires.

    Raises:
        ClientError: there is no secret.
        ConfigurationError: the settings cannot be read.
        InvalidId: `user_id` is no id.
    """
    settings = load_settings()
    secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else stored_secret(settings.data_dir)
    if secret is None:
        raise ClientError(_NOTHING_TO_SIGN_WITH)
    return sign(secret, user_id, ttl, says=expected(settings))


def tokens_of(user: str, token: str) -> Callable[[], str]:
    """What gives a token for each call as a user: the one that was given, or a fresh one.

    Args:
        user: the user id.
        token: empty to sign one.

    Raises:
        ClientError: the token is of another user.
        InvalidId: `user` is no id.
    """
    check_id(user, "the user id")
    if not token:
        return lambda: signed_token(user)
    claimed = claimed_user(token, load_settings().jwt_user_claim)
    if claimed not in (None, user):
        raise ClientError(f"the token is of {printable(str(claimed))}, not of {user}: name that user, or leave it out")
    return lambda: token


def shows_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Make a command say what went wrong in words, and exit with 1."""

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
    user: Annotated[str, typer.Argument(help="The user id that the token is for.")],
    ttl: Annotated[int, typer.Option(min=1, help="Seconds until it expires.")] = DEFAULT_TTL_S,
) -> None:
    """Print a token for a user."""
    typer.echo(signed_token(user, ttl))


@shows_errors
def send(
    channel: Annotated[str, typer.Argument(help="The channel id.")],
    text: Annotated[str, typer.Argument(help="The message.")],
    user: Annotated[str, typer.Option("--as", help="The user id that sends it.")],
    url: Url = DEFAULT_URL,
    token: Token = "",
) -> None:
    """Send a message, and print its id."""
    check_id(channel, "the channel id")
    rest = Rest(url, tokens_of(user, token))
    typer.echo(asyncio.run(rest.send_message(channel, text)))


@shows_errors
def listen(
    user: Annotated[str, typer.Argument(help="The user id to listen as.")],
    url: Url = DEFAULT_URL,
    token: Token = "",
    *,
    json: Annotated[bool, typer.Option("--json", help="Print each frame as it comes, a line each.")] = False,
) -> None:
    """Print what happens in a user's channels, until interrupted."""
    rest = Rest(url, tokens_of(user, token))
    listener = Listener(rest, Screen(Console(highlight=False), Console(stderr=True), raw=json))
    try:
        asyncio.run(listener.run())
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
