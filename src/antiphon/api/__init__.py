"""The public HTTP and WebSocket interface, one file per resource."""
