"""Sentence templates: the one source of what the embedded agent hears and acts on.

An agent's `*.sentences.yaml` is a standard hassil intents file
(https://github.com/OHF-Voice/hassil#sentence-templates). The speech recognizer turns it into a
grammar, the dialogue engine matches transcripts and typed text against it. Lists that depend on
data, such as product names, are merged in when the agent is built.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, Self

import yaml
from hassil.expression import Expression, Group, ListReference, RuleReference, Sentence
from hassil.intents import Intents, RangeSlotList, SlotList, TextSlotList, TextSlotValue
from hassil.numbers import get_rbnf_engine
from hassil.parse_expression import parse_sentence
from hassil.parser import ParseError
from hassil.recognize import recognize
from hassil.sample import sample_expression
from hassil.util import is_template

from antiphon.errors import ConfigurationError

MAX_TEXT_CHARS = 300
"""Longer texts are never matched: no template is that long, and matching time grows with length."""

_CACHED_MATCHES = 512
_INLINE_RANGE = re.compile(r"^\d+\.\.\d+(,\d+)?$")
_LONG_NUMBER = re.compile(r"\d{3,}")
_DECORATION = re.compile(r"[^\w\s'-]|_")
_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9]*$")


class SpokenValue(Protocol):
    """One way to say a value of a list, and the value it stands for."""

    @property
    def text(self) -> str:
        """What is said, in plain words."""

    @property
    def value(self) -> str:
        """What it stands for."""


@dataclass(frozen=True, slots=True)
class Match:
    """A text understood: the intent and the values of its slots."""

    intent: str
    slots: Mapping[str, Any] = field(default_factory=dict)


class SentenceSet:
    """Validated templates with their lists filled in.

    Attributes:
        intents: The templates as hassil holds them, run-time lists included; the recognizer builds
            its grammar from `intents.intents`, `intents.expansion_rules` and `slot_lists`.
        source: Name of the file, for messages.
    """

    def __init__(self, intents: Intents, source: str = "sentences"):
        self.intents = intents
        self.source = source
        self._match = lru_cache(maxsize=_CACHED_MATCHES)(self._recognize)

    @classmethod
    def load(cls, path: Path, lists: Mapping[str, Sequence[SpokenValue]] | None = None) -> Self:
        """Read and check a sentences file.

        Args:
            path: The YAML file.
            lists: Values for lists named in the file, by list name (`ToolSet.slot_lists()`); they
                are added to the values that the file itself gives.

        Raises:
            ConfigurationError: The file cannot be used; every problem found is listed.
        """
        try:
            raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
            raise ConfigurationError([f"cannot be read: {exc}"], source=path.name) from exc
        return cls.from_dict(raw, lists, source=path.name)

    @classmethod
    def from_dict(
        cls,
        raw: object,
        lists: Mapping[str, Sequence[SpokenValue]] | None = None,
        *,
        source: str = "sentences",
    ) -> Self:
        """Check a parsed sentences file; see `load`."""
        problems = list(_shape_problems(raw))
        if problems or not isinstance(raw, dict):
            raise ConfigurationError(problems, source=source)
        rules, rule_problems = _parsed_rules(raw)
        problems += rule_problems
        problems += _sentence_problems(raw, rules, set(raw.get("lists") or {}) | set(lists or {}))
        if problems:
            raise ConfigurationError(problems, source=source)
        try:
            intents = Intents.from_dict({k: v for k, v in raw.items() if v is not None})
        except (KeyError, TypeError, ValueError, AssertionError, ParseError) as exc:
            raise ConfigurationError([f"hassil refuses it: {exc!r}"], source=source) from exc
        _merge_lists(intents, lists or {})
        if empty := _empty_lists(intents):
            raise ConfigurationError(
                [
                    f"lists.{name}: has no values; give some in the file or name, in the agent's "
                    "`tools`, a tool set that supplies this list"
                    for name in empty
                ],
                source=source,
            )
        sentences = cls(intents, source)
        sentences.match("1 warm up")  # hassil builds its indexes at first use: not on a call
        return sentences

    @property
    def language(self) -> str:
        """Language code of the templates."""
        return self.intents.language

    @property
    def slot_lists(self) -> Mapping[str, SlotList]:
        """Every list by name, run-time values included."""
        return self.intents.slot_lists

    @property
    def intent_names(self) -> frozenset[str]:
        """Names of all intents."""
        return frozenset(self.intents.intents)

    @property
    def rules(self) -> Mapping[str, Sentence]:
        """Every expansion rule by name."""
        return self.intents.expansion_rules

    def templates(self) -> Iterator[tuple[str, Sentence]]:
        """Each template with the name of its intent."""
        for name, intent in self.intents.intents.items():
            for block in intent.data:
                for sentence in block.sentences:
                    yield name, sentence

    def slot_names(self, intent: str) -> frozenset[str]:
        """Every slot that a match of `intent` may carry."""
        names: set[str] = set()
        for block in self.intents.intents[intent].data:
            names |= set(block.slots)
            for sentence in block.sentences:
                for node in _walk(sentence.expression, self.rules):
                    if isinstance(node, ListReference):
                        names.add(node.slot_name)
        return frozenset(names)

    def spoken_values(self, list_name: str) -> list[tuple[str, Any]]:
        """All ways to *say* the values of a list, numbers in words: `[("two", 2), …]`.

        Raises:
            KeyError: There is no such list.
        """
        return spoken_values(self.slot_lists[list_name], self.language)

    def match(self, text: str) -> Match | None:
        """The intent of a transcript or of typed text; None if no template matches the whole."""
        if len(text) > MAX_TEXT_CHARS:
            return None
        return self._match(normalize(text, self.language))

    def _recognize(self, text: str) -> Match | None:
        if not text:
            return None
        result = recognize(text, self.intents, language=self.language)
        if result is None:
            return None
        slots = {name: _plain(entity.value) for name, entity in result.entities.items()}
        return Match(result.intent.name, slots)


def normalize(text: str, language: str = "en") -> str:
    """Text as templates spell it: no decoration, lower case, long numbers digit by digit in words.

    "Where is order #10023?" becomes "where is order one zero zero two three", since order numbers
    are spoken digit by digit; numbers of one or two digits stay ("2 mugs").
    """

    def digits(found: re.Match[str]) -> str:
        return f" {spell_digits(found.group(), language)} "

    plain = _DECORATION.sub(" ", text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    plain = _LONG_NUMBER.sub(digits, plain.replace("-", " "))
    return " ".join(plain.lower().split())


def spell_number(number: int, language: str = "en") -> str:
    """A whole number in words without hyphens: 34 becomes "thirty four"."""
    words: str = get_rbnf_engine(language).format_number(number).text
    return words.replace("-", " ")


def spell_digits(number: str | int, language: str = "en") -> str:
    """Digits one by one in words: "105" becomes "one zero five"; other characters are left out."""
    return " ".join(spell_number(int(c), language) for c in str(number) if c.isdecimal())


def spoken_values(slot_list: SlotList, language: str = "en") -> list[tuple[str, Any]]:
    """All ways to say the values of a hassil list, numbers in words.

    Raises:
        ValueError: The list is a wildcard, which cannot be enumerated.
    """
    if isinstance(slot_list, TextSlotList):
        return [
            (" ".join(text.lower().split()), value.value_out)
            for value in slot_list.values
            for text in sample_expression(value.text_in)
        ]
    if isinstance(slot_list, RangeSlotList):
        return [(spell_number(int(n), language), int(n)) for n in slot_list.get_numbers()]
    raise ValueError(f"list {slot_list.name!r} is a wildcard and has no values to say")


def _plain(value: Any) -> Any:
    """Whole floats, as hassil gives numbers, as ints."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _walk(
    expression: Expression, rules: Mapping[str, Sentence], open_rules: tuple[str, ...] = ()
) -> Iterator[Expression]:
    """Every node of an expression, rules followed; a rule inside itself is not followed again."""
    yield expression
    if isinstance(expression, Group):
        for item in expression.items:
            yield from _walk(item, rules, open_rules)
    elif isinstance(expression, RuleReference):
        name = expression.rule_name
        if name in rules and name not in open_rules:
            yield from _walk(rules[name].expression, rules, (*open_rules, name))


