"""What an agent can do: tools are plain async functions that take and return data."""
