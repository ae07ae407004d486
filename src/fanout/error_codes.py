"""The table of errors that clients can get: the code, the HTTP status and the text of each stand here, once.

REST problems, `/openapi.json`, the `error` frames and close codes of the WebSocket, and the tests of the documents read
this table. An error that belongs to one call alone may stand beside that call, in its module of `fanout.api`.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One error that a client can get."""

    code: str
    """Stable, for programs."""
    text: str
    """For people: in the documents, and sent where the error has no more precise text."""
    status: int | None = None
    """The HTTP status; None where only a WebSocket has this error."""

    def __str__(self) -> str:
        return self.code


INVALID_REQUEST: Final = ErrorCode("invalid_request", "a field is missing, unknown, or not what it must be", 400)
MALFORMED_JSON: Final = ErrorCode("malformed_json", "the body is not JSON that this server reads", 400)
BAD_CURSOR: Final = ErrorCode("bad_cursor", "the cursor was not given to this caller for this call and channel", 400)
UNKNOWN_MESSAGE: Final = ErrorCode("unknown_message", "the channel has no message of that id", 400)
DM_MEMBERS_FIXED: Final = ErrorCode("dm_members_fixed", "the two members of a direct message never change", 400)
DRAFT_TOO_LONG: Final = ErrorCode("draft_too_long", "a draft has at most 16,000 characters", 400)
DISCONNECTED: Final = ErrorCode("disconnected", "the client went away before its request was complete", 400)
CORS_REFUSED: Final = ErrorCode("cors_refused", "a page of this origin may not make this call", 400)
NOT_A_MEMBER: Final = ErrorCode("not_a_member", "the caller is not a member of the channel", 403)
NOT_THE_CREATOR: Final = ErrorCode("not_the_creator", "only the creator of the channel may do this", 403)
NOT_FOUND: Final = ErrorCode("not_found", "there is nothing at this path", 404)
MESSAGE_NOT_FOUND: Final = ErrorCode("message_not_found", "the channel has no message of that id", 404)
CHANNEL_NOT_FOUND: Final = ErrorCode(
    "channel_not_found", "there is no such channel, or it is private and the caller is not in it", 404
)
UNKNOWN_THREAD: Final = ErrorCode(
    "unknown_thread", "the id is not that of the first message of a thread, or it is of another channel", 404
)
DEVICE_NOT_FOUND: Final = ErrorCode("device_not_found", "the caller has no device of that id", 404)
METHOD_NOT_ALLOWED: Final = ErrorCode("method_not_allowed", "this path does not take this method", 405)
CHANNEL_EXISTS: Final = ErrorCode("channel_exists", "there is a channel of that id", 409)
DRAFT_CONFLICT: Final = ErrorCode("draft_conflict", "the draft is another one than that which was edited", 409)
DEVICE_TAKEN: Final = ErrorCode("device_taken", "the device id belongs to another user; make a new one", 409)
BODY_TOO_LARGE: Final = ErrorCode("body_too_large", "the body is larger than this server takes", 413)
MESSAGE_TOO_LARGE: Final = ErrorCode(
    "message_too_large", "the message, as it is stored, is longer than this deployment can deliver", 413
)
RATE_LIMITED: Final = ErrorCode(
    "rate_limited", "the caller makes too many requests; Retry-After says how long to wait", 429
)
HEAD_TOO_LARGE: Final = ErrorCode("head_too_large", "the head of the request is larger than this server takes", 431)
INTERNAL: Final = ErrorCode("internal", "an unexpected error; the server has logged it", 500)
UNAVAILABLE: Final = ErrorCode(
    "unavailable", "a service that the call needs cannot be reached; repeating the call is safe", 503
)
OUTCOME_UNKNOWN: Final = ErrorCode(
    "outcome_unknown",
    "a service that the call needs gave no answer; the call may have been done. Repeating it is safe: a message is "
    "sent once where the repeat has the same client_msg_id",
    503,
)

TOKEN_MISSING: Final = ErrorCode("token_missing", "there is no bearer token", 401)
TOKEN_ERRORS: Final = {
    error.code: error
    for error in (
        TOKEN_MISSING,
        ErrorCode("token_malformed", "the token is not a JSON Web Token", 401),
        ErrorCode("token_algorithm", "the token is signed by an algorithm that is not accepted", 401),
        ErrorCode("token_key", "the key of the token is not known", 401),
        ErrorCode("token_signature", "the signature of the token is wrong", 401),
        ErrorCode("token_expired", "the token has expired", 401),
        ErrorCode("token_audience", "the token is for another audience", 401),
        ErrorCode("token_issuer", "another issuer made the token", 401),
        ErrorCode("token_user", "the claim that names the user of the token holds no user id", 401),
        ErrorCode("token_claims", "another claim of the token is missing or wrong; the detail names it", 401),
    )
}
"""Why a token is refused, by code. A WebSocket is closed with 4401 and this code at the start of the reason."""

UNKNOWN_TYPE: Final = ErrorCode("unknown_type", "no frame of this type is known here")
INVALID_FRAME: Final = ErrorCode("invalid_frame", "a field of the frame is missing or not what it must be")
INVALID_ID: Final = ErrorCode("invalid_id", "an id in the frame has a form that no id has")
WRONG_DEVICE: Final = ErrorCode("wrong_device", "the frame names another device than that of this connection")
ALREADY_AUTHENTICATED: Final = ErrorCode("already_authenticated", "this connection is authenticated already")

FRAME_ERRORS: Final = (
    UNKNOWN_TYPE,
    INVALID_FRAME,
    INVALID_ID,
    NOT_A_MEMBER,
    UNKNOWN_MESSAGE,
    DRAFT_TOO_LONG,
    DRAFT_CONFLICT,
    WRONG_DEVICE,
    ALREADY_AUTHENTICATED,
    UNAVAILABLE,
)
"""The errors that a frame of a WebSocket client can be answered with."""


class CloseCode(IntEnum):
    """Why the server closes a WebSocket. Each is a number, and has its meaning as `text`."""

    text: str

    def __new__(cls, code: int, text: str) -> Self:
        """A close code.

        Args:
            code: as the close frame has it.
            text: for people.
        """
        member = int.__new__(cls, code)
        member._value_ = code
        member.text = text
        return member

    PROTOCOL_ERROR = 1002, "a frame of the client breaks the rules of RFC 6455"
    NOT_TEXT = 1007, "a text message of the client is not UTF-8"
    TOO_BIG = 1009, "a message of the client is larger than the server takes"
    INTERNAL_ERROR = 1011, "an unexpected error of the server"
    DRAINING = 1012, "the instance starts or stops"
    TRY_AGAIN_LATER = 1013, "the instance has no room, or a store cannot be reached"
    MALFORMED = 4400, "a frame is not a JSON object with a type"
    UNAUTHENTICATED = 4401, "the authentication is missing, bad, late or expired"
    HEARTBEAT_TIMEOUT = 4408, "the client has sent nothing for too long"
    REPLACED = (
        4409,
        "the device has connected again (`replaced`), or is removed (`deregistered`); the reason begins with the word",
    )
    SLOW_CONSUMER = 4413, "the client reads too slowly"
