"""Sans-I/O codecs: bytes and text to typed messages and back."""
