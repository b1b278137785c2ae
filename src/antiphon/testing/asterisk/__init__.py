"""A simulated Asterisk: chan_websocket's behaviour, learnt from a real one's traffic."""

from antiphon.testing.asterisk.model import ChannelModel, Counters, Tick

__all__ = ["ChannelModel", "Counters", "Tick"]
