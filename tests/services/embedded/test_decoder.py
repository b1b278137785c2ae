"""One decoder, through the C library and through the binding: the same words."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import soundfile

import antiphon
from antiphon.errors import ServiceError, Unavailable
from antiphon.services.embedded import decoder as decoders
from antiphon.services.embedded.conditioning import Conditioner
from antiphon.services.embedded.decoder import (
    BindingDecoder,
    Decoded,
    Decoder,
    LibraryDecoder,
    Options,
    library_available,
    open_decoder,
)
from antiphon.services.embedded.recognizer_model import Channel, RecognizerModel
from antiphon.services.embedded.sentences import SentenceSet

RECORDINGS = Path(str(antiphon.__file__)).parent / "cli" / "caller" / "audio"
SENTENCES = SentenceSet.from_dict(
    {
        "language": "en",
        "intents": {
            "Order": {"data": [{"sentences": ["[please] place the order [now]"]}]},
            "View": {"data": [{"sentences": ["what is in my (cart|basket)"]}]},
        },
    }
)
BOTH = pytest.mark.parametrize("open_one", [LibraryDecoder, BindingDecoder])
Open = Callable[[Options], Decoder]


@pytest.fixture(scope="module")
def model() -> Iterator[RecognizerModel]:
    model = RecognizerModel(SENTENCES.intents)
    yield model
    model.close()


@pytest.fixture(scope="module")
def options(model: RecognizerModel) -> Options:
    return model.grammar_options


def speech(name: str) -> bytes:
    samples, _ = soundfile.read(RECORDINGS / f"{name}.wav", dtype="int16")
    return Conditioner().process(samples.tobytes())


def decode(decoder: Decoder, pcm: bytes) -> tuple[Decoded, list[str]]:
    decoder.start()
    partials = []
    for at in range(0, len(pcm), 3_200):
        decoder.process(pcm[at : at + 3_200])
        partials.append(decoder.partial())
    decoder.finish()
    return decoder.result(), partials


@BOTH
def test_speech_becomes_words_as_it_comes(open_one: Open, options: Options) -> None:
    decoder = open_one(options)
    decoded, partials = decode(decoder, speech("place-the-order"))
    decoder.close()
    assert decoded.text == "place the order"
    said = [s.word.split("(")[0] for s in decoded.segments if not s.word.startswith("<")]
    assert [word for word in said if word != "(NULL)" and word] == ["place", "the", "order"]
    assert all(one.start <= two.start for one, two in pairwise(decoded.segments))
    assert any(partial and partial != decoded.text for partial in partials)


def test_library_and_binding_hear_the_same(options: Options) -> None:
    pcm = speech("what-is-in-my-cart")
    library, binding = LibraryDecoder(options), BindingDecoder(options)
    heard, again = decode(library, pcm)[0], decode(binding, pcm)[0]
    assert heard.text == again.text == "what is in my cart"
    assert [s[:3] for s in heard.segments] == [s[:3] for s in again.segments]
    # The binding gives scores as probabilities, which costs it the last digit.
    assert [s.score for s in heard.segments] == pytest.approx(
        [s.score for s in again.segments], abs=1
    )
    assert all(s.score < 0 for s in heard.segments if s.word in ("what", "cart"))
    assert library.cepstral_mean() == binding.cepstral_mean()


@BOTH
def test_what_was_learnt_about_a_line_goes_to_another_decoder(
    open_one: Open, options: Options
) -> None:
    one, other = open_one(options), open_one(options)
    fresh = other.cepstral_mean()
    decode(one, speech("place-the-order"))
    learnt = one.cepstral_mean()
    other.set_cepstral_mean(learnt)
    assert learnt != fresh
    assert other.cepstral_mean() == learnt


@BOTH
def test_a_decoder_serves_one_utterance_after_the_other(open_one: Open, options: Options) -> None:
    decoder = open_one(options)
    names = ("place-the-order", "what-is-in-my-cart", "place-the-order")
    assert [decode(decoder, speech(name))[0].text for name in names] == [
        "place the order",
        "what is in my cart",
        "place the order",
    ]


@BOTH
def test_a_decoder_that_forgets_the_noise_hears_the_same_audio_the_same(
    open_one: Open, options: Options
) -> None:
    decoder = open_one(options)
    guess = decoder.cepstral_mean()
    first = decode(decoder, speech("place-the-order"))[0]
    decode(decoder, speech("what-is-in-my-cart"))
    decoder.set_cepstral_mean(guess)
    decoder.forget_noise()
    again = decode(decoder, speech("place-the-order"))[0]
    decoder.close()
    assert again == first


def test_a_pair_of_decoders_carries_nothing_from_one_call_to_another(
    model: RecognizerModel,
) -> None:
    pair = model.open()
    said = [speech(name) for name in ("place-the-order", "what-is-in-my-cart")]
    fresh = pair.transcribe(said[0], Channel(Conditioner()))
    pair.transcribe(said[1], Channel(Conditioner()))
    later = Channel(Conditioner())
    again = pair.transcribe(said[0], later)
    pair.close()
    assert fresh.text == "place the order"
    assert again == fresh


@BOTH
def test_an_utterance_without_audio_has_no_words(open_one: Open, options: Options) -> None:
    decoder = open_one(options)
    assert decode(decoder, b"")[0].text == ""


@BOTH
def test_a_closed_decoder_says_so(open_one: Open, options: Options) -> None:
    decoder = open_one(options)
    decoder.close()
    decoder.close()
    with pytest.raises(ServiceError, match="closed"):
        decoder.start()


@BOTH
def test_options_that_cannot_be_used_are_an_error(open_one: Open, options: Options) -> None:
    with pytest.raises(ServiceError):
        open_one({**options, "fsg": "/nowhere/grammar.fsg"})
    with pytest.raises(ServiceError):
        open_one({**options, "no_such_option": 1})


def test_steps_out_of_order_are_an_error(options: Options) -> None:
    decoder = LibraryDecoder(options)
    with pytest.raises(ServiceError, match="finish"):
        decoder.finish()


def test_a_wheel_without_the_c_api_falls_back_to_the_binding(
    options: Options, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing() -> None:
        raise Unavailable("PocketSphinx's C API cannot be reached")

    monkeypatch.setattr(decoders, "pocketsphinx_library", missing)
    library_available.cache_clear()
    try:
        decoder = open_decoder(options)
        assert isinstance(decoder, BindingDecoder)
        assert "interpreter lock" in caplog.text
    finally:
        library_available.cache_clear()
