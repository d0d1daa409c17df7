"""From bytes to text: which encoding a file is in, and whether mojibake has to be mended.

News corpora hold UTF-8 of all kinds, UTF-16 exports, Windows code pages and text that was decoded wrongly
once before. The decision is always reported, for offsets count the characters of the text as decoded here.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Final

from stancewire.errors import StancewireError

UTF8: Final = "utf-8"
PATCHED: Final = "utf-8+cp1252"

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MAGIC = (
    (b"%PDF-", "a PDF"),
    (b"{\\rtf", "an RTF document"),
    (b"PK\x03\x04", "a zip archive or an office document"),
)
# Where nothing speaks for one page rather than another, the earlier is taken.
_PAGES = (
    *("cp1252", "cp1250", "cp1251", "cp1254", "cp1253", "cp1257", "cp1255", "cp1256"),
    *("mac_roman", "koi8_r", "cp932", "gb18030", "big5hkscs", "cp949"),
)
_SAMPLE_BYTES = 1 << 16
# Differences of charset-normalizer's mess ratio (0 to 1) below this one do not separate two code pages.
_MESS_TOLERANCE = 0.05
_NOT_IN_TEXT = bytes(sorted(set(range(32)) - set(b"\t\n\v\f\r\x1a\x1b") | {127}))
_MOST_CONTROLS = 0.02
_STRAY = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text, the encoding it was read in, and whether mojibake was mended afterwards."""

    text: str
    encoding: str
    repaired: bool


class NotTextError(StancewireError):
    """The bytes are not text in an encoding that is known here; the message completes "FILE ..."."""


def decode(raw: bytes) -> Decoded:
    """Decode the bytes of a text file and mend mojibake; line breaks and quotation marks stay as they are.

    In order: a byte-order mark; UTF-16 told by where its NUL bytes stand; UTF-8; UTF-8 with stray bytes,
    which are read as Windows-1252 (reported as `utf-8+cp1252`); a code page. Raises NotTextError for anything
    binary.
    """
    text, encoding = _decode(raw)
    if text.isascii():
        return Decoded(text, encoding, False)
    mended = _mend(text)
    return Decoded(mended, encoding, mended != text)


def _decode(raw: bytes) -> tuple[str, str]:
    for mark, codec in _MARKS:
        if raw.startswith(mark):
            try:
                return raw.decode(codec), codec
            except UnicodeDecodeError as error:
                raise NotTextError(
                    f"begins with the mark of {codec} but goes on otherwise ({error.reason})"
                ) from None
    for magic, kind in _MAGIC:
        if raw.startswith(magic):
            raise NotTextError(f"is {kind}, not plain text")
    if b"\0" in raw:
        return _decode_unmarked_utf16(raw)
    if len(raw) - len(raw.translate(None, _NOT_IN_TEXT)) > _MOST_CONTROLS * len(raw):
        raise NotTextError("is binary, not text")
    try:
        return raw.decode(UTF8), UTF8
    except UnicodeDecodeError:
        return _decode_damaged_utf8(raw) or _decode_code_page(raw)


def _decode_unmarked_utf16(raw: bytes) -> tuple[str, str]:
    # Spaces, line breaks and Latin letters have a NUL for their high byte: in UTF-16 all NULs stand on one
    # side.
    for codec, low, high in (("utf-16-le", raw[::2], raw[1::2]), ("utf-16-be", raw[1::2], raw[::2])):
        if len(raw) % 2 == 0 and b"\0" not in low and high.count(0) >= 0.05 * len(high):
            try:
                text = raw.decode(codec)
            except UnicodeDecodeError:
                continue
            if sum(map(_is_readable, text)) >= (1 - _MOST_CONTROLS) * len(text):
                return text, codec
    raise NotTextError("is binary, not text")


def _is_readable(character: str) -> bool:
    return character.isprintable() or character.isspace()


def _decode_damaged_utf8(raw: bytes) -> tuple[str, str] | None:
    """Read UTF-8 in which a few bytes are not, as files joined from several sources have them."""
    text = raw.decode(UTF8, "surrogateescape")
    strays = len(_STRAY.findall(text))
    whole = sum(not character.isascii() for character in text) - strays
    if whole <= strays:
        return None
    return _STRAY.sub(
        lambda stray: bytes([ord(stray.group()) - 0xDC00]).decode("cp1252", "replace"), text
    ), PATCHED


def _decode_code_page(raw: bytes) -> tuple[str, str]:
    from charset_normalizer import from_bytes

    from stancewire.language import detect_language

    sample = _telling_lines(raw)
    mess = {
        page: match.chaos
        for match in from_bytes(sample, cp_isolation=list(_PAGES))
        for page in match.could_be_from_charset
        if page in _PAGES
    }
    most = min(mess.values(), default=1.0) + _MESS_TOLERANCE
    pages = [page for page in _PAGES if mess.get(page, 1.0) <= most]
    languages = {page: detect_language(text) for page in pages if (text := _try(sample, page)) is not None}
    # Text that is English in any page has too few other letters to tell by them: the usual page, if it reads
    # well.
    if any(language.is_english for language in languages.values()):
        ranked = list(languages)
    else:
        ranked = sorted(languages, key=lambda page: -round(languages[page].probability or 0.0, 3))
    for page in (*ranked, *_PAGES):
        text = _try(raw, page)
        if text is not None:
            return text, page
    raise NotTextError("is in no encoding that is known here: save it as UTF-8")


def _telling_lines(raw: bytes) -> bytes:
    lines: list[bytes] = []
    size = 0
    for line in re.finditer(rb"[^\n]*[\x80-\xff][^\n]*\n?", raw):
        lines.append(line.group())
        size += len(line.group())
        if size > _SAMPLE_BYTES:
            break
    return b"".join(lines)


def _try(raw: bytes, page: str) -> str | None:
    try:
        return raw.decode(page)
    except UnicodeDecodeError:
        return None


def _mend(text: str) -> str:
    from ftfy import fix_encoding

    return fix_encoding(text)
