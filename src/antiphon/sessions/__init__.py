"""The life of one conversation, and of all of them in this process."""
