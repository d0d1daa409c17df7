"""What the shipped model can do, capability by capability, and whether it heeds who does it.

`tests/behaviour/rates.py` says what the pairs are and how the floors are brought up to a new model.
"""

from __future__ import annotations

import json
from collections import Counter

import pytest
from behaviour import rates as behaviour_rates
from behaviour import swaps as behaviour_swaps
from behaviour.rates import FLOORS, PARTIES, Rate, floors_below, measure_rates, pooled, read_pairs
from behaviour.swaps import ACTORS, measure_swaps, read_carriers, with_actor
from conftest import ROOT, SEEDS

from stancewire import StanceClassifier

LIMITS = json.loads(FLOORS.read_text(encoding="utf-8"))
PAIRS = read_pairs()
SENTENCES = [sentence for pairs in PAIRS.values() for pair in pairs for sentence in pair.sentences]


@pytest.fixture(scope="module")
def rates() -> dict[str, Rate]:
    return measure_rates(StanceClassifier.load())


@pytest.fixture(scope="module")
def swaps() -> behaviour_swaps.Swaps:
    return measure_swaps(StanceClassifier.load())


@pytest.mark.parametrize("capability", [*PAIRS, PARTIES])
def test_a_capability_is_not_below_its_floor(rates, capability):
    assert rates[capability].share >= LIMITS["rates"][capability], rates[capability].failures


def test_all_pairs_together_are_not_below_their_floor(rates):
    assert pooled(rates) >= LIMITS["rates"]["all"]


def test_few_carriers_change_their_stances_with_the_actor(swaps):
    assert swaps.changed["any"].value <= LIMITS["changed_carriers"], swaps.changes


def test_every_capability_has_a_floor_and_a_dozen_pairs():
    assert set(LIMITS["rates"]) == {*PAIRS, PARTIES, "all"}
    assert min(len(pairs) for pairs in PAIRS.values()) >= 12
    assert min(len(pair.sentences) for pairs in PAIRS.values() for pair in pairs) >= 2


def test_every_sentence_says_what_it_must_hold_or_must_not():
    labels = frozenset(StanceClassifier.load().labels)

    assert all(sentence.must | sentence.must_not for sentence in SENTENCES)
    assert all(sentence.must | sentence.must_not <= labels for sentence in SENTENCES)
    assert not any(sentence.must & sentence.must_not for sentence in SENTENCES)


def test_parties_are_words_of_a_sentence_with_one_label():
    named = [sentence for sentence in SENTENCES if sentence.parties]

    assert all(party in sentence.text for sentence in named for party in sentence.parties)
    assert {len(sentence.must) for sentence in named} == {1}


def test_no_sentence_stands_twice():
    counts = Counter([*(sentence.text for sentence in SENTENCES), *read_carriers()])

    assert [text for text, count in counts.items() if count > 1] == []


def test_no_sentence_stands_in_the_corpus_or_the_codebook():
    lines = [line for path in SEEDS.glob("*/*.jsonl") for line in path.read_text("utf-8").splitlines()]
    corpus = {json.loads(line)["text"].casefold() for line in lines}
    codebook = (ROOT / "seeds" / "codebook.md").read_text(encoding="utf-8").casefold()
    swapped = [with_actor(carrier, actor) for carrier in read_carriers() for actor in ACTORS]

    ours = {text.casefold() for text in [*swapped, *(sentence.text for sentence in SENTENCES)]}

    assert ours & corpus == set()
    assert [text for text in ours if text in codebook] == []


def test_there_are_thirty_carriers_with_one_place_for_an_actor():
    places = [carrier.count("{actor}") + carrier.count("{actor's}") for carrier in read_carriers()]

    assert len(places) >= 30
    assert set(places) == {1}


def test_an_actor_is_put_in_as_a_writer_would():
    assert with_actor("{actor's} navy left.", "the United States") == "The United States' navy left."
    assert with_actor("They left {actor}.", "the United States") == "They left the United States."
    assert with_actor("{actor's} navy left.", "Iran") == "Iran's navy left."


def test_floors_are_one_pair_below_and_never_below_nothing():
    rates = {"good": Rate(16, 13, 32, ()), "hopeless": Rate(16, 0, 32, ())}

    assert floors_below(rates) == {"good": 0.75, "hopeless": 0.0, "all": 0.386}


def test_the_commands_end_in_a_line_of_json_and_write_the_floors(rates, swaps, tmp_path, monkeypatch, capsys):
    written = tmp_path / "floors.json"
    monkeypatch.setattr(behaviour_rates, "FLOORS", written)

    behaviour_rates.main(["--write-floors", "--failures"])
    pairs = capsys.readouterr().out
    behaviour_swaps.main(["--changes"])
    actors = capsys.readouterr().out

    assert json.loads(written.read_text("utf-8")) == {"rates": floors_below(rates)}
    assert json.loads(pairs.splitlines()[-1])["all"] == round(pooled(rates), 4)
    assert json.loads(actors.splitlines()[-1])["changed"]["any"][0] == round(swaps.changed["any"].value, 4)
