"""Sentence templates: what is checked, and what the shop agent understands."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hassil.expression import (
    Alternative,
    Expression,
    Group,
    ListReference,
    RuleReference,
    TextChunk,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antiphon.agents.loader import builtin_directory
from antiphon.errors import ConfigurationError
from antiphon.services.embedded.sentences import (
    MAX_TEXT_CHARS,
    Match,
    SentenceSet,
    normalize,
    spell_digits,
    spell_number,
)
from antiphon.tools.shop.catalogue import load_catalogue


@dataclass(frozen=True)
class Spoken:
    text: str
    value: str


def shop_lists() -> dict[str, list[Spoken]]:
    catalogue = load_catalogue(builtin_directory() / "shop.catalogue.yaml")
    products = [Spoken(text, p.name) for p in catalogue.products for text in p.spoken()]
    products += [Spoken(t, f.name) for f in catalogue.families for t in (f.name, f.plural)]
    categories = [Spoken(c, c) for c in sorted({p.category for p in catalogue.products})]
    return {"product": products, "category": categories}


SHOP = SentenceSet.load(builtin_directory() / "shop.sentences.yaml", shop_lists())

BLUE_MUGS = {"product": "blue mug", "quantity": 2}
ORDER = dict(zip(("d1", "d2", "d3", "d4", "d5"), "10023", strict=True))


@pytest.mark.parametrize(
    ("text", "intent", "slots"),
    [
        # The four utterances of the acceptance call.
        ("what is in my cart", "ViewCart", {}),
        ("add two blue mugs to my cart", "AddToCart", BLUE_MUGS),
        ("place the order", "PlaceOrder", {}),
        ("yes", "Affirm", {}),
        # Typed: case, punctuation, digits.
        ("Add 2 blue mugs!", "AddToCart", BLUE_MUGS),
        ("What\N{RIGHT SINGLE QUOTATION MARK}s in my cart?", "ViewCart", {}),
        ("  PLACE THE ORDER... ", "PlaceOrder", {}),
        ("Where is order #10023?", "OrderStatus", ORDER),
        ("cancel order 10023", "CancelOrder", ORDER),
        # Spoken variants.
        ("could you please put two blue mugs in the cart", "AddToCart", BLUE_MUGS),
        ("i would like two blue mugs please", "AddToCart", BLUE_MUGS),
        ("two blue mugs please", "AddToCart", BLUE_MUGS),
        ("i'd like to buy a pair of blue mugs", "AddToCart", BLUE_MUGS),
        ("add a blue mug", "AddToCart", {"product": "blue mug"}),
        ("i want a dozen mugs", "AddToCart", {"product": "mug", "quantity": 12}),
        ("remove the desk lamp", "RemoveFromCart", {"product": "desk lamp"}),
        ("take one mug out of my cart", "RemoveFromCart", {"product": "mug", "quantity": 1}),
        ("where is order one zero oh two three", "OrderStatus", ORDER),
        ("has my order shipped yet", "OrderStatus", {}),
        ("please cancel my last order", "CancelOrder", {}),
        ("empty the basket", "ClearCart", {}),
        ("check out please", "PlaceOrder", {}),
        ("how much are the blue mugs", "ProductInfo", {"product": "blue mug"}),
        ("do you have any umbrellas", "ProductInfo", {"product": "folding umbrella"}),
        ("show me garden items", "SearchProducts", {"category": "garden"}),
        ("can i talk to a real person please", "TalkToHuman", {}),
        ("no thank you", "Deny", {}),
        ("never mind", "Deny", {}),
        ("that's all thank you", "Goodbye", {}),
        ("yes place the order", "Affirm", {}),
        ("the red mug", "PickProduct", {"product": "red mug"}),
    ],
)
def test_a_caller_is_understood(text: str, intent: str, slots: dict[str, Any]):
    assert SHOP.match(text) == Match(intent, slots)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "!?",
        "it is a truth universally acknowledged",
        "what is the capital of france",
        "add two blue elephants to my cart",
        "add thirty blue mugs",
        "yesterday",
        "place the order and cancel my order",
        "[unclear]",
        "x" * 100_000,
        "yes " * (MAX_TEXT_CHARS // 4 + 1),
    ],
)
def test_what_no_template_says_is_not_understood(text: str):
    assert SHOP.match(text) is None


@st.composite
def _texts(draw: st.DrawFn, expression: Expression) -> str:
    """One text that an expression allows."""
    if isinstance(expression, TextChunk):
        return expression.original_text
    if isinstance(expression, Alternative):
        return draw(_texts(draw(st.sampled_from(expression.items))))
    if isinstance(expression, Group):
        return "".join([draw(_texts(item)) for item in expression.items])
    if isinstance(expression, RuleReference):
        return draw(_texts(SHOP.rules[expression.rule_name].expression))
    assert isinstance(expression, ListReference)
    return draw(st.sampled_from(SHOP.spoken_values(expression.list_name)))[0]


TEMPLATES = list(SHOP.templates())


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_a_template_allows_is_matched_as_its_own_intent(data: st.DataObject):
    intent, sentence = data.draw(st.sampled_from(TEMPLATES))
    text = data.draw(_texts(sentence.expression))
    match = SHOP.match(text)
    assert match is not None, text
    assert match.intent == intent, text


@settings(deadline=None)
@given(st.text(max_size=400))
def test_no_text_breaks_the_matcher(text: str):
    assert SHOP.match(text) is None or SHOP.match(normalize(text)) is not None


def test_every_product_can_be_added_by_every_name_and_number():
    numbers = [*SHOP.spoken_values("quantity"), *((str(n), n) for n in range(1, 21))]
    for (spoken, value), (word, number) in itertools.product(
        SHOP.spoken_values("product"), numbers
    ):
        expected = Match("AddToCart", {"quantity": number, "product": value})
        assert SHOP.match(f"add {word} {spoken} to my cart") == expected


def test_what_can_be_said_of_a_number_list_is_words():
    assert SHOP.spoken_values("quantity")[:3] == [("one", 1), ("two", 2), ("three", 3)]
    assert len(SHOP.spoken_values("quantity")) == 20


def test_numbers_are_spelled_for_speech():
    assert [spell_number(n) for n in (0, 34, 1_250)] == [
        "zero",
        "thirty four",
        "one thousand two hundred fifty",
    ]
    assert spell_digits("10-023") == "one zero zero two three"


def broken(**changes: Any) -> dict[str, Any]:
    return {
        "language": "en",
        "intents": {"Go": {"data": [{"sentences": ["go {where}"]}]}},
        "lists": {"where": {"values": ["home"]}},
        **changes,
    }


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (None, "must be a mapping"),
        ([], "must be a mapping"),
        (broken(language=None), "language: must be"),
        (broken(intents={}), "intents: must be"),
        (broken(intents={True: {"data": []}}), "intents.True: YAML reads Yes/On as a boolean"),
        (broken(intents={"Go": {}}), "intents.Go: must have `data`"),
        (broken(intents={"Go": {"data": [{"sentences": [3]}]}}), "3 is not text"),
        (
            broken(intents={"Go": {"data": [{"sentences": ["go ("]}]}}),
            "intents.Go.data[0].sentences[0]: 'go (' is not a template",
        ),
        (broken(intents={"Go": {"data": [{"sentences": ["<x> go"]}]}}), "<x> is not among"),
        (broken(lists={}), "{where} is not among the lists"),
        (broken(lists={"where": {}}), "lists.where: must have"),
        (broken(lists={"where": {"values": [7]}}), "lists.where: 7 is not a value"),
        (broken(lists={"where": {"values": []}}), "lists.where: has no values"),
        (broken(expansion_rules={"a": "<b>", "b": "<a>"}), "expansion_rules.a: refers to itself"),
        (broken(expansion_rules={"a": 5}), "expansion_rules.a: 5 is not text"),
    ],
)
def test_a_broken_file_is_refused_with_the_place_of_the_problem(raw: object, problem: str):
    with pytest.raises(ConfigurationError) as caught:
        SentenceSet.from_dict(raw, source="x.sentences.yaml")
    assert any(problem in p for p in caught.value.problems), caught.value.problems
    assert str(caught.value).startswith("x.sentences.yaml: ")


def test_all_problems_are_reported_at_once():
    raw = broken(
        intents={
            "Go": {"data": [{"sentences": ["go (", "<x>"]}]},
            "Stop": {"data": [{"sentences": ["stop {nowhere}"]}]},
        }
    )
    with pytest.raises(ConfigurationError) as caught:
        SentenceSet.from_dict(raw)
    assert len(caught.value.problems) == 3


def test_a_file_that_is_not_there_or_not_yaml_is_a_configuration_error(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        SentenceSet.load(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        SentenceSet.load(tmp_path / "bad.yaml")


def test_run_time_values_are_added_to_those_of_the_file():
    sentences = SentenceSet.from_dict(
        broken(), {"where": [Spoken("The-Office", "office"), Spoken("home", "elsewhere")]}
    )
    assert sentences.match("go the office") == Match("Go", {"where": "office"})
    assert sentences.match("go home") == Match("Go", {"where": "home"})
    assert sentences.spoken_values("where") == [("home", "home"), ("the office", "office")]


def test_the_file_is_a_standard_hassil_file():
    raw = yaml.safe_load((builtin_directory() / "shop.sentences.yaml").read_text())
    assert set(raw) == {"language", "lists", "expansion_rules", "intents"}
