"""Antiphon: a self-hosted voice-agent media server on Pipecat."""

__version__ = "0.1.0"
