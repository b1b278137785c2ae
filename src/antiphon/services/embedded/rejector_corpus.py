"""The language model of the rejector: the agent's words in any order, among everyday ones.

A trigram model of random sentences lets the second decoder put the agent's words in orders that the
grammar forbids, and common English words stand for everything else. On speech that follows a
template both decoders hear the same; on other speech the grammar forces its own sentence, the loose
model finds words that fit better, and the two disagree.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from antiphon.errors import ServiceError

DISCOUNT = 0.2
"""Probability mass kept for unseen word orders; 0.2 measured better than 0.5."""

COMMON_WORDS = 1_000
"""How many everyday words the model has. With 4000 no more rightly heard sentences are kept at the
same rejection of foreign speech than with 1000, and they cost time."""

_WORD = re.compile(r"[a-z']{2,}(?= )")


def common_words(
    language_model: Path,
    dictionary: Path,
    exclude: Collection[str] = (),
    count: int = COMMON_WORDS,
) -> dict[str, float]:
    """The likeliest words of a language model, with probabilities that add up to 1.

    Args:
        language_model: A model PocketSphinx can read, such as the general one in its wheel.
        dictionary: A dictionary in PocketSphinx's format: the words to choose from.
        exclude: Words that are not wanted.
        count: How many.

    Raises:
        ServiceError: A file cannot be read.
    """
    from pocketsphinx import LogMath, NGramModel

    try:
        model = NGramModel.readfile(str(language_model))
        entries = dictionary.read_text(encoding="utf-8").splitlines()
    except (OSError, RuntimeError, ValueError) as exc:
        raise ServiceError(f"no common words can be had: {exc}", code="stt_failed") from exc
    words = {found[0] for entry in entries if (found := _WORD.match(entry))} - {*exclude}
    scored = sorted(((model.prob([word]), word) for word in words), reverse=True)[:count]
    exp = LogMath().exp
    probabilities = {word: exp(score) for score, word in scored}
    total = sum(probabilities.values())
    return {word: probability / total for word, probability in probabilities.items()}


def write_language_model(
    sentences: Sequence[Sequence[str]], path: Path, common: Mapping[str, float] | None = None
) -> None:
    """Write a trigram model of the sentences in PocketSphinx's binary format.

    Args:
        sentences: The sentences, word by word.
        path: The file to write; its name must end in `.lm.bin`.
        common: Other words with their probabilities, that may stand anywhere; together they are as
            likely as the words of the sentences.

    Raises:
        ServiceError: The model could not be written.
    """
    from pocketsphinx import NGramModel
    from pocketsphinx.lm import ArpaBoLM

    text = "\n".join(" ".join(words) for words in sentences)
    model = ArpaBoLM(text=text, add_start=True, discount_mass=DISCOUNT)
    known = sum(model.grams_1.values())
    added = {w: p for w, p in (common or {}).items() if w not in model.grams_1}
    for word, probability in added.items():
        model.grams_1[word] = probability * known
    model.compute()
    for word in added:
        model.alpha_1[word] = 1.0  # nothing is known of what follows, so nothing is kept back
    arpa = path.with_suffix(".arpa")
    if not model.write_file(str(arpa)):
        raise ServiceError(f"the language model cannot be written to {arpa}", code="stt_failed")
    try:
        NGramModel.readfile(str(arpa)).write(str(path))
    except (RuntimeError, ValueError) as exc:
        raise ServiceError(
            f"the language model cannot be written: {exc}", code="stt_failed"
        ) from exc
    finally:
        arpa.unlink()
