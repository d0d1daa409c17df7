"""The API of `stancewire serve`: what it answers, what it refuses, and that it bears more than it can do."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest
from handmade import write_folder
from served import Served, WordClassifier, parse, receive, request, serving

from stancewire import StanceClassifier
from stancewire.errors import StancewireError
from stancewire.scores import read_scores
from stancewire.server.settings import LONGEST_SENTENCE, Access, Limits
from stancewire.server.work_queue import AbandonedError, FullError, WorkQueue

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

ARTICLE = (
    "Lagunia warned Morra. It rained all day, which nobody had seen coming.\n\nMorra denied it to Lagunia."
)


@pytest.fixture(scope="module")
def served():
    with serving() as server:
        yield server


def score(served: Served, *documents: dict, **more: object) -> tuple[int, dict]:
    return served.post("/score", {"documents": list(documents), **more})


# What it answers


def test_a_connection_that_is_kept_waits_for_nothing_between_answers(served):
    connection = HTTPConnection("127.0.0.1", served.port, timeout=60)
    body = json.dumps({"sentences": ["It rained."]})
    took = []
    for _ in range(9):
        start = time.perf_counter()
        connection.request("POST", "/predict", body, {"content-type": "application/json"})
        assert connection.getresponse().read()
        took.append(time.perf_counter() - start)
    connection.close()

    # With Nagle's algorithm on, each but the first takes the 40 ms after which a kernel confirms unasked.
    assert sorted(took)[len(took) // 2] < 0.035


def test_sentences_are_read_in_order(served):
    texts = ["Lagunia warned Morra.", "It rained.", ""]

    status, answer = served.post("/predict", {"sentences": texts})

    assert status == 200
    assert [entry["text"] for entry in answer["predictions"]] == texts
    assert [len(entry["stances"]) for entry in answer["predictions"]] == [1, 0, 0]
    assert answer["predictions"][0]["probabilities"] == {"threat": 0.875, "denial": 0.125}
    assert answer["predictions"][0]["stances"][0]["source"] == {
        "text": "Lagunia",
        "start": 0,
        "end": 7,
        "probability": 0.5,
    }
    assert (answer["model"], answer["digest"]) == ("words", "ab" * 32)


def test_documents_are_cut_and_every_offset_slices_back(served):
    text = "\U0001f600 " + ARTICLE

    status, answer = score(served, {"document": "2022-01-31.txt", "text": text}, {"text": "Rain."})

    first, second = answer["documents"]
    assert status == 200
    assert (first["document"], first["date"], first["language"]) == ("2022-01-31.txt", "2022-01-31", "en")
    assert len(first["sentences"]) == 3
    for sentence in first["sentences"]:
        assert text[sentence["start"] : sentence["end"]] == sentence["text"]
        for stance in sentence["stances"]:
            span = stance["target"]
            assert text[span["start"] : span["end"]] == span["text"]
    assert [sentence["text"] for sentence in second["sentences"]] == ["Rain."]


def test_a_document_of_the_answer_is_a_line_that_report_reads(served, tmp_path: Path):
    _, answer = score(served, {"text": ARTICLE}, {"document": "b", "text": ARTICLE})
    scores = tmp_path / "scores.jsonl"

    scores.write_text("\n".join(map(json.dumps, answer["documents"])), encoding="utf-8")

    assert [len(text.sentences) for text in read_scores(scores, WordClassifier.labels)] == [3, 3]


def test_a_file_is_decoded_as_score_does(served):
    raw = "Die Café owner warned Morra.".encode("cp1252")

    _, answer = score(served, {"document": "a.txt", "content": base64.b64encode(raw).decode()})

    assert answer["documents"][0]["encoding"] == "cp1252"
    assert answer["documents"][0]["sentences"][0]["text"] == raw.decode("cp1252")


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"text": " \n"}, "holds nothing but white space"),
        ({"document": "a.txt", "content": ""}, "holds nothing but white space"),
        ({"document": "a.txt", "content": base64.b64encode(b"%PDF-1.4").decode()}, "is a PDF"),
        ({"document": "a.csv", "content": ""}, "is a table or an archive"),
        (
            {"text": "Der Minister hat das gestern in Berlin erneut und deutlich bestritten."},
            "is not English",
        ),
    ],
)
def test_what_cannot_be_read_is_named_with_its_reason(served, document, reason):
    status, answer = score(served, document, {"document": "good", "text": ARTICLE})

    assert status == 200
    assert [entry["document"] for entry in answer["documents"]] == ["good"]
    assert answer["skipped"][0]["document"] == document.get("document", "text")
    assert reason in answer["skipped"][0]["reason"]


def test_other_languages_are_read_where_that_is_asked_for(served):
    german = "Der Minister hat das gestern in Berlin erneut und deutlich bestritten."

    _, answer = score(served, {"text": german}, any_language=True)

    assert answer["documents"][0]["language"] == "de"


def test_the_model_and_the_limits_are_told(served):
    status, _, body = served.get("/model")

    about = json.loads(body)
    assert status == 200
    assert about["labels"] == ["threat", "denial"]
    assert about["thresholds"] == {"threat": 0.5, "denial": 0.25}
    assert about["limits"] == {
        "body_bytes": 1_000_000,
        "sentences": 2_000,
        "sentence_characters": LONGEST_SENTENCE,
        "seconds": 30.0,
    }


def test_health_says_how_busy_it_is(served):
    status, _, body = served.get("/health")

    assert status == 200
    assert json.loads(body) == {"status": "ok", "requests": 0, "room": 66}


def test_head_has_the_headers_of_get_and_no_body(served):
    status, headers, body = parse(served.send(request("/model", None).replace(b"GET", b"HEAD", 1)))

    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 100


def test_many_requests_come_on_one_connection(served):
    one = request("/predict", b'{"sentences":["It rained."]}').replace(b"connection: close", b"x: y")

    answers = served.send(one + one, request("/health", None))

    assert answers.count(b"HTTP/1.1 200 OK") == 3


# What it refuses


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"", 400, "Invalid JSON"),
        (b"{", 400, "Invalid JSON"),
        (b"\xff\xfe", 400, "Invalid JSON"),
        (b"[" * 900_000, 400, "recursion limit"),
        (b'{"sentences":' + b"[" * 900_000, 400, "recursion limit"),
        (b'{"a":' * 150_000, 400, "recursion limit"),
        (b'{"sentences": ["\\ud800"]}', 400, "Invalid JSON"),
        (b"[]", 422, "object"),
        (b"9" * 900_000, 400, "number"),
        (b"null", 422, "object"),
        (b"{}", 422, "sentences: Field required"),
        (b'{"sentences": "It rained."}', 422, "sentences: Input should be a valid"),
        (b'{"sentences": [1]}', 422, "sentences.0: Input should be a valid string"),
        (b'{"sentences": [' + b"1," * 400_000 + b"1]}", 422, "sentences.0"),
        (b'{"sentences": [' + b'"",' * 300_000 + b'""]}', 422, "at most 10000"),
        (b'{"sentences": ["' + b"a" * (LONGEST_SENTENCE + 1) + b'"]}', 422, "at most 10000 characters"),
        (b'{"sentences": [], "sentence": 1}', 422, "sentence: Extra inputs"),
        (b"{" + b",".join(b'"a%d":1' % number for number in range(60_000)) + b"}", 422, "Field required"),
    ],
    ids=range(18),
)
def test_bad_bodies_are_refused_with_a_sentence(served, body, status, told):
    answer = parse(served.send(request("/predict", body)))

    assert answer[0] == status
    assert told in json.loads(answer[2])["detail"]


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({}, "documents.0.text: Field required"),
        ({"text": 1}, "documents.0.text: Input should be a valid string"),
        ({"text": "a", "content": ""}, "documents.0.document: Field required"),
        ({"document": "a", "content": "no base64"}, "documents.0.content: String should match pattern"),
        ({"document": "a" * 501, "text": "a"}, "documents.0.document: String should have at most 500"),
        ("text", "documents.0"),
    ],
)
def test_bad_documents_are_refused_with_their_place(served, document, told):
    status, answer = score(served, document)

    assert status == 422
    assert told in answer["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": "text/plain"},
        {"content_type": ""},
        {"content_type": "application/x-www-form-urlencoded"},
        {"content_type": "multipart/form-data; boundary=x"},
        {"content_type": "application/jsonp"},
        {"content_encoding": "gzip"},
    ],
)
def test_what_is_no_json_is_refused(served, headers):
    status, answer = served.post("/predict", {"sentences": []}, **headers)

    assert status == 415
    assert "the body should" in answer["detail"]


def test_the_character_set_of_json_may_be_said(served):
    status, _ = served.post("/predict", {"sentences": []}, content_type="Application/JSON; charset=utf-8")

    assert status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/predict", 405), ("DELETE", "/model", 405), ("POST", "/health", 405)],
)
def test_other_paths_and_methods_are_refused(served, method, path, status):
    sent = request(path, None).replace(b"GET", method.encode(), 1)

    answer = parse(served.send(sent))

    assert answer[0] == status
    assert (status != 405) or answer[1]["allow"]


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/page.py",
        "/app.py",
        "//etc/passwd",
        "/page.css/../app.py",
        "/report.py",
        "/page.html",
    ],
)
def test_no_file_is_reached_by_its_path(served, path):
    assert served.get(path)[0] == 404


def test_a_body_that_says_that_it_is_too_large_is_refused_before_it_comes(served):
    head = request("/predict", b"", content_length="5000000")

    answer = parse(served.send(head))

    assert answer[0] == 413
    assert "more than 1,000,000 bytes" in json.loads(answer[2])["detail"]


def test_a_body_that_turns_out_too_large_is_refused_and_who_sends_on_gets_the_answer(served):
    head = request("/predict", None, content_type="application/json", transfer_encoding="chunked")
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"

    answer = parse(served.send(head.replace(b"GET", b"POST", 1), *[chunk] * 64, b"0\r\n\r\n"))

    assert answer[0] == 413


def test_too_many_sentences_are_refused(served):
    status, answer = score(served, {"text": "It rained. " * 1_500}, {"text": "It rained. " * 1_500})

    assert status == 413
    assert "more than 2,000 sentences" in answer["detail"]


def test_a_sentence_without_an_end_is_refused(served):
    status, answer = score(served, {"text": "rain and " * 3_000})

    assert status == 413
    assert "has a sentence of" in answer["detail"]


def test_what_is_no_http_is_refused_without_a_traceback(served):
    answer = served.send(b"\x16\x03\x01\x00\xa5 hello\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Traceback" not in answer


def test_a_head_without_end_is_refused(served):
    answer = served.send(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n" + b"x: " + b"y" * 200_000)

    assert answer.startswith(b"HTTP/1.1 4")


def test_a_fault_of_the_server_tells_nothing_of_it(served):
    status, answer = served.post("/predict", {"sentences": ["explode"]})

    assert status == 500
    assert answer == {"detail": "the server failed over this request, and has logged why"}
    assert served.get("/health")[0] == 200


# Who may ask


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:8765", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8765", 200),
        ("evil.example", 421),
        ("evil.example:8765", 421),
        ("127.0.0.1.evil.example", 421),
        ("127.0.0.1:80@evil.example", 400),
        ("", 400),
        ("[::1", 400),
        ("127.0.0.1, evil.example", 400),
    ],
)
def test_a_name_that_was_rebound_is_refused(served, host, status):
    assert served.get("/model", host=host)[0] == status


def test_a_request_of_http_1_0_without_a_host_is_refused(served):
    assert parse(served.send(b"GET /model HTTP/1.0\r\n\r\n"))[0] == 400


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1"])
def test_pages_of_other_origins_may_not_ask(served, origin):
    status, answer = served.post("/predict", {"sentences": []}, origin=origin)

    assert status == 403
    assert "another origin" in answer["detail"]


def test_the_page_itself_may_ask(served):
    status, _ = served.post("/predict", {"sentences": []}, origin="http://127.0.0.1")

    assert status == 200


def test_an_origin_that_was_allowed_may_ask_and_no_other():
    access = Access.of("127.0.0.1", (), ("https://example.org",))
    preflight = {"origin": "https://example.org", "access_control_request_method": "POST"}
    with serving(access=access) as served:
        asked = parse(
            served.send(
                request("/predict", None, **preflight, access_control_request_headers="content-type").replace(
                    b"GET", b"OPTIONS", 1
                )
            )
        )
        answered = parse(served.send(request("/predict", b'{"sentences":[]}', origin="https://example.org")))
        other = served.get("/model", origin="https://example.com")

    assert asked[0] == answered[0] == 200
    assert asked[1]["access-control-allow-origin"] == answered[1]["access-control-allow-origin"]
    assert answered[1]["access-control-allow-origin"] == "https://example.org"
    assert other[0] == 403
    assert "access-control-allow-origin" not in other[1]


@pytest.mark.parametrize(
    ("host", "hosts", "origins", "told"),
    [
        ("127.0.0.1", ("a b",), (), "'a b' is no host"),
        ("127.0.0.1", ("a:80",), (), "'a:80' is no host"),
        ("127.0.0.1", (), ("example.org",), "'example.org' is no origin"),
        ("127.0.0.1", (), ("https://example.org/",), "is no origin"),
    ],
)
def test_what_is_no_host_or_origin_is_told(host, hosts, origins, told):
    with pytest.raises(StancewireError, match=re.escape(told)):
        Access.of(host, hosts, origins)


def test_every_answer_has_the_headers_of_safety(served):
    answers = [
        served.get("/"),
        served.get("/nothing"),
        served.get("/model", host="evil.example"),
        parse(served.send(request("/predict", b"{"))),
        parse(served.send(request("/predict", b'{"sentences":["explode"]}'))),
    ]

    assert [answer[0] for answer in answers] == [200, 404, 421, 400, 500]
    for _, headers, _ in answers:
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; ")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "deny"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in headers


def test_the_page_holds_no_script_and_no_style_of_its_own(served):
    page = served.get("/")[2].decode()

    assert re.findall(r"<script[^>]*>", page) == [
        '<script src="report.js" defer>',
        '<script src="page.js" defer>',
    ]
    assert not re.search(r"<style|style=|\bon\w+=|https?:|javascript:", page)


def test_the_page_and_its_files_have_their_types(served):
    kinds = {
        path: served.get(path)[1]["content-type"]
        for path in ("/", "/page.js", "/report.js", "/page.css", "/report.css", "/icon.svg")
    }

    assert [kind.partition(";")[0] for kind in kinds.values()] == [
        "text/html",
        "text/javascript",
        "text/javascript",
        "text/css",
        "text/css",
        "image/svg+xml",
    ]


# More than it can do


def test_a_full_queue_refuses_at_once_and_the_others_are_answered():
    classifier = WordClassifier()
    body = {"sentences": ["It rained."]}
    with serving(classifier, Limits(workers=1, waiting=2)) as served, ThreadPoolExecutor(3) as clients:
        classifier.gate.clear()
        waiting = [clients.submit(served.post, "/predict", body) for _ in range(3)]
        wait_for(served, requests=3)

        began = time.perf_counter()
        refused = parse(served.send(request("/predict", json.dumps(body).encode())))
        took = time.perf_counter() - began
        health = json.loads(served.get("/health")[2])
        classifier.gate.set()
        answers = [future.result() for future in waiting]

    assert refused[0] == 503
    assert refused[1]["retry-after"] == "1"
    assert json.loads(refused[2]) == {"detail": "the queue is full"}
    assert took < 1
    assert health == {"status": "full", "requests": 3, "room": 3}
    assert [status for status, _ in answers] == [200, 200, 200]


def wait_for(served: Served, **values: int) -> None:
    for _ in range(1_000):
        health = json.loads(served.get("/health")[2])
        if all(health[name] == value for name, value in values.items()):
            return
        time.sleep(0.01)
    pytest.fail(f"{values} never came; the last was {health}")


def test_time_that_is_up_ends_the_work_too():
    classifier = WordClassifier(seconds=0.02)
    with serving(classifier, Limits(workers=1, seconds=0.2)) as served:
        status, answer = served.post("/predict", {"sentences": ["It rained."] * 1_000})
        wait_for(served, requests=0)

    assert status == 503
    assert answer == {"detail": "it took longer than 0.2 seconds"}
    assert classifier.readings < 500


def test_a_client_that_left_is_not_worked_for():
    classifier = WordClassifier()
    with serving(classifier, Limits(workers=1)) as served:
        classifier.gate.clear()
        read = classifier.readings
        for _ in range(5):
            with served.connect() as connection:
                connection.sendall(request("/predict", b'{"sentences":["It rained."]}'))
                wait_for(served)
        wait_for(served, requests=5)
        classifier.gate.set()
        wait_for(served, requests=0)

    assert classifier.readings - read <= 1


def test_bodies_under_way_take_no_more_memory_than_was_given_them():
    limits = Limits(workers=1, body_bytes=100_000, held_bytes=250_000)
    head = request("/predict", None, content_type="application/json", content_length="100000")
    with serving(limits=limits) as served:
        slow = [served.connect() for _ in range(2)]
        for connection in slow:
            connection.sendall(head.replace(b"GET", b"POST", 1) + b" " * 99_999)
        wait_for(served)

        refused = parse(served.send(request("/predict", b'{"sentences":[]}' + b" " * 80_000)))
        for connection in slow:
            connection.close()
        for _ in range(100):
            later = parse(served.send(request("/predict", b'{"sentences":[]}' + b" " * 80_000)))
            if later[0] == 200:
                break

    assert refused[0] == 503
    assert "leave no room" in json.loads(refused[2])["detail"]
    assert later[0] == 200


def test_slow_clients_are_told_and_let_go():
    limits = Limits(workers=1, body_seconds=0.3, request_seconds=0.3)
    head = request("/predict", None, content_type="application/json", content_length="100000")
    with serving(limits=limits) as served:
        with served.connect() as connection:
            connection.sendall(head.replace(b"GET", b"POST", 1) + b"{")
            slow_body = parse(receive(connection))
        with served.connect() as connection:
            connection.sendall(b"GET /model HTTP/1.1\r\nhost: 127.")
            slow_head = parse(receive(connection))
        with served.connect() as connection:
            silent = receive(connection)
        with served.connect() as connection:
            connection.sendall(request("/health", None).replace(b"connection: close\r\n", b"") + b"GET /mo")
            second = receive(connection)

    assert slow_body[0] == slow_head[0] == 408
    assert json.loads(slow_body[2]) == {"detail": "the body did not arrive within 0.3 seconds"}
    assert json.loads(slow_head[2]) == {"detail": "the request took too long to come"}
    assert silent == b""
    assert second.count(b"HTTP/1.1 200") == second.count(b"HTTP/1.1 408") == 1


def test_who_does_not_read_the_answer_is_let_go():
    limits = Limits(workers=1, request_seconds=0.3, body_bytes=20_000_000)
    body = json.dumps({"sentences": ["a" * 9_000] * 1_200}).encode()
    with serving(limits=limits) as served:
        connections = served.server.server_state.connections
        with served.connect() as connection:
            connection.sendall(request("/predict", body))
            held = 0
            for _ in range(1_000):
                held = max(held, 0, *(each.transport.get_write_buffer_size() for each in [*connections]))
                if held and not connections:
                    break
                time.sleep(0.01)

    assert held > 1_000_000
    assert not connections


def test_a_thousand_connections_are_answered_or_refused():
    limits = Limits(workers=2, connections=400, request_seconds=2)
    with serving(limits=limits) as served:
        connections = [served.connect() for _ in range(1_000)]
        for connection in connections:
            connection.sendall(request("/health", None))
        answers = [receive(connection) for connection in connections]
        for connection in connections:
            connection.close()
        after = served.get("/health")[0]

    statuses = {answer[:12] for answer in answers}
    assert statuses <= {b"HTTP/1.1 200", b"HTTP/1.1 503"}
    assert len(answers) == 1_000
    assert after == 200


def test_a_stopping_server_answers_what_is_under_way():
    classifier = WordClassifier()
    with serving(classifier, Limits(workers=1)) as served, ThreadPoolExecutor(3) as clients:
        classifier.gate.clear()
        waiting = [clients.submit(served.post, "/predict", {"sentences": ["It rained."]}) for _ in range(3)]
        wait_for(served, requests=3)

        served.server.should_exit = True
        threading.Timer(0.3, classifier.gate.set).start()
        statuses = [future.result()[0] for future in waiting]

    assert statuses == [200, 200, 200]


# The queue itself


def test_a_free_thread_begins_at_once_and_work_is_done_in_order():
    async def run() -> tuple[list[int], float]:
        queue = WorkQueue(1, 10)
        await queue.submit(lambda check: None).result
        done: list[int] = []
        jobs = [queue.submit(lambda check, number=number: done.append(number)) for number in range(5)]
        await asyncio.gather(*(job.result for job in jobs))
        waits = []
        for _ in range(50):
            job = queue.submit(lambda check: None)
            await job.result
            waits.append(job.waited)
        queue.close()
        return done, sorted(waits)[25]

    done, wait = asyncio.run(run())

    assert done == [0, 1, 2, 3, 4]
    assert wait < 0.001


def test_what_has_no_room_is_refused_and_room_comes_back():
    async def run() -> list[object]:
        queue = WorkQueue(1, 1)
        gate = threading.Event()
        jobs = [queue.submit(lambda check: gate.wait()) for _ in range(2)]
        seen: list[object] = [queue.is_full]
        with pytest.raises(FullError):
            queue.submit(lambda check: None)
        jobs[1].abandon()
        seen.append(queue.is_full)
        gate.set()
        results = await asyncio.gather(*(job.result for job in jobs), return_exceptions=True)
        await asyncio.sleep(0)
        queue.close()
        return [*seen, queue.jobs, type(results[1])]

    assert asyncio.run(run()) == [True, True, 0, AbandonedError]


def test_work_is_broken_off_at_its_next_check():
    async def run() -> int:
        queue = WorkQueue(1, 1)
        begun, count = threading.Event(), 0

        def work(check) -> None:
            nonlocal count
            while True:
                count += 1
                begun.set()
                check()

        job = queue.submit(work)
        await asyncio.get_running_loop().run_in_executor(None, begun.wait)
        job.abandon()
        with pytest.raises(AbandonedError):
            await job.result
        queue.close()
        return count

    assert asyncio.run(run()) > 0


# With a model


def test_what_is_served_is_what_the_classifier_says_to_the_last_bit(tmp_path: Path):
    classifier = StanceClassifier.load(write_folder(tmp_path / "model"), threads=1)
    text = "The minister denies it, and warns them. " * 30 + "Warn the minister."
    with serving(classifier, Limits(workers=2)) as served, ThreadPoolExecutor(8) as clients:
        asked = [clients.submit(score, served, {"text": text}, any_language=True) for _ in range(8)]
        answers = [future.result()[1]["documents"][0]["sentences"] for future in asked]

    expected = [
        list(sentence.probabilities.values()) for sentence in classifier.score_article(text).sentences
    ]
    for sentences in answers:
        said = [list(sentence["probabilities"].values()) for sentence in sentences]
        assert np.array_equal(np.float32(said), np.float32(expected))
