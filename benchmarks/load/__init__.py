"""Calls per core, CPU and memory per call, play-out lateness: Antiphon beside stock Pipecat."""
