"""The durable store: sessions, events, exports."""
