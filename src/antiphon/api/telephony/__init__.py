"""Twilio, Telnyx, Plivo and Exotel: their media streams and their webhooks."""

from fastapi import APIRouter

from antiphon.api.telephony import call, webhooks

router = APIRouter()
router.include_router(call.router)
router.include_router(webhooks.router)
