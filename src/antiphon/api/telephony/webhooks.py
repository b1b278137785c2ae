"""The webhooks by which a provider asks what to do with a call: the answer is a stream to `/ws`."""

from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response

from antiphon.api.auth import require_key
from antiphon.api.deps import ServerDep
from antiphon.api.models import NOT_FOUND, UNAUTHORIZED, ErrorReply
from antiphon.api.telephony.options import (
    TelephonyOptions,
    requested_url,
    stream_url,
    telephony_options,
)
from antiphon.errors import ClientError
from antiphon.protocols.telephony import Provider
from antiphon.protocols.telephony_answers import answer, caller_of, provider_of
from antiphon.protocols.telephony_signatures import check_plivo, check_telnyx, check_twilio

MAX_BODY_BYTES = 65_536
MAX_FIELDS = 200

Pairs = list[tuple[str, str]]

# Exotel's own fields that begin like a parameter of ours.
_NOT_OURS = frozenset({"flow_id", "tenant_id", "token"})

_SAID: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "TwiML, TeXML or Plivo's XML; for Exotel `{url}`",
        "content": {"application/xml": {}, "application/json": {"schema": {"type": "object"}}},
    },
    400: {"model": ErrorReply, "description": "Not a provider's request, or too much of it"},
    403: {"model": ErrorReply, "description": "The provider's signature does not verify"},
    **UNAUTHORIZED,
    **NOT_FOUND,
}
_FORM = {
    "requestBody": {
        "description": "The provider's fields of the call.",
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {"type": "object", "additionalProperties": {"type": "string"}}
            }
        },
    }
}

router = APIRouter(tags=["telephony"])


@router.post(
    "/",
    summary="Answer a provider's call",
    response_class=Response,
    responses=_SAID,
    openapi_extra=_FORM,
)
async def answer_any(request: Request, server: ServerDep) -> Response:
    """As below; the provider is told by its signature's header or its form's fields."""
    body = await _body(request)
    fields = _fields(request, body)
    provider = provider_of(request.headers, dict(_query(request) + fields))
    if provider is None:
        raise ClientError(
            "this is no call of Twilio, Telnyx, Plivo or Exotel; use "
            "/api/v1/telephony/{provider}/answer",
            code="unknown_provider",
        )
    return await _answer(provider, request, server, body, fields)


@router.post(
    "/api/v1/telephony/{provider}/answer",
    summary="Answer a call of one provider",
    response_class=Response,
    responses=_SAID,
    openapi_extra=_FORM,
)
async def answer_posted(provider: Provider, request: Request, server: ServerDep) -> Response:
    """Have the provider stream the call here.

    Query parameters that begin with a small letter become custom parameters of the stream: `agent`,
    `room` and `language` choose, all others fill the prompt's placeholders. The request is let in
    by the provider's signature where its secret is set, else by an API key (`?token=`).
    """
    body = await _body(request)
    return await _answer(provider, request, server, body, _fields(request, body))


@router.get(
    "/api/v1/telephony/{provider}/answer",
    summary="Answer a call of one provider that asks by GET",
    response_class=Response,
    responses=_SAID,
)
async def answer_got(provider: Provider, request: Request, server: ServerDep) -> Response:
    """The same for webhooks set to GET, and for Exotel's Voicebot applet."""
    return await _answer(provider, request, server, b"", [])


async def _answer(
    provider: Provider, request: Request, server: ServerDep, body: bytes, fields: Pairs
) -> Response:
    options = telephony_options(request)
    key_id = await _admitted(provider, request, server, options, body, fields)
    given = {
        name: value
        for name, value in _query(request)
        if name[:1].islower() and name not in _NOT_OURS
    }
    server.manager.runtime(given.get("agent"), given.get("language"))  # is there one?
    if provider is not Provider.EXOTEL:  # whose stream tells the numbers itself
        caller = caller_of(dict(_query(request) + fields))
        given.setdefault("from_number", caller.from_number)
        given.setdefault("to_number", caller.to_number)
    if key_id:
        given["token"], _ = server.authenticator.issue_ticket(key_id)
    said = answer(provider, stream_url(request, options), given)
    return Response(said.body, media_type=said.media_type)


async def _admitted(
    provider: Provider,
    request: Request,
    server: ServerDep,
    options: TelephonyOptions,
    body: bytes,
    fields: Pairs,
) -> str:
    """The key id that the stream is to have; empty for anonymous.

    Raises:
        Forbidden: the provider's signature is missing or wrong.
        Unauthorized: nothing verifies this provider, and there is no valid API key.
    """
    secret = options.signing_secret(provider)
    headers = request.headers
    url = requested_url(request, options)
    if not secret:
        return (await require_key(request)).key_id
    if provider is Provider.TELNYX:
        check_telnyx(
            body=body,
            signature=headers.get("telnyx-signature-ed25519", ""),
            timestamp=headers.get("telnyx-timestamp", ""),
            public_key=secret,
            now=server.clock.utc_now().timestamp(),
        )
    elif provider is Provider.PLIVO:
        check_plivo(
            method=request.method,
            url=url,
            form=fields,
            signature=headers.get("x-plivo-signature-v3", ""),
            nonce=headers.get("x-plivo-signature-v3-nonce", ""),
            auth_token=secret,
        )
    else:
        signature = headers.get("x-twilio-signature", "")
        check_twilio(url=url, form=fields, signature=signature, auth_token=secret)
    return provider.value


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise ClientError(
                f"the body has more than {MAX_BODY_BYTES} bytes, which no webhook has",
                code="body_too_large",
            )
    return bytes(body)


def _fields(request: Request, body: bytes) -> Pairs:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        return []
    return _parsed(body.decode(errors="replace"))


def _query(request: Request) -> Pairs:
    return _parsed(request.url.query)


def _parsed(text: str) -> Pairs:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise ClientError(
            f"the request has more than {MAX_FIELDS} fields", code="too_many_fields"
        ) from None