def _merge_lists(intents: Intents, lists: Mapping[str, Sequence[SpokenValue]]) -> None:
    for name, values in lists.items():
        known = intents.slot_lists.get(name)
        kept = list(known.values) if isinstance(known, TextSlotList) else []
        added = TextSlotList.from_tuples(
            ((normalize(v.text, intents.language), v.value) for v in values), allow_template=False
        ).values
        seen: set[str] = set()
        unique: list[TextSlotValue] = []
        for value in (*kept, *added):
            key = str(value.text_in)
            if key not in seen:
                seen.add(key)
                unique.append(value)
        intents.slot_lists[name] = TextSlotList(name=name, values=unique)


def _empty_lists(intents: Intents) -> list[str]:
    used = {
        node.list_name
        for intent in intents.intents.values()
        for block in intent.data
        for sentence in block.sentences
        for node in _walk(sentence.expression, intents.expansion_rules)
        if isinstance(node, ListReference)
    }
    lists = ((name, intents.slot_lists.get(name)) for name in sorted(used))
    return [name for name, x in lists if isinstance(x, TextSlotList) and not x.values]


def _shape_problems(raw: object) -> Iterator[str]:
    if not isinstance(raw, dict):
        yield "must be a mapping with `language` and `intents`"
        return
    if not isinstance(raw.get("language"), str):
        yield "language: must be a language code such as `en`"
    for key in ("lists", "expansion_rules"):
        if not isinstance(raw.get(key) or {}, dict):
            yield f"{key}: must be a mapping"
    intents = raw.get("intents")
    if not isinstance(intents, dict) or not intents:
        yield "intents: must be a mapping with at least one intent"
        return
    for name, intent in intents.items():
        yield from _intent_shape_problems(name, intent)


