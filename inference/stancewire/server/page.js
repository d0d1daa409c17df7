// Asks the server about what was pasted or dropped, and hands the answer to the report's script (report.js),
// which shows it. Text is only ever set as text, never read as HTML.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const { labels, limits } = JSON.parse(byId("settings").textContent);
  const ask = byId("ask"), text = byId("text"), files = byId("files"), state = byId("state"), faults = byId("faults");
  const NOBODY = -1, AUTHOR = -2, PASTED = "Pasted text", ATTEMPTS = 8;
  const articles = new Map(); // what the server said of each document, by its name
  let tasks = Promise.resolve(), under = 0;

  const percent = (share) => `${(100 * share).toFixed(1)}%`;
  const counted = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
  const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

  async function post(documents) {
    const body = JSON.stringify({ documents, any_language: ask.elements.any_language.checked });
    for (let attempt = 1; ; attempt += 1) {
      const response = await fetch("score", { method: "POST", headers: { "Content-Type": "application/json" }, body });
      const answer = await response.json().catch(() => ({ detail: `the server answered ${response.status}` }));
      if (response.ok) return answer;
      if (response.status !== 503 || attempt === ATTEMPTS) throw new Error(answer.detail);
      state.textContent = "The server is busy; it is asked again …";
      await pause(Number(response.headers.get("Retry-After")) || 1);
    }
  }

  // From an answer to what the report's script shows. Its offsets count UTF-16 units, the server's characters.

  class Names {
    #numbers = new Map();
    spellings = [];
    number(name) {
      const spelling = name.trim().replace(/\s+/gu, " ").replace(/^(?:the|an?) (?=.)/iu, "");
      const folded = spelling.toLowerCase();
      if (!this.#numbers.has(folded)) {
        this.#numbers.set(folded, this.spellings.length);
        this.spellings.push(spelling);
      }
      return this.#numbers.get(folded);
    }
  }

  function place(span, sentence) {
    if (!span) return 0;
    const characters = Array.from(sentence.text);
    const units = (end) => characters.slice(0, end - sentence.start).join("").length;
    return [units(span.start), units(span.end)];
  }

  function shown(scored, number, names) {
    let end = 0;
    return {
      number, name: scored.document, date: scored.date || "",
      sentences: scored.sentences.map((sentence, position) => {
        const gap = position ? Math.min(Math.max(sentence.start - end, 0), 2) : 0;
        end = sentence.end;
        return {
          gap, words: sentence.text, uncertain: sentence.uncertain,
          probabilities: labels.map((label) => Math.round(1000 * sentence.probabilities[label])),
          stances: sentence.stances.map((stance) => ({
            label: labels.indexOf(stance.label),
            source: stance.source ? names.number(stance.source.text) : stance.source_kind === "author" ? AUTHOR : NOBODY,
            target: stance.target ? names.number(stance.target.text) : NOBODY,
            from: place(stance.source, sentence), to: place(stance.target, sentence),
          })),
        };
      }),
    };
  }

  function show() {
    const names = new Names();
    const list = [...articles.values()].map((scored, number) => shown(scored, number, names));
    byId("found").hidden = byId("articles").hidden = !list.length;
    count(list);
    for (const side of ["source", "target"]) offer(byId("filters").elements[side], side, list, names);
    dispatchEvent(new CustomEvent("stancewire-articles", { detail: list }));
  }

  function count(list) {
    const all = list.reduce((sum, article) => sum + article.sentences.length, 0);
    byId("found").querySelectorAll("tbody tr").forEach((row, label) => {
      const holds = (sentence) => sentence.stances.some((stance) => stance.label === label);
      const held = list.map((article) => article.sentences.filter(holds).length);
      const sentences = held.reduce((sum, number) => sum + number, 0);
      const values = {
        sentences: sentences.toLocaleString("en"), share: all ? percent(sentences / all) : "",
        articles: held.filter(Boolean).length.toLocaleString("en"),
      };
      for (const cell of row.querySelectorAll("[data-count]")) cell.textContent = values[cell.dataset.count];
    });
  }

  function offer(select, side, list, names) {
    const totals = new Map();
    for (const article of list)
      for (const sentence of article.sentences)
        for (const stance of sentence.stances) totals.set(stance[side], (totals.get(stance[side]) || 0) + 1);
    const read = (number) => number === AUTHOR ? "the writer" : number === NOBODY ? "nobody named" : names.spellings[number];
    const ranked = [...totals].sort((one, other) => (other[0] >= 0) - (one[0] >= 0) || other[1] - one[1]);
    const chosen = select.value && select.selectedOptions[0].dataset.name;
    select.replaceChildren(select.options[0], ...ranked.map(([number, total]) => {
      const name = read(number), cut = name.length > 60 ? `${name.slice(0, 59)}…` : name;
      const option = new Option(`${cut} (${total.toLocaleString("en")})`, String(number), false, name === chosen);
      option.dataset.name = name;
      return option;
    }));
  }

  // Another file of the same name is another document; the same file again, or a text that was changed, is not.
  function keep(scored) {
    const isOther = (name) =>
      name !== PASTED && articles.has(name) && articles.get(name).fingerprint !== scored.fingerprint;
    let name = scored.document;
    for (let number = 2; isOther(name); number += 1) name = `${scored.document}#${number}`;
    articles.set(name, { ...scored, document: name });
  }

  // What is asked: one document after the other, so that the first is there at once.

  function complain(...sentences) {
    for (const sentence of sentences) {
      const item = document.createElement("li");
      item.textContent = sentence;
      faults.append(item);
    }
    faults.hidden = !faults.children.length;
  }

  function read(name, make) {
    under += 1;
    tasks = tasks.then(async () => {
      state.textContent = under > 1 ? `Reading; ${counted(under, "document")} to go …` : "Reading …";
      ask.setAttribute("aria-busy", "true");
      try {
        const began = performance.now();
        const answer = await post([await make()]);
        const seconds = (performance.now() - began) / 1000;
        answer.documents.forEach(keep);
        complain(...answer.skipped.map((skipped) => `${skipped.document} ${skipped.reason}`));
        show();
        const sentences = answer.documents.reduce((sum, scored) => sum + scored.sentences.length, 0);
        state.textContent = answer.documents.length ? `${counted(sentences, "sentence")} read in ${seconds.toFixed(2)} seconds.` : "";
      } catch (error) {
        complain(error instanceof TypeError ? "The server does not answer: is stancewire serve still running?" : `${name}: ${error.message}.`);
        state.textContent = "";
      } finally {
        under -= 1;
        ask.removeAttribute("aria-busy");
      }
    });
  }

  function readPasted() {
    faults.replaceChildren();
    complain();
    if (text.value.trim()) read(PASTED, async () => ({ document: PASTED, text: text.value.toWellFormed?.() ?? text.value }));
    else state.textContent = "There is no text yet.";
  }

  function readFiles(chosen) {
    faults.replaceChildren();
    complain();
    for (const file of chosen) {
      // In base64 three bytes are four.
      if (file.size > (limits.body_bytes - 4096) * 0.75) complain(`${file.name} is larger than this server takes at once.`);
      else read(file.name, async () => ({ document: file.name.toWellFormed?.() ?? file.name, content: await base64(file) }));
    }
  }

  const base64 = (file) => new Promise((done, fail) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => done(reader.result.slice(reader.result.indexOf(",") + 1)));
    reader.addEventListener("error", () => fail(new Error("the browser cannot read it")));
    // Of an empty file the browser makes `data:`, without a comma.
    if (file.size) reader.readAsDataURL(file);
    else done("");
  });

  function download() {
    const lines = [...articles.values()].map((scored) => `${JSON.stringify(scored)}\n`);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(lines, { type: "application/x-ndjson" }));
    link.download = "scores.jsonl";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  ask.addEventListener("submit", (event) => { event.preventDefault(); readPasted(); });
  text.addEventListener("paste", () => setTimeout(readPasted));
  text.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) readPasted(); });
  files.addEventListener("change", () => { readFiles([...files.files]); files.value = ""; });
  byId("download").addEventListener("click", download);
  byId("forget").addEventListener("click", () => {
    articles.clear();
    text.value = state.textContent = "";
    faults.replaceChildren();
    complain();
    show();
    text.focus();
  });

  // Files that are dropped anywhere; else the browser would open them in place of the page.
  const hasFiles = (event) => [...event.dataTransfer.types].includes("Files");
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
  addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (!hasFiles(event)) return;
    event.preventDefault();
    readFiles([...event.dataTransfer.files]);
  });
})();
