"""The one place where errors become replies."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from antiphon.errors import AntiphonError

log = logging.getLogger(__name__)


def retry_after(error: AntiphonError) -> Mapping[str, str]:
    """The `Retry-After` header of an error that has one."""
    secs = getattr(error, "retry_after_s", None)
    return {"Retry-After": str(secs)} if secs is not None else {}


def body(error: AntiphonError) -> dict[str, Any]:
    """JSON body of an error; `detail` is what the RustPBX media server's clients read."""
    return {"ok": False, "error": error.as_dict(), "detail": error.message}


async def _on_antiphon_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AntiphonError)
    log.log(error.log_level, "%s %s: %s", request.method, request.url.path, error.message)
    return JSONResponse(body(error), error.http_status, headers=dict(retry_after(error)))


async def _on_http_exception(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    content = {
        "ok": False,
        "error": {"code": f"http_{error.status_code}", "message": str(error.detail)},
        "detail": error.detail,
    }
    return JSONResponse(content, error.status_code, headers=error.headers)


async def _on_invalid_request(_: Request, error: Exception) -> Response:
    """FastAPI's own shape; its own handler fails on input that JSON or UTF-8 cannot carry."""
    assert isinstance(error, RequestValidationError)
    problems = jsonable_encoder(error.errors())
    try:
        content = json.dumps({"detail": problems}, ensure_ascii=True, allow_nan=False)
    except ValueError:  # NaN and infinities, which Python's parser takes
        shown = [{k: v for k, v in p.items() if k not in ("input", "ctx")} for p in problems]
        content = json.dumps({"detail": shown}, ensure_ascii=True)
    return Response(content, 422, media_type="application/json")


async def _on_unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return JSONResponse(body(AntiphonError("internal error; the log has the details")), 500)


def install(app: FastAPI) -> None:
    """Answer every error in the one shape."""
    app.add_exception_handler(AntiphonError, _on_antiphon_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(Exception, _on_unexpected)
