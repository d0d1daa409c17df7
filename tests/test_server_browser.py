"""The page of `stancewire serve` in a real browser: what a reader sees, what a hostile article cannot do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import skip_or_fail
from served import Served, WordClassifier, request, serving

from stancewire.scores import read_scores
from stancewire.server.settings import Limits

playwright_api = pytest.importorskip("playwright.sync_api")

pytestmark = [pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.slow]

MILLISECONDS = 120_000

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARTICLE = "Lagunia warned Morra. It rained all day, which nobody foresaw.\n\nMorra denied it to Lagunia."
HOSTILE = (
    "</script></style></title></textarea>--><script>document.title='broken in'</script>"
    "<img src=x onerror=\"document.title='broken in'\"><a href='javascript:void 0'>&lt;b&gt; {{ 7 * 7 }}"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright_api.Browser]:
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        skip_or_fail("browser", "chromium is not installed")
    with playwright_api.sync_playwright() as playwright:
        # Of playwright only its driver is used: the browser is the system's. Root has no sandbox for it.
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"], timeout=MILLISECONDS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as server:
        yield server


class Visit:
    """A page that is open, what the browser complained of, and where it sent requests to."""

    def __init__(self, browser: playwright_api.Browser, url: str, width: int = 1280, scheme: str = "light"):
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
        )
        self.context.set_default_timeout(MILLISECONDS)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.asked: set[str] = set()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append("a dialog"))
        self.page.on("request", lambda sent: self.asked.add(sent.url.split("/")[2]))
        self.page.goto(url)

    def read(self, text: str) -> None:
        self.page.fill("#text", text)
        self.page.click("text=Read it")
        self.page.locator("#state", has_text="read in").wait_for()

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def texts(self, selector: str) -> list[str]:
        return self.page.locator(selector).all_inner_texts()


@pytest.fixture
def visit(browser: playwright_api.Browser, served: Served) -> Iterator[Visit]:
    visit = Visit(browser, served.url)
    yield visit
    visit.context.close()
    # The browser says here what the content security policy kept from happening.
    assert visit.complaints == []
    assert visit.asked == {f"127.0.0.1:{served.port}"}


def test_what_is_pasted_is_marked_at_once(visit):
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visit.page.evaluate("text => navigator.clipboard.writeText(text)", ARTICLE)

    visit.page.focus("#text")
    visit.page.keyboard.press("Control+V")
    visit.page.locator("#list mark").first.wait_for()

    assert visit.texts("#list mark") == ["Lagunia warned Morra.", "Morra denied it to Lagunia."]
    assert [chip.replace("\n", "") for chip in visit.texts("#list .chip")] == [
        "threat 87.5%, by Lagunia towards Morra",
        "denial 87.5%, by Morra towards Lagunia",
    ]
    assert visit.texts("#list .source") == ["Lagunia", "Morra"]
    assert visit.texts("#list .target") == ["Morra", "Lagunia"]
    assert visit.texts("#list .article p:not(.meta)")[0].endswith("nobody foresaw.")
    assert visit.texts("#found tbody tr") == ["threat\t1\t33.3%\t1\t50.0%", "denial\t1\t33.3%\t1\t25.0%"]
    assert "3 sentences read in" in visit.text("#state")


def test_all_probabilities_stand_beside_a_sentence_that_has_the_focus(visit):
    visit.read(ARTICLE)

    visit.page.locator("#list mark").first.focus()

    assert visit.texts("#tip tr") == ["threat\t87.5%\tcounted", "denial\t12.5%\tbelow 25.0%"]


def test_the_articles_are_filtered(visit):
    visit.read(ARTICLE)
    by_stance = visit.page.locator("#filters [name=stance]")

    by_stance.nth(1).check()
    visit.page.locator("#status", has_text="Found 1 sentence in 1 article of 1.").wait_for()
    by_stance.nth(1).uncheck()
    visit.page.fill("#filters [name=words]", "rained all")
    visit.page.locator("#list .hit", has_text="rained all").wait_for()
    visit.page.fill("#filters [name=words]", "")
    visit.page.select_option("#filters [name=source]", label="Morra (1)")
    visit.page.check("#filters [name=alone]")
    # The status says the same before the last filter is applied.
    visit.page.locator("#list .sentence mark", has_text="warned").wait_for(state="hidden")

    assert visit.texts("#list .sentence mark") == ["Morra denied it to Lagunia."]


def test_a_count_leads_to_its_sentences(visit):
    visit.read(ARTICLE)

    visit.page.click("#found tbody a >> nth=0")
    visit.page.locator("#status", has_text="Found 1 sentence").wait_for()

    assert visit.page.locator("#filters [name=stance]").first.is_checked()


def test_what_is_downloaded_is_what_report_reads(visit, tmp_path: Path):
    visit.read("\U0001f600 " + ARTICLE)

    with visit.page.expect_download() as download:
        visit.page.click("#download")
    scores = tmp_path / download.value.suggested_filename
    download.value.save_as(scores)

    (text,) = read_scores(scores, WordClassifier.labels)
    assert scores.name == "scores.jsonl"
    assert json.loads(scores.read_text(encoding="utf-8"))["language"] == "en"
    assert [len(sentence.stances) for sentence in text.sentences] == [1, 0, 1]


def drop(visit: Visit, *files: tuple[str, list[int]]) -> None:
    transfer = visit.page.evaluate_handle(
        """files => {
            const transfer = new DataTransfer();
            for (const [name, bytes] of files) transfer.items.add(new File([new Uint8Array(bytes)], name));
            return transfer;
        }""",
        [list(file) for file in files],
    )
    visit.page.dispatch_event("body", "dragover", {"dataTransfer": transfer})
    visit.page.dispatch_event("body", "drop", {"dataTransfer": transfer})


def test_dropped_files_are_decoded_and_what_is_no_text_is_named(visit):
    drop(
        visit,
        ("2022-01-31.txt", list("The Café owner warned Morra, it was said on Monday.".encode("cp1252"))),
        ("b.txt", list(ARTICLE.encode())),
        ("b.txt", list(b"Morra denied it to them all, it was said.")),
        ("c.pdf", list(b"%PDF-1.4")),
        ("d.txt", []),
    )
    visit.page.locator("#faults li >> nth=1").wait_for()
    visit.page.locator("#list .article >> nth=2").wait_for()

    assert visit.texts("#list h3") == ["2022-01-31.txt", "b.txt", "b.txt#2"]
    assert visit.texts("#list mark")[0].startswith("The Café owner warned")
    assert visit.texts("#list .meta")[0].startswith("2022-01-31")
    assert visit.texts("#faults li") == [
        "c.pdf is a PDF, not plain text",
        "d.txt holds nothing but white space",
    ]
    assert visit.page.locator("body.dropping").count() == 0


def test_files_are_chosen_too_and_all_is_forgotten_when_asked(visit):
    visit.page.set_input_files(
        "#files", [{"name": "a.txt", "mimeType": "text/plain", "buffer": ARTICLE.encode()}]
    )
    visit.page.locator("#list mark").first.wait_for()

    visit.page.click("#forget")

    assert not visit.page.locator("#articles").is_visible()
    assert not visit.page.locator("#found").is_visible()
    assert visit.page.locator("#list mark").count() == 0


def test_a_hostile_article_is_text(visit):
    visit.read(
        f"Lagunia warned {HOSTILE} of Morra. It \x00\x07\x1b[31mrained\u202e \U0001f600 on.\n\n{HOSTILE}"
    )

    shown = visit.text("#list")
    assert visit.page.title() == "stancewire"
    assert HOSTILE in shown
    assert "\u202e \U0001f600 on." in shown
    assert visit.texts("#list .target") == ["Morra"]
    assert visit.page.locator("#list :is(script, img, a, style)").count() == 0


def test_a_hostile_file_name_is_text(visit):
    drop(
        visit, ("<img src=x onerror=alert(1)>.txt", list(ARTICLE.encode())), ("<script>.pdf", list(b"%PDF-"))
    )
    visit.page.locator("#faults li").wait_for()

    assert visit.texts("#list h3") == ["<img src=x onerror=alert(1)>.txt"]
    assert visit.texts("#faults li") == ["<script>.pdf is a PDF, not plain text"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_wider_than_the_screen(browser, served, width, scheme):
    visit = Visit(browser, served.url, width, scheme)
    visit.read(f"{ARTICLE} {'unbroken' * 60} warned {'x' * 500}.")

    widths = visit.page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    back = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert widths[0] <= widths[1]
    assert back == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 24, 29)")
    visit.context.close()


def test_other_languages_are_refused_until_they_are_asked_for(visit):
    german = "Der Minister hat das gestern in Berlin erneut und deutlich bestritten."

    visit.page.fill("#text", german)
    visit.page.click("text=Read it")
    visit.page.locator("#faults", has_text="Pasted text is not English").wait_for()
    visit.page.check("[name=any_language]")
    visit.read(german)

    assert visit.page.locator("#faults").is_hidden()
    assert visit.text("#list .sentence") == german


def test_a_busy_server_is_asked_again(browser):
    classifier = WordClassifier()
    with serving(classifier, Limits(workers=1, waiting=0)) as served:
        visit = Visit(browser, served.url)
        classifier.gate.clear()
        with served.connect() as other:
            other.sendall(request("/predict", b'{"sentences":["It rained."]}'))
            visit.page.fill("#text", ARTICLE)
            visit.page.click("text=Read it")
            visit.page.locator("#state", has_text="The server is busy").wait_for()
            classifier.gate.set()
            visit.page.locator("#list mark").first.wait_for()
        visit.context.close()


def test_a_server_that_is_gone_is_told(browser):
    with serving() as served:
        visit = Visit(browser, served.url)
    visit.page.fill("#text", ARTICLE)
    visit.page.click("text=Read it")

    visit.page.locator("#faults", has_text="is stancewire serve still running?").wait_for()
    visit.context.close()


def test_a_page_of_another_origin_gets_nothing(browser, served):
    attacked = f"http://127.0.0.1:{served.port}"
    with serving() as other:
        visit = Visit(browser, other.url + "/nothing")
        said = visit.page.evaluate(
            """url => Promise.all([
                fetch(url + "/model").then(() => "read", () => "kept out"),
                fetch(url + "/score", {method: "POST", body: "{}"}).then(() => "read", () => "kept out"),
                fetch(url + "/model", {mode: "no-cors"}).then(() => "read", () => "kept out"),
            ])""",
            attacked,
        )
        visit.context.close()

    assert said == ["kept out"] * 3
