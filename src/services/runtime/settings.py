"""Settings: the environment and `.env`, prefix `FANOUT_`; contract section 8.

All errors are reported together, a line for each variable with its remedy. No line quotes a value, for it may be a
secret.
"""

import errno
import re
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from fanout import machine
from fanout.errors import FanoutError
from fanout.ids import check_id

PREFIX: Final = "FANOUT_"
SHARED_SECRET_ALGORITHMS: Final = frozenset({"HS256", "HS384", "HS512"})
PUBLIC_KEY_ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
WEAK_SECRET_BYTES: Final = 32
_PREFIX_FORM: Final = re.compile(r"[a-z0-9]{0,16}")
_MAX_PORT: Final = 65_535
_HOSTNAME_LENGTH: Final = 60
_WILDCARDS: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - recognised here, never bound
_ORIGIN: Final = re.compile(r"\*|[a-z][a-z0-9+.-]*://[a-z0-9.-]+(:[0-9]{1,5})?|[a-z]+://\[[0-9a-f:]+\](:[0-9]{1,5})?")
_MONGO_FORM: Final = re.compile(r"mongodb(\+srv)?://([^/?#@]*@)?[^/?#@]+(/[^?#@]*)?(\?.*)?")
ANY: Final = "any"
"""The audience or the issuer for which every token is accepted."""


class ConfigurationError(FanoutError):
    """The settings are wrong.

    Attributes:
        lines: one per offending variable, each with its remedy.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = list(lines)
        super().__init__("\n".join(self.lines))


class Address(NamedTuple):
    """A host and a TCP port to listen on. Port 0 means any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        """`host:port`, an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read `host:port`.

        Raises:
            ValueError: it is not of that form.
        """
        host, colon, port = text.rpartition(":")
        if not colon or not (port.isascii() and port.isdigit()):
            raise ValueError("must be host:port, as in 127.0.0.1:8080")
        if int(port) > _MAX_PORT:
            raise ValueError(f"must have a port of 0 to {_MAX_PORT}")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))

    def from_here(self) -> "Address":
        """The address at which this machine connects to a listener here: loopback in place of a wildcard."""
        loopback = "::1" if self.host == "::" else "127.0.0.1"
        return Address(loopback if self.host in _WILDCARDS else self.host, self.port)

    def overlaps(self, other: "Address") -> bool:
        """Whether only one of them can be listened on at a time."""
        same_host = self.host == other.host or not _WILDCARDS.isdisjoint({self.host, other.host})
        return self.port == other.port != 0 and same_host


def cannot_listen(variable: str, address: Address, error: OSError) -> ConfigurationError:
    """Make the error for an address that cannot be listened on, with the remedy.

    Args:
        variable: that holds the address, without the prefix.
        address: that was tried.
        error: what the operating system said.
    """
    if error.errno == errno.EADDRINUSE:
        why = "is in use by another process; stop that one, or set another port"
    else:
        why = f"cannot be listened on: {error.strerror or error}; set another address"
    return ConfigurationError([f"{PREFIX}{variable}: {address} {why}"])


def _address(value: object) -> object:
    return Address.parse(value) if isinstance(value, str) else value


def _words(value: object) -> object:
    return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


def _default_instance_id() -> str:
    host = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in socket.gethostname())
    return f"{host[:_HOSTNAME_LENGTH]}-{machine.random_token(4)}"


ListenAddress = Annotated[Address, NoDecode, BeforeValidator(_address)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]


