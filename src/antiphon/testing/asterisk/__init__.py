"""A simulated Asterisk: chan_websocket's behaviour, learnt from a real one's traffic."""

from antiphon.testing.asterisk.audio import MediaCodec
from antiphon.testing.asterisk.channel import Channel, ChannelOptions
from antiphon.testing.asterisk.inbound import InboundChannel, SimulatedAsteriskServer
from antiphon.testing.asterisk.model import ChannelModel, Counters, Direction, Tick
from antiphon.testing.asterisk.network import Network, Stall
from antiphon.testing.asterisk.outbound import SimulatedChannel
from antiphon.testing.asterisk.record import AudioFrame, CallOver, Closed, DialFailed, Message

__all__ = [
    "AudioFrame",
    "CallOver",
    "Channel",
    "ChannelModel",
    "ChannelOptions",
    "Closed",
    "Counters",
    "DialFailed",
    "Direction",
    "InboundChannel",
    "MediaCodec",
    "Message",
    "Network",
    "SimulatedAsteriskServer",
    "SimulatedChannel",
    "Stall",
    "Tick",
]
