"""The loose language model: the agent's words in any order, among everyday ones."""

import math
from pathlib import Path

import pytest
from pocketsphinx import LogMath, NGramModel, get_model_path

from antiphon.errors import ServiceError
from antiphon.services.embedded.rejector_corpus import common_words, write_language_model

SENTENCES = [("place", "the", "order"), ("what", "is", "in", "my", "cart")]


@pytest.fixture(scope="module")
def common() -> dict[str, float]:
    base = Path(get_model_path("en-us"))
    return common_words(
        base / "en-us.lm.bin", base / "cmudict-en-us.dict", {"the", "what"}, count=50
    )


def probability(model: NGramModel, *words: str) -> float:
    """Of the first word after the others, the nearest first."""
    return float(LogMath().exp(model.prob(list(words))))


def test_common_words_are_the_ones_people_use_most(common: dict[str, float]) -> None:
    assert len(common) == 50
    assert {"and", "you", "that"} <= common.keys()
    assert not common.keys() & {"the", "what", "zebra"}
    assert math.isclose(sum(common.values()), 1)
    assert common["and"] > common["because"] if "because" in common else common["and"] > 0


def test_a_missing_model_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="common words"):
        common_words(tmp_path / "none.lm.bin", tmp_path / "none.dict")


def test_common_words_may_stand_anywhere_and_take_half_of_what_is_likely(
    tmp_path: Path, common: dict[str, float]
) -> None:
    write_language_model(SENTENCES, tmp_path / "mixed.lm.bin", common)
    model = NGramModel.readfile(str(tmp_path / "mixed.lm.bin"))
    own = {word for sentence in SENTENCES for word in sentence} - common.keys()
    outside = common.keys() - {word for sentence in SENTENCES for word in sentence}
    assert probability(model, "and", "the", "place") > 0
    theirs = sum(probability(model, word) for word in outside)
    ours = sum(probability(model, word) for word in (*own, "</s>"))
    assert 0.5 < theirs / ours < 2
    # After a common word nothing is known, so every word is as likely as it is by itself.
    assert probability(model, "order", "you") == pytest.approx(
        probability(model, "order"), rel=0.02
    )


def test_an_order_of_words_from_the_templates_stays_likelier(
    tmp_path: Path, common: dict[str, float]
) -> None:
    write_language_model(SENTENCES, tmp_path / "mixed.lm.bin", common)
    model = NGramModel.readfile(str(tmp_path / "mixed.lm.bin"))
    assert probability(model, "order", "the", "place") > 10 * probability(
        model, "and", "the", "place"
    )
