"""What each intent does and says: the `*.responses.yaml` file of an agent, checked and compiled.

Templates are Jinja2, sandboxed, with `slots` (of the sentence) and `result` (of the tool) and the
filters `spell` (34 to "thirty four"), `digits` ("1 0 0"), `money` (cents to words) and `listing`
("a, b and c"): what is said must be speakable, so numbers are words.
"""

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from antiphon.errors import ConfigurationError
from antiphon.services.embedded.sentences import SentenceSet, spell_digits, spell_number

logger = logging.getLogger(__name__)

TemplateText = Annotated[str, Field(min_length=1)]
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Call(_Strict):
    """A tool and its arguments: `{slot}` stands for a slot; without that slot it is left out."""

    tool: str = Field(description="Name of the tool.")
    arguments: dict[str, Any] = Field(default_factory=dict)

    def arguments_for(self, slots: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments, with the slots put in; a lone `{slot}` keeps the slot's type."""
        filled: dict[str, Any] = {}
        for name, value in self.arguments.items():
            names = _PLACEHOLDER.findall(value) if isinstance(value, str) else []
            if any(n not in slots for n in names):
                continue
            if names and value == f"{{{names[0]}}}":
                filled[name] = slots[names[0]]
            elif names:
                filled[name] = _PLACEHOLDER.sub(lambda found: str(slots[found[1]]), value)
            else:
                filled[name] = value
        return filled


class Check(Call):
    """A harmless call made before a confirmation is asked for."""

    blocked: str = Field("", description="Said instead of asking, if this renders to any text.")


class Reply(_Strict):
    """What one intent does and says."""

    say: TemplateText | None = Field(None, description="Said at once; no tool is called.")
    then: str | None = Field(
        None, description="Intent that a `refine` sentence completes after this `say`."
    )
    refine: bool = Field(
        False,
        description="If the agent has just asked for what this sentence names, its slots complete "
        "the intent that was asked about; else the reply is as usual.",
    )
    repeat: bool = Field(False, description="Say again what was said last; else `say`.")
    tool: str | None = Field(None, description="Tool to call.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="See `Call`.")
    check: Check | None = Field(None, description="Call made before `confirm` is asked.")
    confirm: TemplateText | None = Field(
        None, description="Yes/no question asked before the tool is called."
    )
    declined: TemplateText | None = Field(None, description="Said after a no.")
    ok: TemplateText | None = Field(None, description="Said when the tool succeeded.")
    errors: dict[str, TemplateText] = Field(
        default_factory=dict, description="Said when the tool failed, by its reason."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if bool(self.tool) == bool(self.say):
            raise ValueError("give either `say` or `tool`")
        if self.tool and not self.ok:
            raise ValueError("`ok` is needed: what to say when the tool succeeded")
        if self.confirm and not (self.tool and self.declined):
            raise ValueError("`confirm` needs `tool` and `declined`")
        if self.check and not self.confirm:
            raise ValueError("`check` needs `confirm`")
        return self

    @property
    def call(self) -> Call:
        """The tool call of the intent."""
        return Call(tool=self.tool or "", arguments=self.arguments)


class Money(_Strict):
    """How sums are spoken: singular and plural of the unit and of its hundredth."""

    unit: tuple[str, str] = ("dollar", "dollars")
    hundredth: tuple[str, str] = ("cent", "cents")
    joined_by: str = "and"


class ReplyFile(_Strict):
    """The responses file as written."""

    money: Money = Field(default_factory=Money)
    conjunction: str = Field("and", description="Between the last two items of a `listing`.")
    macros: str = Field("", description="Jinja2 macros that all templates may use.")
    affirm: str = Field(description="Intent that answers a confirmation with yes.")
    deny: str = Field(description="Intent that answers a confirmation with no.")
    fallback: list[TemplateText] = Field(
        min_length=1, description="Said when nothing was understood, in turn; the last repeats."
    )
    ask_again: TemplateText = Field(
        description="Said when a confirmation got no clear answer; `question` is what was asked."
    )
    errors: dict[str, TemplateText] = Field(
        description="Said when a tool failed with a reason the intent does not list; `default` "
        "must be among them."
    )
    keys: dict[str, TemplateText] = Field(
        default_factory=dict,
        description="What keys pressed on the telephone stand for: a pattern, in which `?` is any "
        "digit, to a sentence, in which `{digits}` is the digits as words. The first that fits.",
    )
    intents: dict[str, Reply]

    @model_validator(mode="after")
    def _has_default(self) -> Self:
        if "default" not in self.errors:
            raise ValueError("errors.default: is needed")
        return self


class Replies:
    """The compiled responses of an agent.

    Attributes:
        file: The responses as written.
    """

    def __init__(self, file: ReplyFile, language: str = "en", source: str = "responses"):
        self.file = file
        self.source = source
        self._language = language
        self._environment = _environment(file, language)
        self._templates: dict[str, Template] = {}

    @classmethod
    def load(cls, path: Path, sentences: SentenceSet, tools: Collection[str] | None = None) -> Self:
        """Read and check a responses file.

        Args:
            path: The YAML file.
            sentences: The templates whose intents it answers.
            tools: Names of the tools the agent has; None: not checked.

        Raises:
            ConfigurationError: The file cannot be used; every problem found is listed.
        """
        try:
            raw = yaml.safe_load(path.read_text(encoding="utf-8"))
            file = ReplyFile.model_validate(raw)
        except ValidationError as exc:
            problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors()]
            raise ConfigurationError(problems, source=path.name) from exc
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
            raise ConfigurationError([f"cannot be read: {exc}"], source=path.name) from exc
        replies = cls(file, sentences.language, path.name)
        problems = [
            *replies._template_problems(),
            *_intent_problems(file, sentences),
            *replies._key_problems(sentences),
        ]
        if tools is not None:
            problems += _tool_problems(file, tools)
        if problems:
            raise ConfigurationError(problems, source=path.name)
        return replies

    def render(self, text: str, **values: Any) -> str:
        """The text of a template, in one line; the default error if it cannot be rendered."""
        try:
            return self._render(text, **values)
        except (TemplateError, TypeError, ValueError, KeyError):
            logger.exception("%s: cannot be rendered: %s", self.source, text)
            return self._render(self.file.errors["default"])

    def sentence_for(self, keys: str) -> str | None:
        """The sentence that pressed keys stand for; None: they stand for none."""
        digits = keys.strip("#*")
        for pattern, sentence in self.file.keys.items():
            if digits.isdecimal() and fnmatchcase(digits, pattern):
                return sentence.replace("{digits}", spell_digits(digits, self._language))
        return None

    def outcome(self, reply: Reply, slots: Mapping[str, Any], result: Mapping[str, Any]) -> str:
        """What to say to a tool's result."""
        template = reply.ok if result.get("ok", True) else None
        if template is None:
            reason = str(result.get("error", "default"))
            shared = self.file.errors
            template = reply.errors.get(reason) or shared.get(reason) or shared["default"]
        return self.render(template, slots=slots, result=result)

    def _key_problems(self, sentences: SentenceSet) -> Iterator[str]:
        for pattern in self.file.keys:
            if not re.fullmatch(r"[0-9?]+", pattern):
                yield f"keys.{pattern}: is not made of digits and `?`"
                continue
            example = self.sentence_for(pattern.replace("?", "1")) or ""
            if sentences.match(example) is None:
                yield f"keys.{pattern}: no intent has the sentence {example!r}"

    def _render(self, text: str, **values: Any) -> str:
        return " ".join(self._compiled(text).render(**values).split())

    def _compiled(self, text: str) -> Template:
        template = self._templates.get(text)
        if template is None:
            template = self._environment.from_string(self.file.macros + text)
            self._templates[text] = template
        return template

    def by_tool(self, tool: str) -> Reply | None:
        """The first reply that calls `tool`, for calls that another language model began."""
        return next((r for r in self.file.intents.values() if r.tool == tool), None)

    def _template_problems(self) -> Iterator[str]:
        """Templates that do not compile, or need values that are not there when they are said.

        All of them stay compiled, so that no call waits for it.
        """
        for where, text in _templates(self.file):
            try:
                template = self._compiled(text)
                if where == "errors.default" or where.startswith("fallback"):
                    template.render()
                elif where == "ask_again":
                    template.render(question="")
            except TemplateError as exc:
                yield f"{where}: {exc}"


def _environment(file: ReplyFile, language: str) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)

    def spell(number: int) -> str:
        return spell_number(int(number), language)

    def counted(number: int, names: tuple[str, str]) -> str:
        return f"{spell(number)} {names[0] if number == 1 else names[1]}"

    def money(cents: int) -> str:
        units, rest = divmod(int(cents), 100)
        parts = [counted(units, file.money.unit)] if units or not rest else []
        if rest:
            parts.append(counted(rest, file.money.hundredth))
        return f" {file.money.joined_by} ".join(parts)

    def listing(items: list[str], conjunction: str = file.conjunction) -> str:
        items = [str(item) for item in items]
        if len(items) < 2:
            return "".join(items)
        return f"{', '.join(items[:-1])} {conjunction} {items[-1]}"

    environment.filters.update(
        spell=spell, digits=lambda n: spell_digits(n, language), money=money, listing=listing
    )
    return environment


def _templates(file: ReplyFile) -> Iterator[tuple[str, str]]:
    yield "macros", ""
    yield "ask_again", file.ask_again
    yield from ((f"fallback[{i}]", text) for i, text in enumerate(file.fallback))
    yield from ((f"errors.{reason}", text) for reason, text in file.errors.items())
    for name, reply in file.intents.items():
        where = f"intents.{name}"
        for key in ("say", "confirm", "declined", "ok"):
            if text := getattr(reply, key):
                yield f"{where}.{key}", text
        if reply.check:
            yield f"{where}.check.blocked", reply.check.blocked
        yield from ((f"{where}.errors.{r}", text) for r, text in reply.errors.items())


def _intent_problems(file: ReplyFile, sentences: SentenceSet) -> Iterator[str]:
    known = sentences.intent_names
    for name in sorted(known - file.intents.keys()):
        yield f"intents.{name}: is in {sentences.source} and has no reply"
    for name in sorted(file.intents.keys() - known):
        yield f"intents.{name}: is not among the intents of {sentences.source}"
    for key, name in (("affirm", file.affirm), ("deny", file.deny)):
        if name not in known:
            yield f"{key}: {name!r} is not among the intents of {sentences.source}"
    for name in sorted(file.intents.keys() & known):
        reply = file.intents[name]
        if reply.then and reply.then not in known:
            yield f"intents.{name}.then: {reply.then!r} is not among the intents"
        yield from _slot_problems(name, reply, sentences.slot_names(name))


def _slot_problems(intent: str, reply: Reply, slots: Collection[str]) -> Iterator[str]:
    for call in filter(None, (reply.check, reply.call if reply.tool else None)):
        for argument, value in call.arguments.items():
            for slot in _PLACEHOLDER.findall(value) if isinstance(value, str) else []:
                if slot not in slots:
                    yield (
                        f"intents.{intent}.arguments.{argument}: no sentence of {intent} has a "
                        f"slot {slot!r}"
                    )


def _tool_problems(file: ReplyFile, tools: Collection[str]) -> list[str]:
    named = [(f"intents.{n}.tool", r.tool) for n, r in file.intents.items() if r.tool]
    named += [(f"intents.{n}.check.tool", r.check.tool) for n, r in file.intents.items() if r.check]
    return [
        f"{where}: the agent has no tool {tool!r}; it has {', '.join(sorted(tools)) or 'none'}"
        for where, tool in named
        if tool not in tools
    ]
