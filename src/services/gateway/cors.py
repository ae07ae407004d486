"""CORS: which web pages may make which calls. A path allows exactly the methods that it has."""

from collections.abc import Collection, Sequence
from http import HTTPStatus
from typing import Final

from fanout.error_codes import CORS_REFUSED
from services.runtime.exchange import Exchange, Headers, Response
from services.runtime.problems import Problem
from services.runtime.router import Router, problem_response

ANY_ORIGIN: Final = "*"
MAX_AGE_S: Final = 600
"""How long a browser may keep the response to a preflight request."""

_SAFELISTED: Final = ("Accept", "Accept-Language", "Content-Language")
"""Headers that a page may send anyway (Fetch, section 2.2.2). A browser asks for them when their values are unusual."""


class Cors:
    """Answers preflight requests, and says in every response which page may read it.

    Args:
        router: answers the requests.
        origins: of the pages that may call; `*` is any.
        request_headers: that the calls need, beside those that every page may send.
        response_headers: that a page may read, beside those that every page may read.
    """

    def __init__(
        self, router: Router, origins: Sequence[str], request_headers: Sequence[str], response_headers: Sequence[str]
    ) -> None:
        self._router = router
        self._origins = frozenset(origins)
        self._request_headers = (*_SAFELISTED, *request_headers)
        self._exposed = (b"access-control-expose-headers", ", ".join(response_headers).encode())

    async def respond(self, exchange: Exchange) -> Response:
        """Answer a request; see `Router.respond`."""
        origin = exchange.header(b"origin")
        if origin is None:
            return await self._router.respond(exchange)
        if exchange.method == "OPTIONS" and exchange.header(b"access-control-request-method") is not None:
            return self._preflight(exchange, origin)
        response = await self._router.respond(exchange)
        return response._replace(headers=(*response.headers, *self._readable(origin)))

    def _preflight(self, exchange: Exchange, origin: str) -> Response:
        methods = self._router.methods(exchange.path)
        refusal = self._refusal(exchange, origin, methods)
        if refusal is not None:
            return problem_response(exchange, refusal)
        allowed = ", ".join(each for each in methods if each != "OPTIONS")
        return Response(
            HTTPStatus.NO_CONTENT,
            headers=(
                *self._origin(origin),
                (b"access-control-allow-methods", allowed.encode()),
                (b"access-control-allow-headers", ", ".join(self._request_headers).encode()),
                (b"access-control-max-age", b"%d" % MAX_AGE_S),
            ),
        )

    def _refusal(self, exchange: Exchange, origin: str, methods: Collection[str]) -> Problem | None:
        if not self._may_call(origin):
            return Problem(CORS_REFUSED)
        if exchange.header(b"access-control-request-method") not in methods:
            return Problem(CORS_REFUSED, "this path does not take the method that the page asks for")
        if not self._may_send(exchange):
            return Problem(CORS_REFUSED, "the page asks for a header that this call does not take")
        return None

    def _may_send(self, exchange: Exchange) -> bool:
        wanted = (exchange.header(b"access-control-request-headers") or "").lower().split(",")
        return {name.strip() for name in wanted} <= {"", *(name.lower() for name in self._request_headers)}

    def _readable(self, origin: str) -> Headers:
        return (*self._origin(origin), self._exposed) if self._may_call(origin) else ()

    def _may_call(self, origin: str) -> bool:
        return ANY_ORIGIN in self._origins or origin in self._origins

    def _origin(self, origin: str) -> Headers:
        if ANY_ORIGIN in self._origins:
            return ((b"access-control-allow-origin", ANY_ORIGIN.encode()),)
        return ((b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"Origin"))
