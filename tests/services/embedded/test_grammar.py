"""Sentence templates as a grammar: what it accepts, its words, its file."""

import re
from functools import cache

import pytest
from hassil.intents import TextSlotList
from hassil.sample import sample_expression

from antiphon.agents.loader import builtin_directory
from antiphon.errors import ConfigurationError
from antiphon.services.embedded.grammar import (
    Grammar,
    compile_grammar,
    sample_sentences,
    spoken_words,
    weigh,
)
from antiphon.services.embedded.sentences import SentenceSet
from antiphon.tools.base import SlotValue


def grammar_of(*templates: str, lists: dict[str, object] | None = None, **rules: str) -> Grammar:
    return compile_grammar(sentence_set(*templates, lists=lists, **rules).intents)


def sentence_set(
    *templates: str, lists: dict[str, object] | None = None, **rules: str
) -> SentenceSet:
    return SentenceSet.from_dict(
        {
            "language": "en",
            "lists": lists or {},
            "expansion_rules": rules,
            "intents": {"Any": {"data": [{"sentences": list(templates)}]}},
        }
    )


@cache
def shop() -> SentenceSet:
    products = [SlotValue("blue mug", "MUG-BLUE"), SlotValue("desk lamp", "LAMP")]
    return SentenceSet.load(
        builtin_directory() / "shop.sentences.yaml",
        {"product": products, "category": [SlotValue("kitchen", "kitchen")]},
    )


@pytest.mark.parametrize(
    ("template", "accepted", "refused"),
    [
        ("(open|close) the door", ["open the door", "close the door"], ["the door", "open"]),
        ("hello [there]", ["hello", "hello there"], ["there", "hello there there"]),
        ("(red;green;blue)", ["red green blue", "blue red green"], ["red green", "red red blue"]),
        ("turn on the light[s]", ["turn on the light", "turn on the lights"], ["turn on the s"]),
        ("<lead> go", ["please go", "go"], ["please"]),
        ("take {count} {thing}", ["take two mugs", "take three lamps"], ["take four mugs"]),
        ("i'd like it", ["i'd like it"], ["i like it"]),
        ("wait {1..3:n} days", ["wait one days", "wait three days"], ["wait 1 days"]),
    ],
)
def test_a_template_accepts_what_it_says_and_nothing_else(
    template: str, accepted: list[str], refused: list[str]
) -> None:
    lists: dict[str, object] = {
        "count": {"range": {"from": 2, "to": 3}},
        "thing": {"values": ["mugs", "lamps"]},
    }
    grammar = grammar_of(template, lists=lists, lead="[please]")
    assert all(grammar.accepts(text.split()) for text in accepted)
    assert not any(grammar.accepts(text.split()) for text in refused)
    assert not grammar.accepts([])


def test_numbers_of_a_range_are_words() -> None:
    grammar = grammar_of("{n} mugs", lists={"n": {"range": {"from": 19, "to": 21}}})
    assert grammar.words == {"nineteen", "twenty", "one", "mugs"}
    assert grammar.accepts(["twenty", "one", "mugs"])


def test_every_sentence_hassil_samples_from_the_shop_is_accepted() -> None:
    sentences = shop()
    grammar = compile_grammar(sentences.intents)
    # Two values of each list: hassil builds every sentence of a template before it gives one.
    few = {
        name: TextSlotList.from_tuples(sentences.spoken_values(name)[:2], name=name)
        for name in sentences.slot_lists
    }
    checked = 0
    for _, template in sentences.templates():
        samples = sample_expression(template.expression, few, sentences.rules, language="en")
        for text, _ in zip(samples, range(20), strict=False):
            words = spoken_words(str(text)).split()
            assert grammar.words.issuperset(words), text
            assert grammar.accepts(words), text
            checked += 1
    assert checked > 500


def test_what_the_grammar_hears_the_dialogue_matches() -> None:
    sentences = shop()
    grammar = compile_grammar(sentences.intents)
    for words in sample_sentences(sentences.intents, 300, seed=5):
        assert grammar.accepts(words)
        assert sentences.match(" ".join(words)) is not None


def test_same_seed_gives_the_same_sentences() -> None:
    intents = shop().intents
    assert sample_sentences(intents, 50, seed=1) == sample_sentences(intents, 50, seed=1)
    assert sample_sentences(intents, 50, seed=1) != sample_sentences(intents, 50, seed=2)


def test_equal_tails_are_one_state() -> None:
    grammar = grammar_of("(a|b|c) (d|e) (f|g)", "x (d|e) (f|g)")
    assert len(grammar.arcs) == 4


def test_weights_follow_the_sentences_and_add_up() -> None:
    grammar = grammar_of("(red|blue) mug [please]")
    weighed = weigh(grammar, [("red", "mug")] * 8)
    assert weighed.weights[0] == {"red": pytest.approx(0.9), "blue": pytest.approx(0.1)}
    assert all(sum(row.values()) == pytest.approx(1) for row in weighed.weights if row)


def test_the_file_names_every_arc_and_one_final_state() -> None:
    grammar = grammar_of("(red|blue) mug [please]")
    lines = grammar.fsg("colours").splitlines()
    assert lines[0] == "FSG_BEGIN <colours>"
    assert lines[-1] == "FSG_END"
    states = int(lines[1].removeprefix("NUM_STATES "))
    assert lines[2:4] == ["START_STATE 0", f"FINAL_STATE {states - 1}"]
    arcs = [re.fullmatch(r"TRANSITION (\d+) (\d+) [\d.]+( \w+)?", line) for line in lines[4:-1]]
    assert all(arc and int(arc[1]) < states and int(arc[2]) < states for arc in arcs)
    assert {arc[3].strip() for arc in arcs if arc and arc[3]} == {"red", "blue", "mug", "please"}


def test_templates_with_wildcards_are_typed_only() -> None:
    lists: dict[str, object] = {"anything": {"wildcard": True}}
    grammar = grammar_of("my name is {anything}", "hello", lists=lists)
    assert grammar.words == {"hello"}


def test_templates_that_cannot_be_said_are_an_error() -> None:
    with pytest.raises(ConfigurationError, match="no sentence that can be said"):
        grammar_of("my name is {anything}", lists={"anything": {"wildcard": True}})
