"""Makes the caller audio shipped in `antiphon/cli/caller/audio` with flite (apt install libflite1).

    python benchmarks/make_caller_audio.py [FOLDER]

Each sentence is one file, 16 kHz mono PCM16, with 100 ms of low noise before and after it. The
noise is there because digital silence is nothing a telephone ever sends, and recognizers that
adapt to the background take it badly.
"""

import sys
from pathlib import Path

import numpy as np

from antiphon.cli.caller.sound import SHIPPED_DIR, loud_span, samples_of, write_wav
from antiphon.services.embedded.flite import flite_engine
from antiphon.services.embedded.tts_engine import SpeechChunk, SpeechOptions

VOICE = "slt"
RATE_WPM = 165  # one at which the embedded recognizer takes each of the commands
MARGIN_MS = 30  # of the engine's own audio around the sound: soft onsets and endings
PADDING_MS = 100
NOISE_RMS = 4
SENTENCES = {
    "what-is-in-my-cart": "what is in my cart",
    "add-two-blue-mugs": "add two blue mugs to my cart",
    "place-the-order": "place the order",
    "yes": "yes",
    "goodbye": "goodbye",
    "out-of-domain": "the weather in the mountains was lovely last summer",
}


def say(text: str) -> bytes:
    engine = flite_engine()
    speech = bytearray()

    def take(chunk: SpeechChunk) -> bool:
        speech.extend(chunk.audio)
        return True

    engine.synthesize(text, SpeechOptions(VOICE, rate_wpm=RATE_WPM), take)
    first, last = loud_span(bytes(speech), engine.sample_rate) or (0, 0)
    margin = engine.sample_rate * MARGIN_MS // 1000
    return bytes(speech[max(first - margin, 0) * 2 : (last + margin) * 2])


def with_background(speech: bytes, sample_rate: int) -> bytes:
    padding = np.zeros(sample_rate * PADDING_MS // 1000)
    samples = np.concatenate([padding, samples_of(speech), padding])
    # Seeded: the same command makes the same files.
    noise = np.random.default_rng(1).normal(0, NOISE_RMS, len(samples))
    return np.clip(samples + noise, -32768, 32767).round().astype("<i2").tobytes()


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SHIPPED_DIR
    folder.mkdir(parents=True, exist_ok=True)
    rate = flite_engine().sample_rate
    for name, text in SENTENCES.items():
        path = folder / f"{name}.wav"
        write_wav(path, with_background(say(text), rate), rate)
        print(f"{path}: {text!r}")


if __name__ == "__main__":
    main()
