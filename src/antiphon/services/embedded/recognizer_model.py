"""Speech recognition over an agent's templates: what is built once, and what decodes an utterance.

`RecognizerModel` is built once per agent (about half a second): grammar, dictionary and the loose
language model of the rejector, as files. `DecoderPair` is what decodes on it, one utterance at a
time and in one thread at a time. What is learnt about a caller's voice and line is a `Channel`, a
few numbers that any pair can go on from: a call holds no decoder.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hassil.intents import Intents

from antiphon.services.embedded.cepstral_mean import CepstralMean
from antiphon.services.embedded.conditioning import Conditioner
from antiphon.services.embedded.decoder import (
    FRAMES_PER_SECOND,
    SAMPLE_RATE,
    Decoder,
    Options,
    open_decoder,
)
from antiphon.services.embedded.grammar import compile_grammar, sample_sentences, weigh
from antiphon.services.embedded.pronunciation import Dictionary, build_dictionary
from antiphon.services.embedded.rejector import Hypothesis, judge
from antiphon.services.embedded.rejector_corpus import common_words, write_language_model

SAMPLED_SENTENCES = 20_000
"""Random sentences that word probabilities are counted from."""

GRAMMAR_OPTIONS: Options = {"bestpath": False, "lw": 3.0, "beam": 1e-60, "wbeam": 1e-40}
"""Search options of the grammar's decoder (docs/embedded-accuracy.md has the measurements)."""

LOOSE_OPTIONS: Options = {
    "fwdflat": False,
    "bestpath": False,
    "lw": 6.5,
    "beam": 1e-40,
    "wbeam": 1e-30,
    "pbeam": 1e-40,
    "pl_window": 0,
}
"""One pass only, since a second one would run after the caller has ended. Less weight on word order
than 6.5 loses speech that follows the templates to common words; wider beams change nothing."""

LEARN_MS = 1_200
"""Audio at the beginning of a call that the channel is learnt from before it is decoded."""

_CHUNK_MS = 100
_FRAME_BYTES = SAMPLE_RATE // FRAMES_PER_SECOND * 2
_LEARN_BYTES = SAMPLE_RATE * LEARN_MS // 1000 * 2


class RecognizerModel:
    """Everything decoders of one agent load. Build it off the event loop.

    Args:
        intents: The agent's templates, lists filled in.
        seed: Of the sampled sentences; the same seed gives the same model.

    Raises:
        ConfigurationError: The templates cannot be heard.
        ServiceError: PocketSphinx cannot use them.
    """

    def __init__(self, intents: Intents, *, seed: int = 0):
        from pocketsphinx import get_model_path

        self._files = tempfile.TemporaryDirectory(prefix="antiphon-recognizer-")
        self.directory = directory = Path(self._files.name)
        sentences = sample_sentences(intents, SAMPLED_SENTENCES, seed)
        self.grammar = weigh(compile_grammar(intents), sentences)
        base = Path(get_model_path("en-us"))
        all_words = base / "cmudict-en-us.dict"
        everyday = common_words(base / "en-us.lm.bin", all_words, self.grammar.words)
        self.dictionary: Dictionary = build_dictionary(
            self.grammar.words | everyday.keys(), all_words
        )
        fsg, dictionary = directory / "grammar.fsg", directory / "words.dict"
        language_model = directory / "loose.lm.bin"
        fsg.write_text(self.grammar.fsg("agent"), encoding="utf-8")
        dictionary.write_text(self.dictionary.text(), encoding="utf-8")
        write_language_model(sentences, language_model, everyday)
        common: Options = {"hmm": str(base / "en-us"), "dict": str(dictionary)}
        self.grammar_options: Options = {**common, "fsg": str(fsg), **GRAMMAR_OPTIONS}
        self.loose_options: Options = {**common, "lm": str(language_model), **LOOSE_OPTIONS}

    def open(self) -> "DecoderPair":
        """A pair of decoders: 60 to 100 ms, about 35 MB; not on the event loop."""
        return DecoderPair(self)

    def close(self) -> None:
        """Delete the files; open decoders work on."""
        self._files.cleanup()


