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

from antiphon.services.embedded.conditioning import Conditioner
from antiphon.services.embedded.decoder import Decoder, Options, open_decoder
from antiphon.services.embedded.grammar import compile_grammar, sample_sentences, weigh
from antiphon.services.embedded.pronunciation import Dictionary, build_dictionary
from antiphon.services.embedded.rejector import Hypothesis, judge
from antiphon.services.embedded.rejector_corpus import write_language_model

SAMPLED_SENTENCES = 20_000
"""Random sentences that word probabilities are counted from."""

GRAMMAR_OPTIONS: Options = {"bestpath": False, "lw": 3.0, "beam": 1e-60, "wbeam": 1e-40}
"""Search options of the grammar's decoder (docs/embedded-accuracy.md has the measurements)."""

LOOSE_OPTIONS: Options = {"fwdflat": False, "bestpath": False}
"""One pass only: the second decoder is there to disagree, not to be right."""

_CHUNK_MS = 100


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
        self.dictionary: Dictionary = build_dictionary(
            self.grammar.words, base / "cmudict-en-us.dict"
        )
        fsg, dictionary = directory / "grammar.fsg", directory / "words.dict"
        language_model = directory / "loose.lm.bin"
        fsg.write_text(self.grammar.fsg("agent"), encoding="utf-8")
        dictionary.write_text(self.dictionary.text(), encoding="utf-8")
        write_language_model(sentences, language_model)
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
    cepstral_mean: str = ""
    """Empty before the first utterance."""


class DecoderPair:
    """Two decoders that hear the same audio: one follows the grammar, one is loose."""

    def __init__(self, model: RecognizerModel):
        self._dictionary = model.dictionary
        self._grammar: Decoder = open_decoder(model.grammar_options)
        self._loose: Decoder = open_decoder(model.loose_options)
        self._fresh_mean = self._grammar.cepstral_mean()
        self._channel: Channel | None = None

    def begin(self, channel: Channel) -> None:
        """Begin an utterance of a call."""
        self.abandon()
        self._channel = channel
        for decoder in (self._grammar, self._loose):
            decoder.set_cepstral_mean(channel.cepstral_mean or self._fresh_mean)
            decoder.start()

    def feed(self, pcm: bytes) -> None:
        """Decode a piece of the utterance: PCM16 mono at the channel's sample rate."""
        if self._channel is not None and (audio := self._channel.conditioner.process(pcm)):
            self._grammar.process(audio)
            self._loose.process(audio)

    def partial(self) -> str:
        """The words so far."""
        return self._grammar.partial()

    def finish(self) -> Hypothesis:
        """End the utterance; the channel keeps what was learnt."""
        channel, self._channel = self._channel, None
        if channel is not None and (rest := channel.conditioner.flush()):
            self._grammar.process(rest)
            self._loose.process(rest)
        self._grammar.finish()
        self._loose.finish()
        if channel is not None:
            channel.cepstral_mean = self._grammar.cepstral_mean()
        return judge(self._grammar.result(), self._loose.result(), self._dictionary)

    def abandon(self) -> None:
        """Give up the utterance under way, if there is one."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.conditioner.flush()
            self._grammar.finish()
            self._loose.finish()

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
