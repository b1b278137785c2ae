"""The dialogue policy: from the messages of a conversation to the next action."""

import json
from pathlib import Path
from typing import Any

import pytest

from antiphon.errors import ConfigurationError
from antiphon.services.embedded.dialogue import ASK_LIMIT, Action, CallTool, Dialogue, Say
from antiphon.services.embedded.replies import Replies, ReplyFile
from antiphon.services.embedded.sentences import SentenceSet

SENTENCES: dict[str, Any] = {
    "language": "en",
    "lists": {
        "plant": {"values": ["rose", "fern", {"in": "flower", "out": "flower"}]},
        "count": {"range": {"from": 1, "to": 9}},
    },
    "intents": {
        "Water": {"data": [{"sentences": ["water [{count}] {plant}", "water"]}]},
        "Burn": {"data": [{"sentences": ["burn [the] {plant}"]}]},
        "Weed": {"data": [{"sentences": ["weed"]}]},
        "Pick": {"data": [{"sentences": ["[the] {plant}"]}]},
        "What": {"data": [{"sentences": ["water something"]}]},
        "Again": {"data": [{"sentences": ["again"]}]},
        "Affirm": {"data": [{"sentences": ["yes"]}]},
        "Deny": {"data": [{"sentences": ["no"]}]},
    },
}
RESPONSES: dict[str, Any] = {
    "affirm": "Affirm",
    "deny": "Deny",
    "fallback": ["What?", "Sorry, what?"],
    "ask_again": "Yes or no? {{ question }}",
    "errors": {"default": "It failed.", "timed_out": "It took too long."},
    "keys": {"1": "yes", "0": "weed", "?": "water {digits} rose"},
    "intents": {
        "Water": {
            "tool": "water",
            "arguments": {"plant": "{plant}", "times": "{count}", "note": "a {plant}", "n": 3},
            "ok": "Watered the {{ result.plant }}.",
            "errors": {"which": "Which one: {{ result.matches | listing('or') }}?"},
        },
        "Burn": {
            "tool": "burn",
            "arguments": {"plant": "{plant}"},
            "check": {
                "tool": "look",
                "arguments": {"plant": "{plant}"},
                "blocked": "{% if result.burnt %}It is burnt already.{% endif %}",
            },
            "confirm": "Shall I burn the {{ slots.plant }} worth {{ result.cents | money }}?",
            "declined": "The {{ slots.plant }} stays.",
            "ok": "It burns.",
            "errors": {"no_plant": "There is none."},
        },
        "Weed": {
            "tool": "weed",
            "confirm": "Shall I really pull out all of the weeds now?",
            "declined": "I leave the weeds.",
            "ok": "Done.",
        },
        "Pick": {"refine": True, "tool": "look", "arguments": {"plant": "{plant}"}, "ok": "Nice."},
        "What": {"say": "Water what?", "then": "Water"},
        "Again": {"repeat": True, "say": "I said nothing."},
        "Affirm": {"say": "Yes to what?"},
        "Deny": {"say": "Fine."},
    },
}

SENTENCE_SET = SentenceSet.from_dict(SENTENCES)
DIALOGUE = Dialogue(SENTENCE_SET, Replies(ReplyFile.model_validate(RESPONSES)))
WEED_QUESTION = Say("Shall I really pull out all of the weeds now?")


class Talk:
    """A conversation as Pipecat's context holds it."""

    def __init__(self) -> None:
        self.messages: list[Any] = [{"role": "system", "content": "You are a gardener."}]
        self._calls = 0

    @property
    def next(self) -> Action | None:
        return DIALOGUE.decide(self.messages)

    def hears(self, text: str) -> "Talk":
        self.messages.append({"role": "user", "content": text})
        return self

    def says(self, text: str | None = None) -> "Talk":
        """The agent speaks: `text`, or all of what it was to say."""
        if text is None:
            action = self.next
            assert isinstance(action, Say)
            text = action.text
        self.messages.append({"role": "assistant", "content": text})
        return self

    def calls(self, name: str | None = None) -> "Talk":
        action = self.next
        if name is None:
            assert isinstance(action, CallTool)
            name = action.name
        self._calls += 1
        function = {"name": name, "arguments": "{}"}
        call = {"id": str(self._calls), "type": "function", "function": function}
        self.messages.append({"role": "assistant", "tool_calls": [call]})
        self.messages.append(
            {"role": "tool", "tool_call_id": str(self._calls), "content": "IN_PROGRESS"}
        )
        return self

    def gets(self, result: Any, call: int | None = None) -> "Talk":
        wanted = str(call or self._calls)
        [message] = [m for m in self.messages if m.get("tool_call_id") == wanted]
        message["content"] = result if isinstance(result, str) else json.dumps(result)
        return self


