"""The language model of the rejector: what sentences of the templates look like, not what they are.

A trigram model of random sentences lets the second decoder put the agent's words in orders that the
grammar forbids. On speech that follows a template both decoders hear the same; on other speech the
grammar forces its own sentence, and the two disagree.
"""

from collections.abc import Sequence
from pathlib import Path

from antiphon.errors import ServiceError

DISCOUNT = 0.2
"""Probability mass kept for unseen word orders; 0.2 measured better than 0.5."""


def write_language_model(sentences: Sequence[Sequence[str]], path: Path) -> None:
    """Write a trigram model of the sentences in PocketSphinx's binary format.

    Args:
        sentences: The sentences, word by word.
        path: The file to write; its name must end in `.lm.bin`.

    Raises:
        ServiceError: The model could not be written.
    """
    from pocketsphinx import NGramModel
    from pocketsphinx.lm import ArpaBoLM

    text = "\n".join(" ".join(words) for words in sentences)
    model = ArpaBoLM(text=text, add_start=True, discount_mass=DISCOUNT)
    model.compute()
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
