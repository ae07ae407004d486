"""What every HTTP face has: problems for errors, and `/healthz`, `/readyz`, `/metrics`."""

from http import HTTPStatus
from typing import Any, Final

import structlog
from litestar import Litestar, Request, Response, get
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.types import ASGIApp
from prometheus_client import CollectorRegistry

from fanout.ids import new_ulid
from services.runtime import metrics
from services.runtime.head import answers_head
from services.runtime.health import Health, Readiness
from services.runtime.problems import MEDIA_TYPE, Problem, ProblemDetails, problem_of

log = structlog.stdlib.get_logger(__name__)

_CODES: Final = {
    404: ("not_found", "there is nothing at this path"),
    405: ("method_not_allowed", "this path does not take this method"),
    413: ("body_too_large", "the body is larger than this server takes"),
}


def correlation_id(request: Request[Any, Any, Any]) -> str:
    """The id that the edge gave the request; a fresh one where none stands before the application."""
    given: str = request.scope["state"].setdefault("correlation_id", new_ulid())
    return given


def problem_response(request: Request[Any, Any, Any], error: Exception) -> Response[ProblemDetails]:
    """The exception handler for everything: an unexpected error is logged, once, and says nothing outside."""
    if request.scope["state"].get("disconnected"):
        # Whoever went away in the middle of a body is no error of ours, and reads no answer.
        problem: Problem | None = Problem(HTTPStatus.BAD_REQUEST, "disconnected", "the client went away")
    else:
        problem = problem_of(error, safe=request.method == "GET") or _http_problem(error)
    if problem is not None and problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        # The edge writes the request's log line.
        request.scope["state"]["reason"] = str(error) or type(error).__name__
    if problem is None:
        log.error("request failed", path=request.scope["path"], exc_info=error)
        problem = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "an unexpected error; it was logged")
    return Response(
        problem.details(correlation_id(request)),
        status_code=problem.status,
        headers=problem.headers,
        media_type=MEDIA_TYPE,
    )


def _http_problem(error: Exception) -> Problem | None:
    if not isinstance(error, HTTPException) or error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return None
    code, detail = _CODES.get(error.status_code, ("invalid_request", error.detail))
    if isinstance(error, ValidationException):
        # What a body or a query holds is judged elsewhere: Litestar only misses a body that is not there.
        detail = "a JSON body is needed"
    return Problem(error.status_code, code, detail, error.headers)


def operations(health: Health, registry: CollectorRegistry) -> list[HTTPRouteHandler]:
    """The routes for those who run the process. None needs a token."""

    @get(
        "/healthz",
        operation_id="healthz",
        sync_to_thread=False,
        tags=["operations"],
        summary="Is the process alive",
        response_description="It is.",
    )
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @get(
        "/readyz",
        operation_id="readyz",
        tags=["operations"],
        summary="Is the process ready, with each thing that it depends on",
        response_description="It is; `degraded` where it does without something that is away.",
        responses={503: ResponseSpec(Readiness, description="It is not: something that it needs is not good.")},
    )
    async def readyz(request: Request[Any, Any, Any]) -> Response[Readiness]:
        report = await health.report()
        if not report.ready:
            failing = (f"{name}: {result}" for name, result in report.checks.items() if result != "ok")
            request.scope["state"]["reason"] = "; ".join(failing)
        return Response(report, status_code=HTTPStatus.OK if report.ready else HTTPStatus.SERVICE_UNAVAILABLE)

    @get(
        "/metrics",
        operation_id="metrics",
        tags=["operations"],
        summary="Figures in Prometheus' text format",
        response_description="The figures.",
        media_type=metrics.CONTENT_TYPE,
    )
    async def metrics_text() -> bytes:
        await health.report()  # so that its figures are those of now
        return metrics.render(registry)

    return [healthz, readyz, metrics_text]


def health_app(health: Health, registry: CollectorRegistry) -> ASGIApp:
    """The HTTP face of a process that has no other."""
    app = Litestar(
        operations(health, registry),
        exception_handlers={Exception: problem_response},
        logging_config=None,
        openapi_config=None,
    )
    return answers_head(app)
