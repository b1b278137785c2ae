"""Agents that come with the server, and the loader of agent files."""
