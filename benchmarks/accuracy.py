"""How well the embedded recognizer hears the shop agent's callers, and what it costs.

    python -m benchmarks.accuracy [--tune] [--voices N] [--write docs/embedded-accuracy.md]

Synthetic voices say sentences that follow the templates, sentences that have nothing to do with the
shop, and paraphrases, each clean, in noise and through a telephone. Every voice in every condition
is one call: 100 ms pieces, what is learnt about the channel kept. The words are the same on every
machine; only times differ. `--tune` runs other sentences and prints what each rejection threshold
would do: the threshold is chosen there and never on the sentences of the table.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from antiphon.agents.loader import builtin_directory, load_agent
from antiphon.services.embedded.conditioning import Conditioner
from antiphon.services.embedded.decoder import SAMPLE_RATE
from antiphon.services.embedded.grammar import sample_sentences
from antiphon.services.embedded.recognizer_model import Channel, RecognizerModel
from antiphon.services.embedded.rejector import (
    AGREEMENT_THRESHOLD,
    NARROW_BAND_THRESHOLD,
    Hypothesis,
)
from antiphon.services.embedded.sentences import SentenceSet
from antiphon.tools.registry import build_toolsets
from benchmarks.accuracy_audio import CONDITIONS, available_voices, say
from benchmarks.accuracy_corpus import (
    IN_TEMPLATE,
    OUT_OF_DOMAIN,
    PARAPHRASES,
    TUNING_OUT_OF_DOMAIN,
    TUNING_SEED,
    TUNING_SENTENCES,
)

IN, OUT, NEAR = "in", "out", "near"
PARTS, TUNING_PARTS = 2, 8
"""A voice says one of so many parts of the sentences: espeak's and flite's each say all twice."""
PIECE_BYTES = SAMPLE_RATE // 10 * 2
SOURCE_RATES = {"telephone": 8_000}
"""What the transport knows about the caller's audio; elsewhere it is wide-band."""

Corpus = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Heard:
    """One utterance as it was recognized."""

    condition: str
    voice: str
    kind: str
    said: str
    hypothesis: Hypothesis
    heard_right: bool
    """The grammar's sentence has the intent of what was said, rejected or not."""
    intent_right: bool
    slots_right: bool
    audio_s: float
    busy_s: float
    finish_s: float


def shop_sentences() -> SentenceSet:
    """The shop's templates with the lists of its database."""
    agent = load_agent(builtin_directory() / "shop.yaml")

    async def lists() -> dict[str, object]:
        with tempfile.TemporaryDirectory() as directory:
            sets = build_toolsets(
                agent.definition.tools, data_dir=Path(directory), agent_dir=agent.directory
            )
            for toolset in sets:
                await toolset.open()
            found = {k: v for toolset in sets for k, v in toolset.slot_lists().items()}
            for toolset in sets:
                await toolset.close()
            return found

    assert agent.sentences_path is not None
    return SentenceSet.load(agent.sentences_path, asyncio.run(lists()))


def corpus(sentences: SentenceSet, *, tuning: bool) -> Corpus:
    """What is said: kind and text."""
    if tuning:
        sampled = sample_sentences(sentences.intents, TUNING_SENTENCES, TUNING_SEED)
        said = [(IN, " ".join(words)) for words in sampled]
        return said + [(OUT, text) for text in TUNING_OUT_OF_DOMAIN]
    if foreign := [text for text in IN_TEMPLATE if sentences.match(text) is None]:
        sys.exit(f"not in the templates any more: {foreign}")
    if known := [t for t in OUT_OF_DOMAIN + PARAPHRASES if sentences.match(t) is not None]:
        sys.exit(f"in the templates by now: {known}")
    return (
        [(IN, text) for text in IN_TEMPLATE]
        + [(OUT, text) for text in OUT_OF_DOMAIN]
        + [(NEAR, text) for text in PARAPHRASES]
    )


def one_call(
    model: RecognizerModel,
    sentences: SentenceSet,
    voice: tuple[str, str, int],
    condition: str,
    said: Corpus,
) -> list[Heard]:
    """A voice saying everything, kinds mixed, on one channel."""
    rng = np.random.default_rng(7)
    channel = Channel(Conditioner(SAMPLE_RATE, SOURCE_RATES.get(condition, SAMPLE_RATE)))
    pair = model.open()
    heard = []
    for index in rng.permutation(len(said)):
        kind, text = said[index]
        pcm = CONDITIONS[condition](say(*voice, text), rng)
        busy, start = 0.0, time.thread_time()
        pair.begin(channel)
        for at in range(0, len(pcm), PIECE_BYTES):
            pair.feed(pcm[at : at + PIECE_BYTES])
            pair.partial()
        busy = time.thread_time() - start
        hypothesis = pair.finish()
        finish = time.thread_time() - start - busy
        gold, best = sentences.match(text), sentences.match(hypothesis.text)
        got = None if hypothesis.rejected else best
        heard_right, intent_right = (
            (gold and gold.intent) == (found and found.intent) for found in (best, got)
        )
        name = " ".join(voice[:2])
        heard.append(
            Heard(
                condition, name, kind, text, hypothesis, heard_right, intent_right, gold == got,
                len(pcm) / 2 / SAMPLE_RATE, busy + finish, finish,
            )
        )  # fmt: skip
    pair.close()
    return heard