def asked_to_weed() -> Talk:
    return Talk().hears("weed").says()


def test_nothing_said_nothing_done():
    assert Talk().next is None
    assert Talk().hears("water rose").says("Watered the rose.").next is None


def test_an_intent_calls_its_tool_with_the_slots_and_leaves_out_what_was_not_said():
    assert Talk().hears("Water rose!").next == CallTool(
        "water", {"plant": "rose", "note": "a rose", "n": 3}
    )
    assert Talk().hears("water two rose").next == CallTool(
        "water", {"plant": "rose", "times": 2, "note": "a rose", "n": 3}
    )


def test_a_running_call_is_waited_for_and_its_result_is_told():
    talk = Talk().hears("water rose").calls()
    assert talk.next is None
    assert talk.gets({"ok": True, "plant": "rose"}).next == Say("Watered the rose.")


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"ok": False, "error": "which", "matches": ["rose", "fern"]}, "Which one: rose or fern?"),
        ({"ok": False, "error": "unheard_of"}, "It failed."),
        ({"error": "no ok at all"}, "It failed."),
        ("CANCELLED", "It took too long."),
        ('"The function `water` failed and returned no result."', "It failed."),
        ('"The function `water` is not currently available."', "It failed."),
        ({"ok": True}, "It failed."),  # the reply needs `plant`: reported, not raised
        ({"plant": "fern"}, "Watered the fern."),
    ],
)
def test_every_outcome_of_a_tool_has_an_answer(result: Any, text: str):
    assert Talk().hears("water rose").calls().gets(result).next == Say(text)


def test_a_destructive_intent_is_asked_first_and_done_after_a_yes():
    talk = Talk().hears("weed")
    assert talk.next == WEED_QUESTION
    assert talk.says().hears("yes").next == CallTool("weed", {})
    assert talk.calls().gets({"ok": True}).next == Say("Done.")


def test_a_no_leaves_everything_as_it_is():
    talk = asked_to_weed().hears("no")
    assert talk.next == Say("I leave the weeds.")
    assert talk.says().hears("yes").next == Say("Yes to what?"), "the question is answered"


def test_a_yes_out_of_the_blue_does_nothing():
    assert Talk().hears("yes").next == Say("Yes to what?")
    assert Talk().says("Hello.").hears("yes").next == Say("Yes to what?")


def test_an_unclear_answer_is_asked_again_and_given_up_in_the_end():
    talk = asked_to_weed()
    for _ in range(ASK_LIMIT - 1):
        assert talk.hears("[unclear] yes").next == Say(f"Yes or no? {WEED_QUESTION.text}")
        talk.says()
    assert talk.hears("mumble").next == Say("I leave the weeds.")
    assert talk.says().hears("yes").next == Say("Yes to what?")


def test_a_yes_after_asking_again_counts():
    talk = asked_to_weed().hears("mumble").says()
    assert talk.hears("yes").next == CallTool("weed", {})


def test_asking_to_repeat_the_question_keeps_it_open():
    talk = asked_to_weed().hears("again")
    assert talk.next == WEED_QUESTION
    assert talk.says().hears("yes").next == CallTool("weed", {})


def test_another_request_drops_the_question():
    talk = asked_to_weed().hears("water rose")
    assert isinstance(talk.next, CallTool)
    talk.calls().gets({"ok": True, "plant": "rose"}).says()
    assert talk.hears("yes").next == Say("Yes to what?")


@pytest.mark.parametrize(
    ("heard", "done"),
    [
        ("Shall I really pull out all of", True),
        ("Shall I really pull out", False),
        ("Shall", False),
        (None, False),
    ],
)
def test_a_yes_counts_only_if_most_of_the_question_was_heard(heard: str | None, done: bool):
    talk = Talk().hears("weed")
    if heard:
        talk.says(heard)
    talk.hears("yes")
    assert talk.next == (CallTool("weed", {}) if done else WEED_QUESTION)
    if not done:
        assert talk.says().hears("yes").next == CallTool("weed", {})


def test_a_no_counts_however_little_was_heard():
    assert Talk().hears("weed").says("Shall").hears("no").next == Say("I leave the weeds.")