def _intent_shape_problems(name: object, intent: object) -> Iterator[str]:
    if isinstance(name, bool):
        spelt = "Yes/On" if name else "No/Off"
        yield f"intents.{name}: YAML reads {spelt} as a boolean; call it Affirm or Deny"
        return
    if not isinstance(name, str) or not _NAME.match(name):
        yield f"intents.{name}: an intent's name must be letters and digits, e.g. ViewCart"
    blocks = intent.get("data") if isinstance(intent, dict) else None
    if not isinstance(blocks, list) or not blocks:
        yield f"intents.{name}: must have `data`, a list of blocks with `sentences`"
        return
    for i, block in enumerate(blocks):
        where = f"intents.{name}.data[{i}]"
        sentences = block.get("sentences") if isinstance(block, dict) else None
        if not isinstance(sentences, list) or not sentences:
            yield f"{where}.sentences: must be a list with at least one template"
        elif bad := [s for s in sentences if not isinstance(s, str) or not s.strip()]:
            yield f"{where}.sentences: {bad[0]!r} is not text; quote it"


def _parsed_rules(raw: dict[str, Any]) -> tuple[dict[str, Sentence], list[str]]:
    rules: dict[str, Sentence] = {}
    problems: list[str] = []
    for name, body in (raw.get("expansion_rules") or {}).items():
        where = f"expansion_rules.{name}"
        sentence, problem = _parse(body)
        if sentence is None:
            problems.append(f"{where}: {problem}")
        else:
            rules[name] = sentence
    problems += [
        f"expansion_rules.{name}: refers to itself; rules cannot be recursive"
        for name in rules
        if _is_recursive(name, rules)
    ]
    return rules, problems


def _parse(body: object) -> tuple[Sentence | None, str]:
    if not isinstance(body, str):
        return None, f"{body!r} is not text; quote it"
    try:
        return parse_sentence(body, keep_text=True), ""
    except (ParseError, ValueError, IndexError) as exc:
        return None, f"{body!r} is not a template: {exc}"


def _is_recursive(name: str, rules: Mapping[str, Sentence]) -> bool:
    return any(
        isinstance(node, RuleReference) and node.rule_name == name
        for node in _walk(rules[name].expression, rules)
    )


def _sentence_problems(
    raw: dict[str, Any], rules: Mapping[str, Sentence], lists: set[str]
) -> list[str]:
    problems = [
        f"expansion_rules.{name}: {problem}"
        for name, rule in rules.items()
        for problem in _reference_problems(rule, raw.get("expansion_rules") or {}, lists)
    ]
    for name, intent in raw["intents"].items():
        for i, block in enumerate(intent["data"]):
            for j, text in enumerate(block["sentences"]):
                where = f"intents.{name}.data[{i}].sentences[{j}]"
                sentence, problem = _parse(text)
                if sentence is None:
                    problems.append(f"{where}: {problem}")
                    continue
                known = {**(raw.get("expansion_rules") or {}), **block.get("expansion_rules", {})}
                local = lists | set(block.get("lists", {}))
                problems += [f"{where}: {p}" for p in _reference_problems(sentence, known, local)]
    for name, entry in (raw.get("lists") or {}).items():
        problems += [f"lists.{name}: {p}" for p in _list_problems(entry)]
    return problems


def _reference_problems(
    sentence: Sentence, rules: Mapping[str, Any], lists: set[str]
) -> Iterator[str]:
    for node in _walk(sentence.expression, {}):
        if isinstance(node, RuleReference) and node.rule_name not in rules:
            yield f"<{node.rule_name}> is not among the expansion_rules"
        elif (
            isinstance(node, ListReference)
            and node.list_name not in lists
            and not _INLINE_RANGE.match(node.list_name)
        ):
            yield f"{{{node.list_name}}} is not among the lists ({', '.join(sorted(lists))})"


def _list_problems(entry: object) -> Iterator[str]:
    if not isinstance(entry, dict) or not ({"values", "range", "wildcard"} & set(entry)):
        yield "must have `values`, `range` or `wildcard`"
        return
    for value in entry.get("values") or []:
        text = value.get("in") if isinstance(value, dict) else value
        if not isinstance(text, str) or not text.strip():
            yield f"{value!r} is not a value; write text or {{in: text, out: value}}"
        elif is_template(text):
            sentence, problem = _parse(text)
            if sentence is None:
                yield problem