class Settings(BaseSettings):
    """The settings. Read them with `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    # URLs may contain a password, so no repr shows one.
    nats_url: str | None = Field(default=None, repr=False)
    """Log and bus; None: the embedded ones. Several servers are separated by commas."""
    nats_monitor_url: str | None = Field(default=None, repr=False)
    """URLs of the monitoring ports of the NATS servers, for `fanout check`."""
    redis_url: str | None = Field(default=None, repr=False)
    """Presence; None: the embedded one."""
    mongo_url: str | None = Field(default=None, repr=False)
    """Memberships; None: the embedded store."""
    cassandra_hosts: Words = Field(default=(), repr=False)
    """The message store; empty: the embedded one. The first may have the user and the password before it."""

    jwt_secret: SecretStr | None = None
    jwks_url: str | None = Field(default=None, repr=False)
    jwt_algorithms: Words = ("HS256",)
    jwt_audience: str = ""
    """The value that `aud` must contain; "" and `any`: the audience is not checked."""
    jwt_issuer: str = ""
    """The value that `iss` must have; "" and `any`: the issuer is not checked."""
    jwt_user_claim: str = Field(default="sub", min_length=1)
    """The claim that names the user."""

    prefix: str = ""
    """Put before subjects, streams, keys and pub/sub channels, so that deployments can share a NATS and a Redis."""
    instance_id: str = Field(default_factory=_default_instance_id)
    listen: ListenAddress = Address("127.0.0.1", 8080)
    ws_listen: ListenAddress = Address("127.0.0.1", 8081)
    ws_url: str = ""
    """The WebSocket address that `realtime.connect` answers; see `public_ws_url`."""
    data_dir: Path = Path("data")
    log_format: Literal["auto", "console", "json"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    partitions: int = Field(default=8, ge=1, le=1024)
    """Partitions of the streams that are read by partition, for the process that creates them."""
    stream_replicas: int = Field(default=1, ge=1, le=5)
    rate_limit: float = Field(default=20.0, gt=0)
    """Requests per second and user."""
    rate_burst: int = Field(default=60, ge=1)
    """Requests that a user may make at once after a pause."""
    cors_origins: Words = ()
    """The origins of the web pages whose scripts may call the REST API; `*` is any."""
    max_body: int = Field(default=640 * 1024, ge=1024)
    """Maximum bytes of a request's body. The longest text fits, with each character escaped as a surrogate pair."""
    max_frame: int = Field(default=640 * 1024, ge=1024)
    """Maximum bytes of a WebSocket frame from an authenticated client."""
    max_connections: int = Field(default=50_000, ge=1)
    """Maximum number of authenticated WebSockets of one instance."""
    max_unauthenticated: int = Field(default=1_000, ge=1)
    """Maximum number of WebSockets of one instance that are not authenticated yet."""
    max_user_sockets: int = Field(default=32, ge=1)
    """Maximum number of WebSockets of one user on one instance."""
    snapshot: Path | None = None
    """The file where a fan-out worker keeps its routing table for its next start; a relative path is in `data_dir`."""
    snapshot_every_s: float = Field(default=60.0, gt=0)
    socket_budget: int = Field(default=1024 * 1024, ge=64 * 1024)
    """Bytes that may wait for one slow client before its WebSocket is closed."""
    heartbeat_s: float = Field(default=30.0, gt=0)
    heartbeat_timeout_s: float = Field(default=90.0, gt=0)
    auth_timeout_s: float = Field(default=10.0, gt=0)
    drain_grace_s: float = Field(default=0.0, ge=0)
    """Seconds for which the gateway accepts requests after SIGTERM."""
    drain_timeout_s: float = Field(default=8.0, gt=0)

    @field_validator("instance_id")
    @classmethod
    def _valid_id(cls, value: str) -> str:
        return check_id(value, "it")

    @field_validator("prefix")
    @classmethod
    def _valid_prefix(cls, value: str) -> str:
        if not _PREFIX_FORM.fullmatch(value):
            raise ValueError("must be 1 to 16 characters of a-z and 0-9, or left out")
        return value

    @field_validator("nats_url")
    @classmethod
    def _nats_scheme(cls, value: str | None) -> str | None:
        return _with_scheme(value, ("nats://", "tls://", "ws://", "wss://"))

    @field_validator("redis_url")
    @classmethod
    def _redis_scheme(cls, value: str | None) -> str | None:
        return _with_scheme(value, ("redis://", "rediss://", "unix://"))

    @field_validator("jwks_url", "nats_monitor_url")
    @classmethod
    def _http_scheme(cls, value: str | None) -> str | None:
        return _with_scheme(value, ("https://", "http://"))

    @field_validator("ws_url")
    @classmethod
    def _ws_scheme(cls, value: str) -> str:
        return _with_scheme(value, ("ws://", "wss://")) or ""

    @field_validator("mongo_url")
    @classmethod
    def _mongo_scheme(cls, value: str | None) -> str | None:
        if value and not _MONGO_FORM.fullmatch(value):
            raise ValueError(
                "must begin with mongodb:// or mongodb+srv://, and name a host; percent-encode such as / ? # @ in a "
                "password"
            )
        return value

    @field_validator("cassandra_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_is_address(f"cassandra://{host}") and not {"/", "?", "#"}.intersection(host) for host in value):
            raise ValueError(
                "must be hosts, each with its port by number, as in 10.0.0.1,user:password@10.0.0.2:9042; "
                "percent-encode such as / ? # @ , in a password"
            )
        return value

    @field_validator("jwt_algorithms")
    @classmethod
    def _known_algorithms(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        known = SHARED_SECRET_ALGORITHMS | PUBLIC_KEY_ALGORITHMS
        if not value or not known.issuperset(value):
            raise ValueError(f"must be of {', '.join(sorted(known))}, separated by commas")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(map(_ORIGIN.fullmatch, value)):
            raise ValueError(
                "must be * or origins as browsers send them, as in https://chat.example, separated by commas"
            )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        asymmetric = PUBLIC_KEY_ALGORITHMS.intersection(self.jwt_algorithms)
        if asymmetric and not self.jwks_url:
            raise _wrong("JWKS_URL", f"{min(asymmetric)} needs it: the address of the issuer's JWKS")
        if self.jwks_url and not asymmetric:
            raise _wrong("JWT_ALGORITHMS", "a JWKS is set, so name its algorithms here, as in RS256")
        for what, value in (("audience", self.jwt_audience), ("issuer", self.jwt_issuer)):
            if self.jwks_url and not value:
                remedy = f"FANOUT_JWKS_URL needs it: the {what} that tokens must name, or `any` to accept every one"
                raise _wrong(f"JWT_{what.upper()}", remedy)
        if self.heartbeat_timeout_s <= self.heartbeat_s:
            raise _wrong("HEARTBEAT_TIMEOUT_S", "must be longer than FANOUT_HEARTBEAT_S")
        if not self.ws_url and self.ws_listen.host in _WILDCARDS:
            raise _wrong("WS_URL", "set the address for clients: FANOUT_WS_LISTEN is every interface")
        return self

    def public_ws_url(self, bound: Address | None = None) -> str:
        """The WebSocket address that `realtime.connect` answers.

        Args:
            bound: where the server really listens, which `ws_listen` does not say with port 0.
        """
        return self.ws_url or f"ws://{bound or self.ws_listen}/ws"

    def described(self) -> list[tuple[str, str]]:
        """Each variable with its value. A value that may hold a secret is shown only as set."""
        return [(f"{PREFIX}{name.upper()}", self._shown(name)) for name in type(self).model_fields]

    def _shown(self, name: str) -> str:
        value = getattr(self, name)
        if value is None or value in ("", ()):
            return ""
        if isinstance(value, SecretStr) or not type(self).model_fields[name].repr:
            return "(set)"
        return ",".join(map(str, value)) if isinstance(value, tuple) and not isinstance(value, Address) else str(value)

    def warnings(self) -> list[str]:
        """The settings that work but should be changed, a line each."""
        lines = []
        secret = self.jwt_secret.get_secret_value() if self.jwt_secret else None
        if secret is not None and len(secret.encode()) < WEAK_SECRET_BYTES:
            lines.append(f"{PREFIX}JWT_SECRET: shorter than {WEAK_SECRET_BYTES} bytes; it can be guessed offline")
        lines += [
            f"{PREFIX}{name}: is any; tokens that were made for other services are accepted too"
            for name, value in (("JWT_AUDIENCE", self.jwt_audience), ("JWT_ISSUER", self.jwt_issuer))
            if self.jwks_url and value == ANY
        ]
        if self.listen.overlaps(self.ws_listen):
            lines.append(f"{PREFIX}WS_LISTEN: is {PREFIX}LISTEN too; where one process serves both, set another port")
        return lines


def load_settings(**overrides: Any) -> Settings:
    """Read the settings.

    Args:
        overrides: values by field name, which replace those of the environment.

    Raises:
        ConfigurationError: some are wrong; it has a line for each.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        # Not chained: pydantic's own text quotes the values.
        raise ConfigurationError(_line(detail) for detail in error.errors()) from None
    except SettingsError:
        raise ConfigurationError([".env: cannot be read as settings"]) from None


def _with_scheme(value: str | None, schemes: tuple[str, ...]) -> str | None:
    if value and not all(part.strip().startswith(schemes) for part in value.split(",")):
        raise ValueError(f"must begin with {' or '.join(schemes)}")
    if value and not all(map(_is_address, value.split(","))):
        raise ValueError("must name a host, and its port by number; percent-encode such as / ? # @ in a password")
    return value


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url.strip())
        return parts.port != 0 and (bool(parts.hostname) or parts.scheme == "unix")
    except ValueError:
        return False


def _wrong(variable: str, remedy: str) -> PydanticCustomError:
    return PydanticCustomError("configuration", "{remedy}", {"variable": variable, "remedy": remedy})


def _line(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    variable = context.get("variable") or str(detail["loc"][0] if detail["loc"] else "").upper()
    return f"{PREFIX}{variable}: {context.get('error') or detail['msg']}"
