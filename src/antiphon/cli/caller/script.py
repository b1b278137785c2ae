"""A call from a list of utterances: what `antiphon call` and `antiphon demo` run."""

from dataclasses import dataclass
from pathlib import Path

from antiphon.cli.caller.call import ANSWER_TIMEOUT_S, Call, CallFailed, NoAnswer
from antiphon.cli.caller.codecs import CallerCodec
from antiphon.cli.caller.report import CallReport
from antiphon.cli.caller.sound import read_audio, shipped_audio, write_stereo, write_wav
from antiphon.cli.caller.view import CallView, latency_text
from antiphon.errors import AntiphonError

GREETING_TIMEOUT_S = 5.0
BARGE_IN_AFTER_S = 1.0


@dataclass(frozen=True)
class Script:
    """What to say, and how."""

    utterances: tuple[Path, ...]
    barge_in: bool = False
    """Speak over each answer instead of waiting for its end."""
    greeting: bool = True
    """Wait for the agent to greet first; one that does not is spoken to after 5 s."""
    save: Path | None = None
    """Where to write what the agent said (mono WAV, as heard)."""
    record: Path | None = None
    """Where to write both sides (stereo WAV: caller left, agent right)."""


@dataclass
class Outcome:
    """How a scripted call went."""

    report: CallReport
    error: AntiphonError | None = None

    @property
    def ok(self) -> bool:
        """Every utterance was answered."""
        return self.error is None


def utterance_path(name: str) -> Path:
    """A file, or the name of a shipped utterance.

    Raises:
        NotFound: neither is there.
    """
    path = Path(name)
    return path if path.suffix or path.exists() else shipped_audio(name)


async def run_script(
    script: Script,
    url: str,
    codec: CallerCodec,
    view: CallView,
    *,
    headers: dict[str, str] | None = None,
    answer_timeout_s: float = ANSWER_TIMEOUT_S,
) -> Outcome:
    """Place the call and say everything in turn; a failure of the call is in the outcome.

    Raises:
        NotFound, InvalidRequest: an utterance cannot be read; nothing has been dialled then.
    """
    audio = [(path.stem, read_audio(path, codec.sample_rate)) for path in script.utterances]
    keep = script.save is not None or script.record is not None
    call = Call(url, codec, headers=headers, listener=view.on_heard, keep_audio=keep)
    outcome = Outcome(call.report())
    try:
        async with call:
            view.watch(call)
            await _talk(script, call, audio, view, answer_timeout_s)
    except CallFailed as exc:
        outcome.error = exc
    finally:
        view.stop()
    outcome.report = call.report()
    _save(script, call)
    return outcome


async def _talk(
    script: Script,
    call: Call,
    audio: list[tuple[str, bytes]],
    view: CallView,
    answer_timeout_s: float,
) -> None:
    if script.greeting:
        try:
            if script.barge_in:
                await call.answer_begins(timeout_s=GREETING_TIMEOUT_S)
            else:
                await call.answer(timeout_s=GREETING_TIMEOUT_S)
        except NoAnswer:
            view.note("no greeting: the caller speaks first")
    for number, (label, pcm) in enumerate(audio, start=1):
        view.note(f"caller      {label}", "cyan")
        # There is something to speak over once the agent has begun to.
        if script.barge_in and call.ear.first_loud is not None:
            turn = await call.barge_in(
                pcm, label, after_s=BARGE_IN_AFTER_S, timeout_s=answer_timeout_s
            )
        else:
            turn = await call.say(pcm, label)
            await call.answer_begins(timeout_s=answer_timeout_s)
        if not script.barge_in or number == len(audio):
            await call.answer(timeout_s=answer_timeout_s)
        view.note(f"answered    {latency_text(turn)}")


def _save(script: Script, call: Call) -> None:
    if script.save is None and script.record is None:
        return
    caller, agent, rate = call.recording()
    if script.save is not None:
        write_wav(script.save, agent, rate)
    if script.record is not None:
        write_stereo(script.record, caller, agent, rate)
