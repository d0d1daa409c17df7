"""Finding documents, decoding them, and telling their language."""

# ruff: noqa: RUF001

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stancewire.decoding import NotTextError, decode
from stancewire.documents import (
    MAX_BYTES,
    Document,
    DocumentError,
    Skipped,
    Source,
    find_documents,
)
from stancewire.errors import StancewireError
from stancewire.inputs import Inputs
from stancewire.language import detect_language
from stancewire.reading import read_document

ENGLISH = (
    "The harbour master’s office – in Saint-Étienne – said “we will not yield”. The café’s owner paid €40. "
    "No ship has left the port since Monday.\r\n"
)
POLISH = "Rzecznik zaprzeczył oskarżeniom i obiecał, że rozmowy z sąsiadami będą kontynuowane.\n"
RUSSIAN = "Представитель отверг обвинения и пообещал продолжить переговоры с соседями.\n"
GREEK = "Ο εκπρόσωπος αρνήθηκε τις κατηγορίες και υποσχέθηκε να συνεχίσει τις συνομιλίες.\n"
TURKISH = "Sözcü suçlamaları reddetti ve görüşmeleri sürdüreceğine söz verdi.\n"

unprivileged = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything"
)


def write(path: Path, content: str | bytes = "The talks went on.") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(source: Source) -> Document:
    (found,) = Inputs([source])
    if isinstance(found, Skipped):
        raise DocumentError(found.document, found.reason)
    return read_document(found)


def ids(*paths: Path) -> list[str]:
    return [source.id for source in find_documents(paths).sources]


def test_a_folder_gives_its_text_files_in_order_by_their_relative_names(tmp_path):
    for name in ("b.txt", "a/z.TXT", "a/b/c.md", "B.text", "0001", "a.pdf", "x.docx"):
        write(tmp_path / name)

    found = find_documents([tmp_path])

    assert [source.id for source in found.sources] == ["0001", "B.text", "a/b/c.md", "a/z.TXT", "b.txt"]
    assert found.ignored == {".docx": 1, ".pdf": 1}


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    write(tmp_path / ".hidden.txt")
    write(tmp_path / ".git" / "a.txt")
    write(tmp_path / "seen.txt")

    assert ids(tmp_path) == ["seen.txt"]


def test_a_file_that_is_named_is_taken_whatever_its_name(tmp_path):
    story = write(tmp_path / ".draft.story")

    assert ids(story) == [".draft.story"]


def test_several_paths_keep_their_names_so_that_no_two_documents_share_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(Path("north/1.txt"))
    write(Path("south/1.txt"))

    assert ids(Path("north"), Path("south")) == ["north/1.txt", "south/1.txt"]


def test_a_file_reached_twice_is_one_document(tmp_path):
    article = write(tmp_path / "a.txt")

    found = find_documents([article, tmp_path, tmp_path / ".." / tmp_path.name])

    assert len(found.sources) == 1


def test_a_folder_that_links_to_itself_is_walked_once(tmp_path):
    write(tmp_path / "in" / "a.txt")
    (tmp_path / "in" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "in" / "self").symlink_to(tmp_path / "in", target_is_directory=True)

    assert ids(tmp_path) == ["in/a.txt"]


def test_a_linked_folder_is_entered(tmp_path):
    write(tmp_path / "elsewhere" / "a.txt")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)

    assert ids(tmp_path / "corpus") == ["link/a.txt"]


def test_a_broken_link_is_named_and_skipped(tmp_path):
    write(tmp_path / "a.txt")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere.txt")

    found = find_documents([tmp_path])

    assert [source.id for source in found.sources] == ["a.txt"]
    assert [skipped.document for skipped in found.skipped] == ["gone.txt"]


@unprivileged
def test_a_folder_that_may_not_be_read_is_named_and_skipped(tmp_path):
    write(tmp_path / "a.txt")
    (tmp_path / "locked").mkdir(mode=0o000)

    found = find_documents([tmp_path])

    assert [source.id for source in found.sources] == ["a.txt"]
    assert [(skipped.document, "denied" in skipped.reason) for skipped in found.skipped] == [("locked", True)]


