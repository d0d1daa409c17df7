"""Fuzz the cutting of a text into sentences, and what else is read of a text before it is scored."""

from __future__ import annotations

from itertools import pairwise

from harness import main, text_of


def one_input(data: bytes) -> None:
    """Nothing is lost, offsets slice back, and date and language are found or not."""
    from stancewire.dates import find_date
    from stancewire.language import detect_language
    from stancewire.segmentation import segment, split_sentences, unwrap, unwrapped_offsets

    text = text_of(data)
    pieces, sentences = segment(text), split_sentences(text)

    assert "".join(pieces) == text
    assert all(text[each.start : each.end] == each.text for each in sentences)
    assert all(before.end <= after.start for before, after in pairwise(sentences))
    assert "".join("".join(each.text.split()) for each in sentences) == "".join(text.split())
    for sentence in sentences:
        line, offsets = unwrap(sentence.text), unwrapped_offsets(sentence.text)
        assert len(offsets) == len(line)
        assert all(line[at] == sentence.text[offset] or line[at] == " " for at, offset in enumerate(offsets))
    find_date(text[:60], text)
    assert 0 <= (detect_language(text).probability or 0) <= 1


if __name__ == "__main__":
    main(one_input, ["stancewire.segmentation", "stancewire.dates", "stancewire.language"])
