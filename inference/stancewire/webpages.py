"""Take the article and its date out of a web page, by trafilatura (the extra `html`).

Of the libraries that do this it is kept up, finds short paragraphs and list items, leaves comments out, and
is the only one that knows dates (Barbaresi 2021, https://aclanthology.org/2021.acl-demo.15).
"""

from __future__ import annotations

import codecs
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from stancewire.decoding import NotTextError, decode
from stancewire.documents import DocumentError, reads_html
from stancewire.errors import install_hint

_LOOKED_AT: Final = 2_048
_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([a-zA-Z0-9_.:-]{1,40})""", re.IGNORECASE)
# As browsers read them (https://encoding.spec.whatwg.org/#names-and-labels).
_WIDER = {
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
}
_BLOCKS = frozenset(("p", "head", "item", "quote", "cell", "row", "list", "table", "code", "div"))


@dataclass(frozen=True, slots=True)
class WebPage:
    """The article of a page, in paragraphs parted by blank lines, and the date that the page gives it."""

    text: str
    date: str | None
    encoding: str
    repaired: bool


def read_page(name: str, raw: bytes) -> WebPage:
    """Take the article out of the bytes of a page.

    Raises DocumentError, with the reason, for a page without an article, or if trafilatura is missing.
    """
    if not reads_html():
        raise DocumentError(name, f"is HTML, which needs more to be read: {install_hint('html')}")
    from htmldate import find_date
    from trafilatura import bare_extraction, load_html

    # What they log of a page is said in the reason to skip it.
    for library in ("htmldate", "trafilatura"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    try:
        html, encoding, repaired = _decode(raw)
    except NotTextError as error:
        raise DocumentError(name, str(error)) from None
    tree = load_html(html)
    if tree is None:
        raise DocumentError(name, "is no HTML that can be read")
    # Not searched extensively, where any figures of the text may be taken for a date.
    date = find_date(tree, extensive_search=False, original_date=True)
    article: Any = bare_extraction(tree, include_comments=False, favor_recall=True)
    body = None if article is None else article.body
    text = "" if body is None else _text(body)
    if not text:
        raise DocumentError(name, "is HTML in which no article was found")
    return WebPage(text, date, encoding, repaired)


def _decode(raw: bytes) -> tuple[str, str, bool]:
    declared = (
        None
        if raw.startswith((codecs.BOM_UTF8, b"\xff\xfe", b"\xfe\xff"))
        else _CHARSET.search(raw, 0, _LOOKED_AT)
    )
    if declared:
        try:
            codec = codecs.lookup(declared.group(1).decode("ascii")).name
            codec = _WIDER.get(codec, codec)
            return raw.decode(codec), codec, False
        except (LookupError, UnicodeError):
            pass
    decoded = decode(raw)
    return decoded.text, decoded.encoding, decoded.repaired


def _text(body: Any) -> str:
    paragraphs = (" ".join(paragraph.split()) for paragraph in "".join(_pieces(body)).split("\n"))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _pieces(element: Any) -> Iterator[str]:
    # A line break within a paragraph ends it: who sets one in HTML does not wrap lines.
    is_block = element.tag in _BLOCKS
    if is_block or element.tag == "lb":
        yield "\n"
    yield (element.text or "").replace("\n", " ")
    for child in element:
        yield from _pieces(child)
        yield (child.tail or "").replace("\n", " ")
    if is_block:
        yield "\n"
