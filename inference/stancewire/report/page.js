// Unpacks the articles, shows them, filters them. Text is only ever set as text, never read as HTML.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const { labels, thresholds, colours, ...given } = JSON.parse(byId("settings").textContent);
  const form = byId("filters"), list = byId("list"), status = byId("status"), more = byId("more"), tip = byId("tip");
  const AUTHOR = -2, BATCH = 20;
  let { documents } = given, articles = [], shown = [], next = 0, only = null, wanted = null, dismissed = null;

  const make = (name, className, ...children) => {
    const element = document.createElement(name);
    if (className) element.className = className;
    element.append(...children);
    return element;
  };
  const hidden = (text) => make("span", "hidden", text);
  const percent = (thousandths) =>
    thousandths <= 0 ? "<0.1%" : thousandths >= 1000 ? ">99.9%" : `${(thousandths / 10).toFixed(1)}%`;
  const counted = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

  async function unpack() {
    const packed = byId("packed");
    if (!packed) return []; // A page that is served gets its articles later.
    const bytes = Uint8Array.from(atob(packed.textContent), (character) => character.charCodeAt(0));
    packed.remove();
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const text = await new Response(stream).text();
    return text.split("\n").filter(Boolean).map((line) => {
      const [number, name, date, sentences] = JSON.parse(line);
      return {
        number, name, date,
        sentences: sentences.map(([gap, words, probabilities, stances, uncertain]) => ({
          gap, words, probabilities, uncertain,
          stances: stances.map(([label, source, target, from, to]) => ({ label, source, target, from, to })),
        })),
      };
    });
  }

  // What is asked for.

  const read = () => {
    const data = new FormData(form);
    const bound = (name) => {
      const value = parseFloat(data.get(name));
      return Number.isNaN(value) ? null : value * 10;
    };
    const words = (data.get("words") || "").trim().split(/\s+/).filter(Boolean);
    const pattern = words.map((word) => word.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join("\\s+");
    const least = bound("least"), most = bound("most");
    return {
      stances: new Set(data.getAll("stance").map(Number)),
      source: data.get("source") || "", target: data.get("target") || "",
      range: least === null && most === null ? null : [least ?? 0, most ?? 1000],
      words: pattern ? new RegExp(pattern, "giu") : null,
      alone: data.has("alone"), order: data.get("order"),
    };
  };
  const isActive = (asked) =>
    Boolean(asked.stances.size || asked.source || asked.target || asked.range || asked.words);

  const contains = (pattern, text) => {
    pattern.lastIndex = 0;
    return pattern.test(text);
  };
  const isFound = (sentence, asked, named) => {
    const within = (label) =>
      !asked.range || (sentence.probabilities[label] >= asked.range[0] && sentence.probabilities[label] <= asked.range[1]);
    const chosen = (label) => (!asked.stances.size || asked.stances.has(label)) && within(label);
    if (asked.words && !named && !contains(asked.words, sentence.words)) return false;
    if (asked.source || asked.target)
      return sentence.stances.some((stance) => chosen(stance.label)
        && (!asked.source || stance.source === Number(asked.source))
        && (!asked.target || stance.target === Number(asked.target)));
    if (asked.range) return labels.some((_, label) => chosen(label));
    return !asked.stances.size || sentence.stances.some((stance) => chosen(stance.label));
  };

  function filter() {
    wanted = read();
    const active = isActive(wanted);
    let sentences = 0;
    shown = [];
    for (const article of articles) {
      if (only !== null && article.number !== only) continue;
      const named = Boolean(wanted.words) && contains(wanted.words, article.name);
      const found = new Set(active ? article.sentences.filter((sentence) => isFound(sentence, wanted, named)) : []);
      if (active && !found.size) continue;
      sentences += found.size;
      const rank = active ? found.size : article.sentences.filter((sentence) => sentence.stances.length).length;
      shown.push({ article, found: active ? found : null, rank });
    }
    // Articles without a date come last either way.
    const orders = {
      stances: (one, other) => other.rank - one.rank,
      date: (one, other) => (one.article.date || "9").localeCompare(other.article.date || "9"),
      newest: (one, other) => other.article.date.localeCompare(one.article.date),
    };
    if (orders[wanted.order]) shown.sort(orders[wanted.order]);
    const where = `${counted(shown.length, "article")} of ${documents.toLocaleString("en")}`;
    status.textContent = active ? `Found ${counted(sentences, "sentence")} in ${where}.` : `${where}.`;
    if (only !== null) {
      const all = make("button", "", "Show the other articles");
      all.type = "button";
      all.addEventListener("click", () => { only = null; filter(); });
      status.append(" ", all);
    }
    list.replaceChildren();
    next = 0;
    extend(BATCH);
  }

  function extend(count) {
    const until = Math.min(next + count, shown.length);
    const fragment = document.createDocumentFragment();
    for (; next < until; next += 1) fragment.append(articleElement(shown[next]));
    list.append(fragment);
    more.hidden = next >= shown.length;
    more.firstElementChild.hidden = shown.length - next <= BATCH;
    more.lastElementChild.textContent = `Show all ${(shown.length - next).toLocaleString("en")} that follow`;
  }

  // How an article looks.

  function articleElement({ article, found }) {
    const counts = labels.map((label, position) => {
      const number = article.sentences.filter((s) => s.stances.some((stance) => stance.label === position)).length;
      return number ? `${label} ${number}` : "";
    }).filter(Boolean);
    const about = [article.date, counted(article.sentences.length, "sentence"), ...counts].filter(Boolean);
    const element = make("article", "article", make("h3", "", article.name), make("p", "meta", about.join(" · ")));
    let paragraph = null, left = false;
    for (const sentence of article.sentences) {
      const isIn = !found || found.has(sentence);
      if (!isIn && wanted.alone) { left = true; continue; }
      if (!paragraph || sentence.gap === 2 || (left && wanted.alone)) element.append(paragraph = make("p"));
      else if (sentence.gap) paragraph.append(" ");
      if (left) paragraph.append(make("span", "cut", "… "));
      left = false;
      paragraph.append(sentenceElement(sentence, isIn));
    }
    return element;
  }

  function sentenceElement(sentence, isIn) {
    const held = sentence.stances;
    const first = held.find((stance) => wanted.stances.has(stance.label)) || held[0];
    const body = make(first ? "mark" : "span", first ? `c${colours[first.label]}` : "", ...pieces(sentence));
    if (first) body.tabIndex = 0;
    const element = make("span", isIn ? "sentence" : "sentence aside", body);
    for (const stance of held) {
      const chip = make("span", `chip c${colours[stance.label]}`, `${labels[stance.label]} ${percent(sentence.probabilities[stance.label])}`);
      const parties = whoToWhom(stance, sentence);
      if (parties) chip.append(hidden(`, ${parties}`));
      element.append(chip);
    }
    if (sentence.uncertain) element.append(make("span", "chip", "uncertain"));
    element.sentence = sentence;
    return element;
  }

  function pieces(sentence) {
    const spans = [];
    for (const stance of sentence.stances) {
      if (stance.from) spans.push([...stance.from, "source"]);
      if (stance.to) spans.push([...stance.to, "target"]);
    }
    if (wanted.words)
      for (const hit of sentence.words.matchAll(wanted.words)) spans.push([hit.index, hit.index + hit[0].length, "hit"]);
    if (!spans.length) return [sentence.words];
    const cuts = [...new Set([0, sentence.words.length, ...spans.flatMap(([start, end]) => [start, end])])];
    cuts.sort((one, other) => one - other);
    return cuts.slice(1).map((end, place) => {
      const start = cuts[place];
      const kinds = new Set(spans.filter((span) => span[0] <= start && end <= span[1]).map((span) => span[2]));
      const text = sentence.words.slice(start, end);
      return kinds.size ? make("span", [...kinds].join(" "), text) : text;
    });
  }

  function whoToWhom(stance, sentence) {
    const words = (span) => sentence.words.slice(...span).replace(/\s+/g, " ");
    const source = stance.from ? `by ${words(stance.from)}` : stance.source === AUTHOR ? "by the writer" : "";
    const target = stance.to ? `towards ${words(stance.to)}` : "";
    return [source, target].filter(Boolean).join(" ");
  }

  // Probabilities, beside the pointer's or the keyboard's sentence.

  function showTip(element) {
    const sentence = element.sentence, rows = make("tbody");
    labels.forEach((label, position) => {
      const isHeld = sentence.stances.some((stance) => stance.label === position);
      const name = make("th", "", make("span", `key c${colours[position]}`), label);
      name.scope = "row";
      rows.append(make("tr", "", name, make("td", "n", percent(sentence.probabilities[position])),
        make("td", "meta", isHeld ? "counted" : `below ${percent(Math.round(thresholds[position] * 1000))}`)));
    });
    tip.replaceChildren(make("table", "", rows));
    for (const stance of sentence.stances) {
      const parties = whoToWhom(stance, sentence);
      if (parties) tip.append(make("p", "", `${labels[stance.label]}: ${parties}`));
    }
    tip.hidden = false;
    const box = element.firstElementChild.getClientRects(), last = box[box.length - 1];
    const left = Math.max(8, Math.min(last.left, document.documentElement.clientWidth - tip.offsetWidth - 8));
    const below = last.bottom + tip.offsetHeight + 12 < innerHeight;
    tip.style.left = `${left + scrollX}px`;
    tip.style.top = `${(below ? last.bottom + 6 : box[0].top - tip.offsetHeight - 6) + scrollY}px`;
    element.firstElementChild.setAttribute("aria-describedby", "tip");
  }
  function hideTip() {
    tip.hidden = true;
    list.querySelector("[aria-describedby]")?.removeAttribute("aria-describedby");
  }
  const onSentence = (event) => {
    const element = event.target.closest(".sentence");
    if (!element || element === dismissed) return;
    dismissed = null;
    hideTip();
    showTip(element);
  };
  const onEscape = (event) => {
    if (event.key !== "Escape" || tip.hidden) return;
    // The browser tells of a pointer that rests over a sentence again when the page moves below it.
    dismissed = list.querySelector("[aria-describedby]")?.parentElement;
    hideTip();
  };

  // Links such as #find:stance=0&source=3 set the filters.

  function choose(select, value) {
    select.value = value;
    // The list has the most frequent names only; a pair may have another.
    if (select.value !== value) select.append(new Option("as in the table", value, false, true));
  }

  function follow() {
    if (!location.hash.startsWith("#find:")) return;
    const asked = new URLSearchParams(location.hash.slice(6));
    form.reset();
    only = asked.has("article") ? Number(asked.get("article")) : null;
    for (const input of form.elements) {
      if (input.name === "stance") input.checked = asked.getAll("stance").includes(input.value);
      else if ((input.name === "source" || input.name === "target") && asked.has(input.name)) choose(input, asked.get(input.name));
    }
    filter();
    byId("articles-title").focus({ preventScroll: true });
    byId("articles").scrollIntoView();
  }

  async function start() {
    try {
      articles = await unpack();
    } catch {
      byId("failure").hidden = false;
      return;
    }
    let pause = 0;
    form.hidden = false;
    byId("reading").hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => { clearTimeout(pause); pause = setTimeout(filter, 150); });
    form.addEventListener("reset", () => { only = null; setTimeout(filter); });
    more.addEventListener("click", (event) => {
      const count = event.target.dataset.more;
      if (!count) return;
      const place = next;
      extend(count === "all" ? Infinity : Number(count));
      const heading = list.children[place]?.querySelector("h3");
      if (heading) { heading.tabIndex = -1; heading.focus({ preventScroll: true }); }
    });
    list.addEventListener("mouseover", onSentence);
    list.addEventListener("focusin", onSentence);
    list.addEventListener("mouseleave", hideTip);
    list.addEventListener("focusout", hideTip);
    document.addEventListener("keydown", onEscape);
    addEventListener("hashchange", follow);
    addEventListener("stancewire-articles", (event) => {
      articles = event.detail;
      documents = articles.length;
      only = null;
      filter();
    });
    filter();
    follow();
  }
  start();
})();