def test_a_question_survives_a_resumed_call():
    talk = asked_to_weed().says("Sorry, we were cut off. Let's go on.")
    assert talk.hears("yes").next == CallTool("weed", {})


def test_a_check_comes_before_the_question_and_feeds_it():
    talk = Talk().hears("burn the fern")
    assert talk.next == CallTool("look", {"plant": "fern"})
    talk.calls().gets({"ok": True, "burnt": False, "cents": 1250})
    assert talk.next == Say("Shall I burn the fern worth twelve dollars and fifty cents?")
    assert talk.says().hears("yes").next == CallTool("burn", {"plant": "fern"})
    assert talk.calls().gets({"ok": True}).next == Say("It burns.")


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"ok": True, "burnt": True}, "It is burnt already."),
        ({"ok": False, "error": "no_plant"}, "There is none."),
        ("CANCELLED", "It took too long."),
    ],
)
def test_a_check_that_stands_in_the_way_asks_nothing(result: Any, text: str):
    talk = Talk().hears("burn the fern").calls().gets(result)
    assert talk.next == Say(text)
    assert talk.says().hears("yes").next == Say("Yes to what?")


def test_a_failed_intent_is_completed_by_what_was_asked_for():
    which = {"ok": False, "error": "which", "matches": ["rose", "fern"]}
    talk = Talk().hears("water three flower").calls().gets(which).says()
    assert talk.hears("the fern").next == CallTool(
        "water", {"plant": "fern", "times": 3, "note": "a fern", "n": 3}
    )
    talk.calls().gets({"ok": True, "plant": "fern"}).says()
    assert talk.hears("the rose").next == CallTool("look", {"plant": "rose"})


def test_a_question_without_a_tool_is_completed_too():
    talk = Talk().hears("water something").says()
    assert talk.hears("rose").next == CallTool("water", {"plant": "rose", "note": "a rose", "n": 3})


def test_misunderstandings_escalate_and_are_forgotten_after_success():
    talk = Talk().hears("blah")
    assert talk.next == Say("What?")
    for _ in range(2):
        assert talk.says().hears("[unclear] weed").next == Say("Sorry, what?")
    talk.says().hears("water something").says()
    assert talk.hears("blah").next == Say("What?")


def test_what_was_said_last_is_repeated():
    assert Talk().hears("again").next == Say("I said nothing.")
    assert Talk().says("Hello there.").hears("again").next == Say("Hello there.")


def test_an_interrupted_call_is_dropped_for_what_the_caller_said():
    talk = Talk().hears("water rose").calls().gets("CANCELLED").hears("weed")
    assert talk.next == WEED_QUESTION


def test_a_result_that_comes_late_is_told_after_the_answer():
    talk = Talk().hears("weed").says().hears("yes").calls()
    running = {"type": "async_tool", "status": "running", "tool_call_id": "1"}
    talk.gets(running)
    assert talk.next is None
    talk.hears("blah")
    finished = {**running, "status": "finished", "result": json.dumps({"ok": True})}
    talk.messages.append({"role": "developer", "content": json.dumps(finished)})
    assert talk.next == Say("What? Done.")


def test_words_spoken_while_a_call_ran_do_not_hide_its_result():
    talk = Talk().hears("water rose").calls()
    talk.says("One moment.").gets({"ok": True, "plant": "rose"})
    assert talk.next == Say("Watered the rose.")


@pytest.mark.parametrize(
    ("keys", "action"),
    [
        ("0", WEED_QUESTION),
        ("0#", WEED_QUESTION),
        ("4#", CallTool("water", {"plant": "rose", "times": 4, "note": "a rose", "n": 3})),
        ("44", Say("What?")),
        ("#", Say("What?")),
    ],
)
def test_pressed_keys_stand_for_sentences(keys: str, action: Action):
    assert Talk().hears(f"DTMF: {keys}").next == action


def test_a_question_can_be_answered_by_a_key():
    assert asked_to_weed().hears("DTMF: 1").next == CallTool("weed", {})


def test_calls_of_another_model_are_answered_too():
    """Fail-over: this engine takes over while calls of another model run."""
    talk = Talk().hears("kindly give my rose a drink and then look at it").calls("water")
    talk.calls("look").calls("dance")
    talk.gets({"ok": True, "plant": "rose"}, 1).gets({"ok": True}, 2).gets({"ok": True}, 3)
    assert talk.next == Say("Watered the rose. Nice.")


