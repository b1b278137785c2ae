"""Shapes that several routes share."""

from typing import Any

from pydantic import BaseModel, Field


class ErrorInfo(BaseModel):
    """What went wrong."""

    code: str = Field(description="Stable.", examples=["not_found"])
    message: str = Field(description="What is wrong, and the fix where it can be said.")
    field: str | None = None
    details: dict[str, Any] | None = None


class ErrorReply(BaseModel):
    """Every error of the API."""

    ok: bool = False
    error: ErrorInfo
    detail: str


class Done(BaseModel):
    """An action was carried out."""

    ok: bool = True


class Message(BaseModel):
    """A sentence, as the RustPBX media server answers."""

    message: str


BAD_BODY: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorReply, "description": "The body cannot be decoded"}
}
UNAUTHORIZED: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorReply, "description": "No valid API key"}
}
NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorReply, "description": "There is no such thing"}
}
CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"model": ErrorReply, "description": "Does not fit the present state"}
}
FORBIDDEN: dict[int | str, dict[str, Any]] = {
    403: {"model": ErrorReply, "description": "Origin not allowed"}
}
LIMITED: dict[int | str, dict[str, Any]] = {
    429: {"model": ErrorReply, "description": "A limit was reached"}
}