def test_a_pipe_in_a_folder_is_left_alone(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")

    assert ids(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_not_utf8_becomes_one_that_is(tmp_path):
    name = os.fsdecode(b"caf\xe9.txt")
    write(tmp_path / name)

    (source,) = find_documents([tmp_path]).sources

    assert source.id == "caf\\xe9.txt"
    assert read(source).text == "The talks went on."


def test_a_path_that_is_missing_is_named(tmp_path):
    with pytest.raises(StancewireError, match=r"no file or folder .*missing"):
        find_documents([tmp_path / "missing"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b" \r\n\t\n", "holds nothing but white space"),
        (b"\xef\xbb\xbf\n", "holds nothing but white space"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", "is binary, not text"),
        (bytes(range(1, 32)) * 9, "is binary, not text"),
        (b"%PDF-1.7\n1 0 obj", "is a PDF, not plain text"),
        (b"{\\rtf1\\ansi The talks}", "is an RTF document, not plain text"),
        (b"PK\x03\x04\x14\x00", "is a zip archive or an office document, not plain text"),
        (b"\xff\xfea\0b", "begins with the mark of utf-16 but goes on otherwise"),
        (b"x" * (MAX_BYTES + 1), "is larger than the 20 MB"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, content, reason):
    path = write(tmp_path / "a.txt", content)

    with pytest.raises(DocumentError) as caught:
        read(Source("a.txt", path))

    assert caught.value.reason.startswith(reason)
    assert str(caught.value).startswith(f"a.txt {reason}")


def test_a_file_that_is_gone_by_the_time_says_so(tmp_path):
    with pytest.raises(DocumentError, match=r"a\.txt cannot be read: No such file"):
        read(Source("a.txt", tmp_path / "a.txt"))


def test_line_breaks_and_quotation_marks_stay_as_they_are(tmp_path):
    text = "“One”\r\ntwo\rthree\n\n‘four’ … ﬁve\u2028"
    path = write(tmp_path / "a.txt", text)

    document = read(Source("a.txt", path))

    assert (document.text, document.encoding, document.repaired) == (text, "utf-8", False)


@pytest.mark.parametrize(
    ("text", "codec", "reported"),
    [
        (ENGLISH, "utf-8", "utf-8"),
        (ENGLISH, "utf-8-sig", "utf-8-sig"),
        (ENGLISH, "utf-16", "utf-16"),
        (ENGLISH, "utf-32", "utf-32"),
        (ENGLISH, "utf-16-le", "utf-16-le"),
        (ENGLISH, "utf-16-be", "utf-16-be"),
        (RUSSIAN, "utf-16-le", "utf-16-le"),
        (ENGLISH, "cp1252", "cp1252"),
        ("It’s over.", "cp1252", "cp1252"),
        ("Fuel cost £40, said Ms Nuñez of Málaga.", "latin-1", "cp1252"),
        (ENGLISH, "mac_roman", "mac_roman"),
        (POLISH, "cp1250", "cp1250"),
        ("Mr Wójcik told the Sejm that “Świątek” would not be charged.", "cp1250", "cp1250"),
        (RUSSIAN, "cp1251", "cp1251"),
        (RUSSIAN, "koi8_r", "koi8_r"),
        (GREEK, "cp1253", "cp1253"),
        (TURKISH, "cp1254", "cp1254"),
        ("報道官は疑惑を否定し、協議を続けると述べた。", "cp932", "cp932"),
    ],
)
def test_an_encoding_is_read_right_and_reported(text, codec, reported):
    decoded = decode(text.encode(codec))

    assert decoded.text == text
    assert (decoded.encoding, decoded.repaired) == (reported, False)


def test_bytes_of_another_encoding_within_utf8_are_read_as_windows_1252():
    raw = "Łódź, “Zürich”, Ürümqi. ".encode() + "the café’s owner".encode("cp1252")

    decoded = decode(raw)

    assert (decoded.text, decoded.encoding) == ("Łódź, “Zürich”, Ürümqi. the café’s owner", "utf-8+cp1252")


@pytest.mark.parametrize("wrong", ["cp1252", "latin-1"])
def test_mojibake_is_mended_and_reported(wrong):
    text = "The café’s owner said it wasn’t so."
    mojibake = text.encode().decode(wrong)

    decoded = decode(mojibake.encode())

    assert (decoded.text, decoded.repaired) == (text, True)


@pytest.mark.parametrize(
    "text",
    ["SÃO PAULO", "IRMÃ DE FARO", "“naïve”, she said", "Ünïcode", "&amp; &lt;b&gt;", "a\x1b[1mb", "ﬁne…"],
)
def test_text_that_is_no_mojibake_is_left_alone(text):
    assert decode(text.encode()).text == text
    assert not decode(text.encode()).repaired


def test_a_mebibyte_line_of_a_code_page_is_read():
    text = ("The café was shut. " * 60_000)[: 1 << 20]

    assert decode(text.encode("cp1252")).text == text


@settings(deadline=None)
@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_plain_ascii_comes_back(text):
    decoded = decode(text.encode()) if not text.startswith(("%PDF-", "{\\rtf")) else None

    assert decoded is None or (decoded.text, decoded.encoding) == (text, "utf-8")


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(raw):
    try:
        decoded = decode(raw)
    except NotTextError:
        return

    assert decoded.text.encode("utf-8") is not None


@pytest.mark.parametrize(
    "text",
    [
        "The envoy said on Tuesday that the convoy would cross the river if the shelling stopped.",
        "the minister denied that her office had seen the letter before it was published.",
        "PORT WORKERS VOWED TO SHUT THE HARBOUR FOR A WEEK UNLESS THE CRANE DRIVERS WERE TAKEN BACK.",
        "\n" * 5000 + "The union said that the drivers would stay away until the firm had taken them back.",
        "Soldiers shot at traders in Kaduna, said a Nigerian rights group.",
        "President Kovalenko visited Kharkiv and Dnipro, and said that the army would hold Zaporizhzhia.",
    ],
)
def test_english_is_told_by_ordinary_lower_case_and_capital_text(text):
    assert detect_language(text).code == "en"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Der Sprecher wies die Vorwürfe zurück und kündigte an, die Verhandlungen fortzusetzen.", "de"),
        ("DER SPRECHER WIES DIE VORWÜRFE ZURÜCK UND KÜNDIGTE AN, DIE VERHANDLUNGEN FORTZUSETZEN.", "de"),
        ("Le porte-parole a démenti les accusations et promis de poursuivre les pourparlers.", "fr"),
        ("El portavoz negó las acusaciones y prometió continuar las conversaciones con sus vecinos.", "es"),
        ("De woordvoerder ontkende de beschuldigingen en beloofde de gesprekken voort te zetten.", "nl"),
        ("Talesmannen förnekade anklagelserna och lovade att fortsätta samtalen med grannarna.", "sv"),
        (POLISH, "pl"),
        (TURKISH, "tr"),
        ("Мы ответим.", "ru"),
        ("報道官は疑惑を否定し、協議を続けると述べた。", "ja"),
        ("نفى المتحدث الاتهامات ووعد بمواصلة المحادثات مع الجيران.", "ar"),
    ],
)
def test_other_languages_are_flagged(text, code):
    language = detect_language(text)

    assert (language.code, language.is_foreign) == (code, True)
    assert language.probability is not None and language.probability >= 0.5


@pytest.mark.parametrize(
    "text", ["", "   ", "NO COMMENT", "Bundestag votes", "14:55, 2022-01-03", "Donetsk, Luhansk"]
)
def test_too_little_text_is_undetermined_and_not_foreign(text):
    language = detect_language(text)

    assert (language.code, language.probability, language.is_foreign) == ("und", None, False)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_every_text_has_a_language_and_a_probability_or_none(text):
    language = detect_language(text)

    assert (language.code == "und") == (language.probability is None)