@dataclass(slots=True)
class Channel:
    """What is known about one caller's voice and line; kept for a call."""

    conditioner: Conditioner = field(default_factory=Conditioner)
    mean: CepstralMean | None = None
    """None before the first utterance."""


class DecoderPair:
    """Two decoders that hear the same audio: one follows the grammar, one is loose.

    The first second of a call is heard twice: first only to learn what the line sounds like.
    """

    def __init__(self, model: RecognizerModel):
        self._dictionary = model.dictionary
        self._grammar: Decoder = open_decoder(model.grammar_options)
        self._loose: Decoder = open_decoder(model.loose_options)
        self._guess = CepstralMean.parse(self._grammar.cepstral_mean())
        self._channel: Channel | None = None
        self._latest: Channel | None = None
        self._held: bytearray | None = None
        self._given = self._guess
        self._bytes = 0

    def begin(self, channel: Channel) -> None:
        """Begin an utterance of a call."""
        self.abandon()
        self._channel = channel
        if channel is not self._latest:
            self._grammar.forget_noise()
            self._loose.forget_noise()
            self._latest = channel
        self._bytes = 0
        self._held = bytearray() if channel.mean is None else None
        if channel.mean is None:
            self._start_learning()
        else:
            self._start(channel.mean)

    def feed(self, pcm: bytes) -> None:
        """Decode a piece of the utterance: PCM16 mono at the channel's sample rate."""
        if self._channel is not None:
            self._take(self._channel.conditioner.process(pcm))

    def partial(self) -> str:
        """The words so far."""
        return self._grammar.partial() if self._held is None else ""

    def finish(self) -> Hypothesis:
        """End the utterance; the channel keeps what was learnt."""
        channel, self._channel = self._channel, None
        if channel is not None:
            self._take(channel.conditioner.flush())
        self._release()
        self._grammar.finish()
        self._loose.finish()
        if channel is not None:
            frames = self._bytes // _FRAME_BYTES
            channel.mean = self._given.after(self._grammar.cepstral_mean(), frames)
        narrow_band = channel is not None and channel.conditioner.narrow_band
        return judge(
            self._grammar.result(),
            self._loose.result(),
            self._dictionary,
            narrow_band=narrow_band,
        )

    def abandon(self) -> None:
        """Give up the utterance under way, if there is one."""
        channel, self._channel = self._channel, None
        if channel is None:
            return
        channel.conditioner.flush()
        self._loose.finish()
        if self._held is None:
            self._grammar.finish()

    def _start(self, mean: CepstralMean) -> None:
        self._given = mean
        for decoder in (self._grammar, self._loose):
            decoder.set_cepstral_mean(mean.text())
            decoder.start()

    def _take(self, audio: bytes) -> None:
        """Decode conditioned audio, or hold it until there is enough to learn the line from."""
        if not audio:
            return
        if self._held is None:
            self._bytes += len(audio)
            self._grammar.process(audio)
            self._loose.process(audio)
            return
        self._held += audio
        self._loose.process(audio)
        if len(self._held) >= _LEARN_BYTES:
            self._release()

    def _start_learning(self) -> None:
        """Let the loose decoder, as the cheaper one, find the mean of audio as it comes in."""
        self._loose.set_cepstral_mean(self._guess.text())
        self._loose.start()

    def _release(self) -> None:
        """End learning from the audio held, then decode it."""
        held, self._held = self._held, None
        if held is None:
            return
        audio = bytes(held)
        self._loose.finish()
        self._start(self._guess.after(self._loose.cepstral_mean(), len(audio) // _FRAME_BYTES))
        self._take(audio)

    def transcribe(self, pcm: bytes, channel: Channel) -> Hypothesis:
        """Recognize a whole utterance: PCM16 mono at the channel's sample rate.

        It is fed in pieces of 100 ms, as a call would: same audio, same words.
        """
        self.begin(channel)
        for piece in _pieces(pcm, channel.conditioner.sample_rate):
            self.feed(piece)
        return self.finish()

    def close(self) -> None:
        """Release both decoders."""
        self._grammar.close()
        self._loose.close()


def _pieces(pcm: bytes, sample_rate: int) -> Iterator[bytes]:
    step = sample_rate * _CHUNK_MS // 1000 * 2
    return (pcm[at : at + step] for at in range(0, len(pcm), step))
