"""PCM16 mono arithmetic: milliseconds, samples and bytes."""

from dataclasses import dataclass

BYTES_PER_SAMPLE = 2
MIN_SAMPLE_RATE_HZ = 8_000
MAX_SAMPLE_RATE_HZ = 192_000


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """Headerless PCM16 little-endian mono at one sample rate."""

    sample_rate: int
    """Hz, 8000 to 192000."""

    def __post_init__(self) -> None:
        if not MIN_SAMPLE_RATE_HZ <= self.sample_rate <= MAX_SAMPLE_RATE_HZ:
            raise ValueError(
                f"sample_rate is {self.sample_rate} Hz; it must be from "
                f"{MIN_SAMPLE_RATE_HZ} to {MAX_SAMPLE_RATE_HZ} Hz"
            )

    @property
    def bytes_per_second(self) -> int:
        """Bytes in one second of audio."""
        return self.sample_rate * BYTES_PER_SAMPLE

    def bytes_in(self, ms: float) -> int:
        """Bytes in `ms` milliseconds, rounded to a whole sample."""
        return round(self.sample_rate * ms / 1000) * BYTES_PER_SAMPLE

    def ms_in(self, n_bytes: int) -> float:
        """Milliseconds in `n_bytes` bytes."""
        return n_bytes / self.bytes_per_second * 1000
