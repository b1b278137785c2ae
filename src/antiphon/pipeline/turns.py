"""An agent's turn policy as Pipecat's turn strategies."""

from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.turns.user_start import TranscriptionUserTurnStartStrategy, VADUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from antiphon.domain.agent import TurnPolicy


def vad_params(policy: TurnPolicy) -> VADParams:
    """Thresholds of the voice activity detection."""
    return VADParams(
        confidence=policy.vad_confidence,
        start_secs=policy.vad_start_secs,
        stop_secs=policy.vad_stop_secs,
        min_volume=policy.vad_min_volume,
    )


def turn_strategies(policy: TurnPolicy) -> UserTurnStrategies:
    """How a user turn starts and ends under this policy."""
    start = [
        VADUserTurnStartStrategy(enable_interruptions=policy.interruptible),
        TranscriptionUserTurnStartStrategy(enable_interruptions=policy.interruptible),
    ]
    if policy.end_of_turn == "smart_turn":
        # Pipecat's default: its model decides whether the caller has finished.
        return UserTurnStrategies(start=list(start))
    return UserTurnStrategies(
        start=list(start),
        stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=policy.speech_timeout_secs)],
    )
