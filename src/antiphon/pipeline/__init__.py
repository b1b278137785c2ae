"""Pipecat assembly: from an agent and a transport to a running pipeline."""
