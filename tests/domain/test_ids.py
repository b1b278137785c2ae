"""Session ids."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.domain.ids import new_session_id

MOMENTS = st.integers(min_value=0, max_value=2**48 - 1)
RANDOM = st.binary(min_size=10, max_size=16)


@given(now_ms=MOMENTS, random=RANDOM)
def test_a_session_id_is_a_version_7_uuid_that_holds_its_moment(now_ms: int, random: bytes) -> None:
    made = new_session_id(now_ms, random)
    assert len(made) == 32
    read = uuid.UUID(made)
    assert (read.version, read.variant) == (7, uuid.RFC_4122)
    assert read.int >> 80 == now_ms


@given(moments=st.tuples(MOMENTS, MOMENTS), earlier=RANDOM, later=RANDOM)
def test_ids_of_different_moments_sort_as_the_moments_do(
    moments: tuple[int, int], earlier: bytes, later: bytes
) -> None:
    first, second = sorted(moments)
    if first < second:
        assert new_session_id(first, earlier) < new_session_id(second, later)


def test_an_id_is_the_one_of_the_standards_example() -> None:
    # RFC 9562, appendix A.6: 2022-02-22T19:22:22.000Z; of its random bits 4 + 12 + 2 + 62 are here.
    random = bytes.fromhex("7cc398c4dc0c0c07398f")
    assert new_session_id(0x017F22E279B0, random) == "017f22e279b07cc398c4dc0c0c07398f"


@pytest.mark.parametrize("bit", range(74))
def test_every_random_bit_that_the_standard_leaves_free_counts(bit: int) -> None:
    # 62 bits of rand_b, then the 2 of the variant, then 12 of rand_a.
    place = bit if bit < 62 else bit + 2
    assert new_session_id(1, bytes(10)) != new_session_id(1, (1 << place).to_bytes(10, "big"))
