"""Voice activity detection with one Silero model for all calls of the process.

Pipecat's `SileroVADAnalyzer` loads a model per call (22 MB, and a 54 ms stall of the event loop)
and runs it in a thread per call. Here the ONNX session is shared; a call keeps the recurrent state
(2 x 1 x 128 floats) and 64 samples of context. A window costs about 0.1 ms, so it runs inline: a
thread hop costs more. Silence far below speech never reaches the model.
"""

from functools import lru_cache
from importlib import resources

import numpy as np
import numpy.typing as npt
import onnxruntime
from pipecat.audio.vad.vad_analyzer import VADAnalyzer, VADParams, VADState

SAMPLE_RATE = 16_000
"""Hz; the pipeline's input rate on every transport."""

WINDOW_SAMPLES = 512
"""Samples of one Silero window at 16 kHz: 32 ms."""

WINDOW_MS = 32

_CONTEXT_SAMPLES = 64
_GATE_RMS = 0.000_6
"""About -64 dBFS: quieter windows are silence, whatever their spectrum."""

_RESET_WINDOWS = 63
"""The recurrent state is cleared after about 2 s of audio, as Pipecat's analyzer does, and only
while the caller is quiet: long non-speech leaves the state unable to detect what follows."""

_RESET_MAX_CONFIDENCE = 0.1
_RESET_QUIET_WINDOWS = 5


class SileroModel:
    """The process-wide Silero session; stateless, so calls can share it.

    Raises:
        OSError: the model file is missing from the Pipecat installation.
    """

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = 1
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        model = resources.files("pipecat.audio.vad.data").joinpath("silero_vad.onnx").read_bytes()
        self._session = onnxruntime.InferenceSession(
            model, sess_options=options, providers=["CPUExecutionProvider"]
        )
        self._rate = np.array(SAMPLE_RATE, dtype=np.int64)

    def run(
        self, audio: npt.NDArray[np.float32], state: npt.NDArray[np.float32]
    ) -> tuple[float, npt.NDArray[np.float32]]:
        """Score one window.

        Args:
            audio: Shape (1, 576): 64 samples of context and the 512 of the window, -1 to 1.
            state: Shape (2, 1, 128): the call's recurrent state.

        Returns:
            The confidence (0 to 1) that the window holds speech, and the next state.
        """
        out, new_state = self._session.run(None, {"input": audio, "state": state, "sr": self._rate})
        return float(out[0, 0]), new_state


@lru_cache(maxsize=1)
def shared_silero() -> SileroModel:
    """The one model of this process, loaded on first use (at server start, not in a call)."""
    return SileroModel()


def _rms(samples: npt.NDArray[np.float32]) -> float:
    return float(np.sqrt(np.dot(samples, samples) / len(samples)))


class SharedSileroVADAnalyzer(VADAnalyzer):
    """Pipecat VAD analyzer on the shared model; `min_volume` is RMS (0 to 1), not LUFS.

    Use it wherever Pipecat takes a `VADAnalyzer`, at 16 kHz.

    Args:
        params: Confidence, start and stop times in seconds, least RMS of speech.
        model: The shared model.
    """

    def __init__(self, *, params: VADParams | None = None, model: SileroModel | None = None):
        super().__init__(sample_rate=SAMPLE_RATE, params=params or VADParams(min_volume=0.0))
        self._model = model or shared_silero()
        self._input = np.zeros((1, _CONTEXT_SAMPLES + WINDOW_SAMPLES), dtype=np.float32)
        self._state = np.zeros((2, 1, 128), dtype=np.float32)
        self._since_reset = 0
        self._quiet_windows = 0
        self._last_rms = 0.0

    def num_frames_required(self) -> int:
        """Samples of one window."""
        return WINDOW_SAMPLES

    async def analyze_audio(self, buffer: bytes) -> VADState:
        """Analyze PCM16 audio inline; about 0.1 ms a window, so no thread is involved."""
        return self._run_analyzer(buffer)

    def voice_confidence(self, buffer: bytes) -> float:
        """Confidence (0 to 1) that one window of 1,024 bytes holds speech."""
        samples = np.frombuffer(buffer, np.int16).astype(np.float32) / 32768.0
        self._last_rms = _rms(samples)
        self._since_reset += 1
        if self._last_rms < _GATE_RMS and self._vad_state == VADState.QUIET:
            self._forget()
            return 0.0
        self._input[0, _CONTEXT_SAMPLES:] = samples
        confidence, self._state = self._model.run(self._input, self._state)
        self._input[0, :_CONTEXT_SAMPLES] = samples[-_CONTEXT_SAMPLES:]
        self._reset_when_quiet(confidence)
        return confidence

    def _reset_when_quiet(self, confidence: float) -> None:
        self._quiet_windows = self._quiet_windows + 1 if confidence < _RESET_MAX_CONFIDENCE else 0
        if (
            self._since_reset >= _RESET_WINDOWS
            and self._vad_state == VADState.QUIET
            and self._quiet_windows >= _RESET_QUIET_WINDOWS
        ):
            self._forget()

    def _forget(self) -> None:
        if self._since_reset:
            self._state = np.zeros((2, 1, 128), dtype=np.float32)
            self._input[0, :_CONTEXT_SAMPLES] = 0.0
        self._since_reset = 0

    def _get_smoothed_volume(self, audio: bytes) -> float:
        # The base class measures LUFS, which costs half of what the model does (PERFORMANCE.md).
        return self._last_rms
