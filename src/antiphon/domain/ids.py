"""Ids that sort by time."""


def new_session_id(now_ms: int, random: bytes) -> str:
    """A UUID version 7 (RFC 9562, section 5.7) as 32 hexadecimal digits.

    Args:
        now_ms: Milliseconds since the epoch; its low 48 bits are used.
        random: At least 10 random bytes.
    """
    value = (now_ms & (1 << 48) - 1) << 80 | int.from_bytes(random[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return f"{value:032x}"
