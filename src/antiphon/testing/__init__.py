"""Simulated peers, shipped so that users can test their own agents against them.

Nothing here is imported by the server: these modules stand on the other side of the wire.
"""
