"""Verification of Ed25519 signatures: RFC 8032, section 5.1.7.

Only public values go through here, so nothing depends on how long a calculation takes. It costs a
few milliseconds, once for each telephone call that a provider signs. Points are in extended
homogeneous coordinates (section 5.1.4): (X, Y, Z, T) with x = X/Z, y = Y/Z and x·y = T/Z.
"""

import hashlib

KEY_BYTES = 32
SIGNATURE_BYTES = 64

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_SQRT_MINUS_1 = pow(2, (_P - 1) // 4, _P)

_Point = tuple[int, int, int, int]


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is the key's signature of `message`; never raises.

    Args:
        public_key: 32 bytes; anything else verifies nothing.
        message: What was signed.
        signature: 64 bytes; anything else is no signature.
    """
    if len(public_key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    key = _decode(public_key)
    commitment = _decode(signature[:KEY_BYTES])
    scalar = int.from_bytes(signature[KEY_BYTES:], "little")
    # A scalar beyond the order would make a second signature of every signature.
    if key is None or commitment is None or scalar >= _ORDER:
        return False
    digest = hashlib.sha512(signature[:KEY_BYTES] + public_key + message).digest()
    challenge = int.from_bytes(digest, "little") % _ORDER
    return _same(_times(scalar, _BASE), _add(commitment, _times(challenge, key)))


def _x_of(y: int, sign: int) -> int | None:
    """The x with this sign on the curve at y (section 5.1.3); None where there is none."""
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    if square == 0:
        return None if sign else 0
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _SQRT_MINUS_1 % _P
    if (x * x - square) % _P:
        return None
    return x if x % 2 == sign else _P - x


def _decode(data: bytes) -> _Point | None:
    number = int.from_bytes(data, "little")
    y, sign = number & ((1 << 255) - 1), number >> 255
    x = _x_of(y, sign)
    return None if x is None else (x, y, 1, x * y % _P)


def _add(a: _Point, b: _Point) -> _Point:
    e = (a[1] - a[0]) * (b[1] - b[0]) % _P
    f = (a[1] + a[0]) * (b[1] + b[0]) % _P
    g = 2 * a[3] * b[3] * _D % _P
    h = 2 * a[2] * b[2] % _P
    i, j, k, m = f - e, h - g, h + g, f + e
    return (i * j % _P, k * m % _P, j * k % _P, i * m % _P)


def _times(factor: int, point: _Point) -> _Point:
    total: _Point = (0, 1, 1, 0)
    while factor:
        if factor & 1:
            total = _add(total, point)
        point = _add(point, point)
        factor >>= 1
    return total


def _same(a: _Point, b: _Point) -> bool:
    return (a[0] * b[2] - b[0] * a[2]) % _P == 0 and (a[1] * b[2] - b[1] * a[2]) % _P == 0


def _base() -> _Point:
    y = 4 * pow(5, -1, _P) % _P
    x = _x_of(y, 0)
    assert x is not None
    return (x, y, 1, x * y % _P)


_BASE = _base()