def test_a_confirmation_in_other_words_is_not_taken_for_ours():
    talk = Talk().hears("weed").says("Hm, you want me to start weeding?")
    assert talk.hears("yes").next == WEED_QUESTION


def test_a_new_prompt_changes_nothing():
    talk = asked_to_weed()
    talk.messages[0] = {"role": "system", "content": "You are a pirate."}
    assert talk.hears("yes").next == CallTool("weed", {})


def test_messages_it_cannot_read_are_skipped():
    talk = Talk()
    talk.messages += [object(), {"role": "developer", "content": "Be nice."}, {"role": "tool"}]
    talk.messages.append({"role": "user", "content": [{"type": "text", "text": "weed"}]})
    assert talk.next == WEED_QUESTION


def test_the_same_messages_always_give_the_same_action():
    talk = asked_to_weed().hears("yes")
    before = json.dumps(talk.messages)
    assert talk.next == talk.next
    assert json.dumps(talk.messages) == before


def changed(**changes: Any) -> dict[str, Any]:
    return {**RESPONSES, **changes}


def with_intent(name: str, reply: Any) -> dict[str, Any]:
    return changed(intents={**RESPONSES["intents"], name: reply})


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (changed(errors={}), "errors.default: is needed"),
        (changed(fallback=[]), "fallback"),
        (changed(fallback=["{{ what }}"]), "fallback[0]: 'what' is undefined"),
        (changed(affirm="Si"), "affirm: 'Si' is not among the intents"),
        (with_intent("Weed", {"say": "{{ oops"}), "intents.Weed.say:"),
        (with_intent("Weed", {"tool": "weed"}), "`ok` is needed"),
        (with_intent("Weed", {}), "either `say` or `tool`"),
        (with_intent("Weed", {"say": "a", "tol": "b"}), "intents.Weed.tol"),
        (with_intent("Weed", {"tool": "w", "ok": "a", "confirm": "b"}), "`declined`"),
        (with_intent("Dance", {"say": "a"}), "intents.Dance: is not among the intents"),
        (with_intent("What", {"say": "a", "then": "Fly"}), "intents.What.then: 'Fly'"),
        (
            with_intent("Weed", {"tool": "weed", "ok": "a", "arguments": {"x": "{plant}"}}),
            "intents.Weed.arguments.x: no sentence of Weed has a slot 'plant'",
        ),
        (with_intent("Weed", {"tool": "mow", "ok": "a"}), "the agent has no tool 'mow'"),
        (changed(keys={"1x": "yes"}), "keys.1x: is not made of digits"),
        (changed(keys={"?": "fly {digits}"}), "keys.?: no intent has the sentence 'fly one'"),
    ],
)
def test_a_broken_responses_file_is_refused(tmp_path: Path, raw: Any, problem: str):
    path = tmp_path / "x.responses.yaml"
    path.write_text(json.dumps(raw))
    with pytest.raises(ConfigurationError) as caught:
        Dialogue.load(SENTENCE_SET, path, tools={"water", "burn", "look", "weed"})
    assert any(problem in p for p in caught.value.problems), caught.value.problems
    assert caught.value.source == "x.responses.yaml"


def test_intents_without_a_reply_are_named(tmp_path: Path):
    path = tmp_path / "x.responses.yaml"
    path.write_text(json.dumps(changed(intents={"Affirm": {"say": "a"}, "Deny": {"say": "b"}})))
    with pytest.raises(ConfigurationError) as caught:
        Dialogue.load(SENTENCE_SET, path)
    assert len(caught.value.problems) == 6
    assert "intents.Water: is in sentences and has no reply" in caught.value.problems


def test_templates_cannot_reach_into_the_program():
    raw = with_intent("What", {"say": "{{ ''.__class__.__mro__ }}"})
    replies = Replies(ReplyFile.model_validate(raw))
    talk = Talk().hears("water something")
    assert Dialogue(SENTENCE_SET, replies).decide(talk.messages) == Say("It failed.")


@pytest.mark.parametrize(
    ("cents", "words"),
    [
        (0, "zero dollars"),
        (1, "one cent"),
        (100, "one dollar"),
        (3400, "thirty four dollars"),
        (12345, "one hundred twenty three dollars and forty five cents"),
    ],
)
def test_money_is_spoken(cents: int, words: str):
    assert DIALOGUE.replies.render("{{ cents | money }}", cents=cents) == words