def run(
    sentences: SentenceSet, said: Corpus, voices: Iterable[tuple[str, str, int]], parts: int
) -> list[Heard]:
    """Every voice saying its part in every condition, two calls at a time."""
    model = RecognizerModel(sentences.intents)
    heard: list[Heard] = []
    with ThreadPoolExecutor(2) as threads:
        calls = [
            threads.submit(
                one_call, model, sentences, voice, condition, said[number % parts :: parts]
            )
            for condition in CONDITIONS
            for number, voice in enumerate(voices)
        ]
        for done, call in enumerate(calls, start=1):
            heard += call.result()
            print(f"{done} of {len(calls)} calls", file=sys.stderr, flush=True)
    model.close()
    return heard


def share(values: Iterable[bool]) -> float:
    """Percent of true values."""
    taken = list(values)
    return 100 * sum(taken) / len(taken) if taken else float("nan")


def table(heard: list[Heard], by: str) -> Iterator[str]:
    """Rows of Markdown, one for each value of the field `by` (and condition)."""
    yield (
        "| condition | voice | heard % | intent % | slots % | rejected % | wrong % | "
        "out of domain rejected % | paraphrases rejected % | RTF |"
    )
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for condition in CONDITIONS:
        here = [h for h in heard if h.condition == condition]
        for name in dict.fromkeys(h.voice for h in here) if by == "voice" else ["all"]:
            rows = [h for h in here if name in ("all", h.voice)]
            said = [h for h in rows if h.kind == IN]
            rejected = [h.hypothesis.rejected for h in said]
            wrong = [not h.intent_right and not h.hypothesis.rejected for h in said]
            cells = [
                share(h.heard_right for h in said),
                share(h.intent_right for h in said),
                share(h.slots_right for h in said),
                share(rejected),
                share(wrong),
                share(h.hypothesis.rejected for h in rows if h.kind == OUT),
                share(h.hypothesis.rejected for h in rows if h.kind == NEAR),
            ]
            rtf = sum(h.busy_s for h in rows) / sum(h.audio_s for h in rows)
            yield f"| {condition} | {name} | {' | '.join(f'{c:.1f}' for c in cells)} | {rtf:.3f} |"


def thresholds(heard: list[Heard]) -> Iterator[str]:
    """What each threshold would do to correctly heard, wrongly heard and foreign speech."""
    yield "| condition | threshold | right kept % | wrong kept % | out of domain rejected % |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for condition in CONDITIONS:
        here = [h for h in heard if h.condition == condition]
        for threshold in np.arange(0.30, 0.65, 0.02):
            kept = [h for h in here if h.hypothesis.agreement >= threshold]
            said = [h for h in here if h.kind == IN]
            right = [h for h in said if h.heard_right]
            cells = (
                share(h.hypothesis.agreement >= threshold for h in right),
                100 * sum(h.kind == IN and not h.heard_right for h in kept) / len(said),
                share(h.hypothesis.agreement < threshold for h in here if h.kind == OUT),
            )
            yield f"| {condition} | {threshold:.2f} | {' | '.join(f'{c:.1f}' for c in cells)} |"


def report(heard: list[Heard]) -> str:
    """The table for people."""
    middle, most = np.percentile([h.finish_s * 1000 for h in heard], (50, 95))
    chosen = f"Threshold {AGREEMENT_THRESHOLD}, by telephone {NARROW_BAND_THRESHOLD}"
    parts = [
        f"{chosen}; {len(heard)} utterances.",
        "",
        *table(heard, "all"),
        "",
        f"End of audio to transcript, CPU: p50 {middle:.1f} ms, p95 {most:.1f} ms.",
        "",
        *table(heard, "voice"),
    ]
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tune", action="store_true", help="run the tuning sentences")
    parser.add_argument("--voices", type=int, default=99, help="only the first so many voices")
    parser.add_argument("--write", type=Path, help="replace the table in this Markdown file")
    parser.add_argument("--errors", action="store_true", help="print what was heard wrongly")
    options = parser.parse_args()
    sentences = shop_sentences()
    heard = run(
        sentences,
        corpus(sentences, tuning=options.tune),
        available_voices(tuning=options.tune)[: options.voices],
        TUNING_PARTS if options.tune else PARTS,
    )
    if options.tune:
        print("\n".join(thresholds(heard)), end="\n\n")
    text = report(heard)
    print(text)
    if options.errors:
        for h in heard:
            if not (h.slots_right if h.kind == IN else h.hypothesis.rejected):
                print(
                    f"{h.condition:18} {h.voice:14} {h.kind:4} {h.hypothesis.agreement:.2f} "
                    f"{h.said!r} -> {h.hypothesis.text!r} / {h.hypothesis.open_text!r}"
                )
    if options.write:
        begin, end = "<!-- measured -->", "<!-- /measured -->"
        page = options.write.read_text(encoding="utf-8")
        head, _, rest = page.partition(begin)
        _, _, tail = rest.partition(end)
        options.write.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
