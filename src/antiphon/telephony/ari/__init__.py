"""The Asterisk REST Interface (ARI): a small client, and call control built on it.

The facts are those of Asterisk's own API description (`rest-api/api-docs/*.json`) and of the
modules that carry it out (`res/ari/resource_channels.c`, `resource_bridges.c`, `res/stasis/`), as
of Asterisk 22 and 23.
"""

from antiphon.telephony.ari.call_control import AriCallControl
from antiphon.telephony.ari.client import AriClient, AriHealth, ari_client
from antiphon.telephony.ari.config import CallControlConfig
from antiphon.telephony.ari.errors import AriRequestError
from antiphon.telephony.ari.voice import AgentVoice

__all__ = [
    "AgentVoice",
    "AriCallControl",
    "AriClient",
    "AriHealth",
    "AriRequestError",
    "CallControlConfig",
    "ari_client",
]
