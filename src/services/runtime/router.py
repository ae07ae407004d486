"""The router: finds the route that answers a request, and turns errors into problems."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import structlog

from fanout.error_codes import INTERNAL, METHOD_NOT_ALLOWED, NOT_FOUND
from services.runtime.exchange import Exchange, Response
from services.runtime.problems import MEDIA_TYPE, Problem, problem_of

Responder = Callable[[Exchange, Mapping[str, str]], Awaitable[Response]]
"""Answers a request; the mapping has the parts of the path by name."""

log = structlog.stdlib.get_logger(__name__)

_PART: Final = re.compile(r"\{(\w+)\}")
_PROBLEM: Final = MEDIA_TYPE.encode()


@dataclass(frozen=True, slots=True)
class Route:
    """The handler of a method at a path."""

    method: str
    path: str
    """A part in braces, as `{channel_id}`, matches everything up to the next slash."""
    respond: Responder


@dataclass(slots=True)
class _Resource:
    """The methods of one path."""

    path: str
    responders: dict[str, Responder] = field(default_factory=dict)

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(_PART.sub(r"(?P<\1>[^/]+)", re.escape(self.path).replace(r"\{", "{").replace(r"\}", "}")))

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that are answered, sorted: HEAD where GET is, and OPTIONS everywhere."""
        return tuple(sorted({*self.responders, "OPTIONS", *(["HEAD"] if "GET" in self.responders else [])}))


class Router:
    """Answers each request by its route, and each error by a problem.

    Args:
        routes: each pair of method and path once.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._resources: dict[str, _Resource] = {}
        for route in routes:
            resource = self._resources.setdefault(route.path, _Resource(route.path))
            if route.method in resource.responders:
                raise ValueError(f"{route.method} {route.path} has two routes")
            resource.responders[route.method] = route.respond
        self._patterns = [(each.pattern, each) for each in self._resources.values() if "{" in each.path]

    async def respond(self, exchange: Exchange) -> Response:
        """Answer a request, whatever it is. An unexpected error is logged, once, and the client gets no detail."""
        try:
            return await self._answer(exchange)
        except Exception as error:  # noqa: BLE001 - the last one who can answer
            return problem_response(exchange, error)

    def methods(self, path: str) -> tuple[str, ...]:
        """The methods that a path takes, sorted; none where there is nothing at the path."""
        found = self._find(path)
        return found[0].methods if found else ()

    async def _answer(self, exchange: Exchange) -> Response:
        found = self._find(exchange.path)
        if found is None:
            raise Problem(NOT_FOUND)
        resource, parts = found
        exchange.route = resource.path
        respond = resource.responders.get("GET" if exchange.method == "HEAD" else exchange.method)
        if respond is not None:
            return await respond(exchange, parts)
        allow = ", ".join(resource.methods)
        if exchange.method == "OPTIONS":
            return Response(HTTPStatus.NO_CONTENT, headers=((b"allow", allow.encode()),))
        raise Problem(METHOD_NOT_ALLOWED, headers={"Allow": allow})

    def _find(self, path: str) -> tuple[_Resource, Mapping[str, str]] | None:
        resource = self._resources.get(path)
        if resource is not None and "{" not in path:
            return resource, {}
        # Slashes that are doubled, or at the end, change nothing.
        plain = re.sub("//+", "/", path).rstrip("/")
        if plain != path:
            return self._find(plain)
        matches = ((pattern.fullmatch(path), each) for pattern, each in self._patterns)
        return next(((each, match.groupdict()) for match, each in matches if match), None)


def problem_response(exchange: Exchange, error: Exception) -> Response:
    """The response to an error, as a problem.

    Args:
        exchange: gets the reason of a 503.
        error: any; an unexpected one is logged.
    """
    problem = problem_of(error, safe=exchange.is_safe)
    if problem is None:
        log.error("request failed", path=exchange.path, exc_info=error)
        problem = Problem(INTERNAL)
    elif problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        exchange.reason = str(error) or type(error).__name__
    headers = tuple((name.lower().encode(), value.encode()) for name, value in problem.headers.items())
    return Response(problem.status, problem.body(exchange.correlation_id), _PROBLEM, headers)
