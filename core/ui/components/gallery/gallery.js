/**
 * The result gallery in the browser. Thresholds and similarities are whole numbers from 0 to 1000 (tenths of a
 * percent), so nothing here rounds. Matches come best first: those that reach the threshold are always a prefix. A
 * match is known by its place among them; `leader` is the place of the match that it is folded under, or null.
 *
 * @typedef {{id: string, src: string, url: string, title: string, score: number, leader: number | null, note: string,
 *   badge: string}} Match
 * @typedef {{label: string, at: number, reason: string}} Mark
 * @typedef {{matches: Match[], revision: string, threshold: number, heard: number, selected: string[],
 *   selectable: boolean, total: number, label: string, marks: Mark[], advice: string, caution: boolean,
 *   verdicts: Record<string, boolean> | null, heard_verdicts: Record<string, number>,
 *   browsing: string, page: number, everything: boolean}} Data
 */

const STEP = 5; // a drag and an arrow key move by half a percent
const KEYS = {
  ArrowLeft: -STEP, ArrowDown: -STEP, ArrowRight: STEP, ArrowUp: STEP,
  PageDown: -50, PageUp: 50, Home: -1000, End: 1000,
};

const percent = (score) => `${score / 10}\u202f%`;
const percentTenths = (score) => `${(score / 10).toFixed(1)}\u202f%`;
const grouped = (count) => count.toLocaleString("en");
const range = (start, end) => Array.from({ length: Math.max(0, end - start) }, (_, step) => start + step);

/** How many of the matches reach the threshold, by binary search. */
function countReaching(matches, threshold) {
  let low = 0;
  let high = matches.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (matches[middle].score >= threshold) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The histogram as an SVG path, one bar a percent. Heights go by square root, so that a single match still shows. */
function histogram(matches) {
  const bins = new Array(100).fill(0);
  for (const { score } of matches) bins[Math.min(99, Math.floor(score / 10))] += 1;
  const top = Math.sqrt(Math.max(...bins, 1));
  return bins
    .map((count, at) => (count ? `M${at + 0.1} 1V${(1 - Math.sqrt(count) / top).toFixed(3)}h.8V1z` : ""))
    .join("");
}

/** The address as a URL object, or null; /… is a path on this server. */
function address(text) {
  const base = text.startsWith("/") ? location.origin : undefined;
  return URL.canParse(text, base) ? new URL(text, base) : null;
}

/** A name to show for a match: its title, else the file name in its address. */
function nameOf(match, source) {
  const file = source?.pathname.split("/").filter(Boolean).pop();
  return match.title || file || "Untitled picture";
}

/** Put words in a part of a card that is hidden while it has none. */
function say(part, words) {
  part.textContent = words;
  part.hidden = !words;
}

/** Words in the place of an image that did not load. */
function showBroken({ target }) {
  target.hidden = true;
  target.nextElementSibling.hidden = false;
}

/** One mounted gallery: the state that the curator touches, and the page parts that show it. */
class Gallery {
  matches = [];
  cards = []; // one <li> a match, in the same order
  threshold = 0;
  reaching = 0; // matches that reach the threshold
  shown = []; // places of the cards on the page, in their order there
  below = -1; // the place of the card just below the line, which is the last one shown; or -1
  copies = new Map(); // the places of a leader's copies, best first
  unfolded = new Set(); // leaders whose copies are shown
  selected = new Set(); // places in `matches`
  anchor = 0; // where a range selection starts
  current = 0; // the card that the Tab key reaches
  ordered = null; // the threshold that Python gave last
  agreed = null; // the threshold that both sides know
  turn = null; // counts what was sent, so that an answer to an earlier release is known as stale
  drag = null; // {from, to, frame} while a pointer holds the handle

  constructor(root) {
    this.parts = { root };
    for (const part of root.querySelectorAll("[data-part]")) this.parts[part.dataset.part] = part;
    this.announce = whenQuiet(() => (this.parts.live.textContent = this.parts.count.textContent));
    this.releaseSoon = whenQuiet(() => this.release());
    this.tellSelection = whenQuiet(() =>
      this.setState("selected", { revision: this.revision, ids: this.selectedIds() }));
    this.listenToScale();
    this.listenToCards();
    this.parts.closest.onclick = () => {
      this.moveTo(this.matches[0].score);
      this.release();
      this.focusCard(0);
    };
    this.parts.marks.onclick = ({ target }) => {
      const mark = this.marks[[...this.parts.marks.children].indexOf(target)];
      if (!mark) return;
      this.moveTo(mark.at);
      this.release();
    };
    this.parts.selectAll.onclick = () => this.select(range(0, this.reaching), true);
    this.parts.clear.onclick = () => this.select([...this.selected], false);
  }

  /** Take what Python sent. The same matches again change nothing that the curator sees or holds. */
  update(data, setState, setTrigger) {
    const { parts } = this;
    this.setState = setState;
    this.setTrigger = setTrigger;
    this.total = data.total;
    this.turn ??= data.heard;
    this.selectable = data.selectable;
    parts.root.classList.toggle("selectable", data.selectable);
    parts.picks.hidden = !data.selectable;
    this.suggest(data);
    this.browse(data);
    const first = this.revision === undefined;
    const renewed = data.revision !== this.revision;
    const held = renewed && this.focused() ? this.matches[this.current].id : null;
    if (renewed) this.replace(data);
    const order = data.heard >= this.turn && data.threshold !== this.ordered;
    if (order) this.ordered = data.threshold;
    // What was let go of comes back as an order, perhaps late: it must not undo the keys pressed since.
    if (order && data.threshold !== this.agreed) {
      this.agreed = data.threshold;
      if (!this.drag) this.threshold = clamp(data.threshold, 0, 1000);
    }
    this.takeVerdicts(data);
    this.moveTo(this.threshold);
    if (held !== null && this.shown.length) {
      this.focusCard(this.nearest(this.matches.findIndex((match) => match.id === held)));
    }
    if (first && !data.browsing) this.comeIntoView();
  }

  /** On a phone the query fills the screen: what it finds would stay unseen below. */
  comeIntoView() {
    if (!matchMedia("(max-width: 40rem)").matches) return;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    requestAnimationFrame(() => this.parts.root.scrollIntoView({ behavior: calm ? "instant" : "smooth" }));
  }

  /** Put other matches in the place of all cards. */
  replace({ matches, revision, selected, label }) {
    const { parts } = this;
    this.matches = matches;
    this.revision = revision;
    this.tellSelection.cancel();
    this.sheet = answerSheet((sheet) => this.setState("verdicts", sheet)); // what was said of others stays theirs
    this.cards = matches.map((match) => this.card(match));
    this.copies = new Map();
    matches.forEach(({ leader }, place) => {
      if (leader !== null) this.copies.set(leader, [...(this.copies.get(leader) ?? []), place]);
    });
    this.unfolded = new Set();
    this.shown = [];
    this.below = -1;
    parts.cards.replaceChildren();
    parts.cards.setAttribute("aria-label", label);
    parts.toolbar.hidden = matches.length === 0;
    const bars = histogram(matches);
    parts.all.setAttribute("d", bars);
    parts.reaching.setAttribute("d", bars);
    this.reaching = -1; // not known yet
    this.current = this.anchor = 0;
    this.setTabbable(0, true);
    this.selected = new Set();
    const ids = new Set(selected);
    matches.forEach((match, place) => ids.has(match.id) && this.tick(place, true));
    this.showSelection();
  }

  /** Without a query there are no scores and no line: `browsing` says what is shown instead. */
  browse({ browsing, page, everything }) {
    const { root, selectAll } = this.parts;
    this.browsing = browsing;
    root.classList.toggle("browsing", browsing !== "");
    root.classList.toggle("everything", everything);
    if (browsing) [selectAll.textContent, selectAll.title] = ["Select this page", "All pictures of this page"];
    if (this.page && page !== this.page) root.scrollIntoView();
    this.page = page;
  }

  /** The suggested cuts, a button and a tick each, and the sentence about them. */
  suggest({ marks, advice, caution }) {
    const { parts } = this;
    parts.suggestion.hidden = !advice && marks.length === 0;
    parts.root.classList.toggle("caution", caution);
    if (parts.advice.textContent !== advice) parts.advice.textContent = advice;
    if (JSON.stringify(marks) === JSON.stringify(this.marks)) return;
    this.marks = marks;
    parts.marks.replaceChildren(...marks.map(({ label, at, reason }) => {
      const button = document.createElement("button");
      button.type = "button";
      button.title = reason;
      button.textContent = `${label} ${percent(at)}`;
      return button;
    }));
    parts.ticks.replaceChildren(...marks.map(({ at }) => {
      const tick = document.createElement("span");
      tick.style.setProperty("--place", at / 1000);
      return tick;
    }));
  }

  /** The card of one match. Its words go in as text, never as markup. */
  card(match) {
    const card = this.parts.template.content.firstElementChild.cloneNode(true);
    const source = address(match.url);
    const name = nameOf(match, source);
    const title = card.querySelector(".title");
    title.textContent = title.title = name;
    if (/^https?:$/.test(source?.protocol)) title.href = source.href;
    card.querySelector(".host").textContent = match.url.startsWith("/") ? "Kept here" : (source?.hostname ?? "");
    card.querySelector(".score").textContent = percentTenths(match.score);
    say(card.querySelector(".note"), match.note);
    say(card.querySelector(".badge"), match.badge);
    const kind = match.leader === null ? "" : "a copy";
    card.classList.toggle("copy", kind !== "");
    const score = this.browsing ? "" : percentTenths(match.score);
    const words = [name, score, match.note, match.badge, kind].filter(Boolean);
    card.querySelector(".picture").setAttribute("aria-label", words.join(", "));
    for (const ask of card.querySelectorAll(".asks button")) ask.setAttribute("aria-label", `${ask.title}: ${name}`);
    for (const button of card.querySelectorAll("[data-verdict]")) {
      button.setAttribute("aria-label", `${button.title}: ${name}`);
    }
    card.querySelector(".pick input").setAttribute("aria-label", `Select ${name}`);
    const image = card.querySelector("img");
    image.alt = name;
    image.onerror = showBroken;
    image.src = match.src;
    return card;
  }

  // The threshold

  /** Move the line and show what reaches it; only what changes is touched. */
  moveTo(threshold) {
    const { parts, matches } = this;
    this.threshold = threshold;
    const before = this.reaching;
    const now = (this.reaching = countReaching(matches, threshold));
    const focused = this.focused();
    if (now !== before) {
      this.showCopies(range(Math.max(0, Math.min(before, now)), Math.max(before, now)));
      this.arrange();
      this.showSelection();
    }
    if (focused && this.focused() !== focused) this.focusCard(this.current); // what held it is gone
    parts.scale.style.setProperty("--at", threshold / 1000);
    parts.value.textContent = percentTenths(threshold);
    for (const [at, button] of [...parts.marks.children].entries()) {
      const pressed = String(this.marks[at].at === threshold);
      if (button.getAttribute("aria-pressed") !== pressed) button.setAttribute("aria-pressed", pressed);
    }
    this.showCount();
  }

  /**
   * Bring the page's cards up to date. A card that does not show is out of the page: in Chromium, taking 500 of them
   * out needs 10 ms, hiding them in place 170 ms.
   */
  arrange() {
    const { cards, matches, parts } = this;
    const below = this.reaching < matches.length ? this.reaching : -1;
    const shown = range(0, this.reaching)
      .filter((place) => matches[place].leader === null)
      .flatMap((place) => (this.unfolded.has(place) ? [place, ...this.copiesReaching(place)] : [place]))
      .concat(below < 0 ? [] : [below]);
    const stays = new Set(shown);
    for (const place of this.shown) {
      const rises = place === this.below && place !== below && matches[place].leader !== null; // to its leader
      if (rises || !stays.has(place)) cards[place].remove();
    }
    let next = null;
    for (const place of shown.toReversed()) {
      const card = cards[place];
      if (card.parentNode !== parts.cards || card.nextSibling !== next) parts.cards.insertBefore(card, next);
      next = card;
    }
    if (this.below !== below) {
      if (cards[this.below]) this.showScore(this.below, false);
      if (cards[below]) this.showScore(below, true);
    }
    this.shown = shown;
    this.below = below;
    if (cards.length) this.setCurrent(this.nearest(this.current));
  }

  /** The part of a card that holds the focus, or null. */
  focused() {
    const focused = this.parts.root.getRootNode().activeElement;
    return this.parts.cards.contains(focused) ? focused : null;
  }

  /** The card shown that comes nearest to a match: its own, its leader's, or the last. */
  nearest(place) {
    const { shown } = this;
    const leader = this.matches[place]?.leader ?? place;
    return [place, leader].find((candidate) => shown.includes(candidate)) ?? (place < 0 ? shown[0] : shown.at(-1));
  }

  /** The score on a card, which also says so when it is the one just below the line. */
  showScore(at, below) {
    const card = this.cards[at];
    const score = percentTenths(this.matches[at].score);
    card.classList.toggle("below", below);
    card.querySelector(".score").textContent = below ? `Just below the line: ${score}` : score;
  }

  /** The sentences about how many matches reach the line. */
  showCount() {
    const { parts, matches, reaching, threshold } = this;
    const line = percent(threshold);
    const verb = reaching === 1 ? "reaches" : "reach";
    const least = reaching === matches.length && reaching < this.total ? "At least " : "";
    const text = this.browsing || `${least}${grouped(reaching)} of ${grouped(this.total)} ${verb} ${line}`;
    parts.handle.setAttribute("aria-valuenow", threshold / 10);
    parts.handle.setAttribute("aria-valuetext", `${line}, ${text}`);
    parts.empty.hidden = reaching > 0;
    parts.closest.hidden = matches.length === 0;
    parts.emptyText.textContent = matches.length
      ? `No picture reaches ${line}. The closest is ${percentTenths(matches[0].score)}.`
      : "There are no matches to show.";
    if (parts.count.textContent !== text) this.announce();
    parts.count.textContent = text;
  }

  /** Tell Python where the line was let go of. */
  release() {
    this.releaseSoon.cancel();
    if (this.threshold === this.agreed) return;
    this.agreed = this.threshold;
    this.turn += 1;
    this.setState("threshold", { value: this.threshold / 1000, turn: this.turn });
  }

  listenToScale() {
    const { scale, handle } = this.parts;
    const thresholdAt = (event) => {
      const box = handle.parentElement.getBoundingClientRect();
      const share = clamp((event.clientX - box.left) / box.width, 0, 1);
      return Math.round((share * 1000) / STEP) * STEP;
    };
    const end = (threshold) => {
      if (!this.drag) return;
      cancelAnimationFrame(this.drag.frame);
      this.drag = null;
      this.moveTo(threshold);
      this.release();
    };
    scale.onpointerdown = (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      scale.setPointerCapture(event.pointerId);
      handle.focus({ preventScroll: true });
      this.drag = { from: this.threshold, to: thresholdAt(event), frame: 0 };
      this.moveTo(this.drag.to);
    };
    scale.onpointermove = (event) => {
      const { drag } = this;
      if (!drag) return;
      drag.to = thresholdAt(event);
      drag.frame ||= requestAnimationFrame(() => {
        drag.frame = 0;
        this.moveTo(drag.to);
      });
    };
    scale.onpointerup = (event) => this.drag && end(thresholdAt(event));
    scale.onpointercancel = () => this.drag && end(this.drag.from); // the touch became a scroll
    handle.onkeydown = (event) => {
      const step = KEYS[event.key];
      if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      this.moveTo(clamp(Math.round((this.threshold + step) / STEP) * STEP, 0, 1000));
      this.releaseSoon();
    };
  }

  // The cards

  listenToCards() {
    const { cards } = this.parts;
    const placeOf = (event) => this.cards.indexOf(event.target.closest(".card"));
    const ticks = (event) => event.key === " " && this.selectable && event.target.matches(".picture");
    cards.onkeyup = (event) => {
      if (ticks(event)) event.preventDefault(); // else Firefox clicks the picture
    };
    cards.onclick = (event) => {
      const place = placeOf(event);
      const button = event.target.closest("button");
      if (event.target.matches("input")) this.pick(place, event.target.checked, event.shiftKey);
      else if (!button) return;
      else if (button.matches(".fold")) this.fold(place);
      else if (button.dataset.verdict) this.judge(place, button.dataset.verdict);
      else if (button.dataset.ask) this.setTrigger(button.dataset.ask, this.matches[place].id);
      else if (this.selectable && event.shiftKey) this.pick(place, true, true);
      else this.setTrigger("open", this.matches[place].id);
    };
    cards.addEventListener("focusin", (event) => this.setCurrent(placeOf(event)));
    cards.onkeydown = (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      if (ticks(event)) {
        event.preventDefault();
        this.pick(this.current, !this.selected.has(this.current), event.shiftKey);
        return;
      }
      const verdict = { y: "yes", n: "no" }[event.key.toLowerCase()];
      if (verdict && this.judging && this.shown.includes(this.current) && !event.repeat) {
        event.preventDefault();
        this.judge(this.current, verdict);
        return;
      }
      const columns = getComputedStyle(cards).gridTemplateColumns.split(" ").length;
      const { shown } = this;
      const here = shown.indexOf(this.current);
      const goal = {
        ArrowLeft: here - 1, ArrowRight: here + 1, ArrowUp: here - columns, ArrowDown: here + columns,
        Home: 0, End: shown.length - 1,
      }[event.key];
      if (goal === undefined) return;
      event.preventDefault();
      if (shown[goal] !== undefined) this.focusCard(shown[goal]);
    };
  }

  focusCard(place) {
    this.cards[place].querySelector(".picture").focus();
  }

  setCurrent(place) {
    if (place === this.current) return;
    this.setTabbable(this.current, false);
    this.current = place;
    this.setTabbable(place, true);
  }

  setTabbable(place, on) {
    const parts = this.cards[place]?.querySelectorAll("button, input, a") ?? [];
    for (const part of parts) part.tabIndex = on ? 0 : -1;
  }

  // The verdicts

  /** What Python knows; answers that it has not heard yet stand above it. */
  takeVerdicts({ verdicts, heard_verdicts: heard }) {
    this.judging = verdicts !== null;
    this.verdicts = new Map(Object.entries(verdicts ?? {}).map(([id, right]) => [id, right ? "yes" : "no"]));
    for (const [id, answer] of this.sheet.answers.slice(heard[this.sheet.visit] ?? 0)) this.verdicts.set(id, answer);
    this.matches.forEach((_, place) => this.showVerdict(place));
  }

  /** Give a verdict, or take it back when it was given already. */
  judge(place, answer) {
    const { id } = this.matches[place];
    const given = this.verdicts.get(id) === answer ? "undo" : answer;
    this.verdicts.set(id, given);
    this.sheet.put(id, given);
    this.showVerdict(place);
    this.parts.live.textContent = { yes: "Right", no: "Wrong", undo: "Verdict taken back" }[given];
  }

  showVerdict(place) {
    const group = this.cards[place].querySelector(".verdicts");
    if (group.hidden === this.judging) group.hidden = !this.judging;
    const given = this.verdicts.get(this.matches[place].id) ?? "";
    for (const button of group.children) {
      const pressed = String(button.dataset.verdict === given);
      if (button.getAttribute("aria-pressed") !== pressed) button.setAttribute("aria-pressed", pressed);
    }
  }

  // The copies

  /** The places of a leader's copies that reach the threshold. */
  copiesReaching(leader) {
    return (this.copies.get(leader) ?? []).filter((place) => place < this.reaching);
  }

  /** Unfold a leader's copies in place, right behind it, or fold them again. */
  fold(leader) {
    if (!this.unfolded.delete(leader)) this.unfolded.add(leader);
    this.showFold(leader);
    this.arrange();
    this.showSelection();
  }

  /** Bring the leaders of those of the places that are copies up to date. */
  showCopies(places) {
    const leaders = new Set(places.map((place) => this.matches[place].leader));
    leaders.delete(null);
    for (const leader of leaders) this.showFold(leader);
  }

  /** How many copies a leader stands for, and, when they are folded, how many of them are selected. */
  showFold(leader) {
    const card = this.cards[leader];
    const copies = this.copiesReaching(leader);
    const folded = !this.unfolded.has(leader);
    const picked = folded ? copies.filter((place) => this.selected.has(place)).length : 0;
    const words = `${grouped(copies.length)} ${copies.length === 1 ? "copy" : "copies"}`;
    const fold = card.querySelector(".fold");
    fold.hidden = copies.length === 0;
    fold.setAttribute("aria-expanded", String(!folded));
    fold.querySelector(".plus").textContent = folded ? "+" : "\u2212";
    fold.querySelector(".copies").textContent = picked ? `${words}, ${grouped(picked)} selected` : words;
    card.classList.toggle("stack", folded && copies.length > 0);
    card.classList.toggle("open", !folded && copies.length > 0);
  }

  isFolded(place) {
    const { leader } = this.matches[place];
    return leader !== null && !this.unfolded.has(leader);
  }

  // The selection

  /** Tick or untick one card, or the range of cards shown from the last one that was touched. */
  pick(place, on, ranged) {
    const end = this.shown.indexOf(place);
    const start = ranged && this.shown.includes(this.anchor) ? this.shown.indexOf(this.anchor) : end;
    this.select(this.shown.slice(Math.min(start, end), Math.max(start, end) + 1), on);
    this.anchor = place;
  }

  select(places, on) {
    for (const place of places) this.tick(place, on);
    this.showCopies(places);
    this.showSelection();
    this.tellSelection();
  }

  tick(place, on) {
    this.cards[place].classList.toggle("selected", on);
    this.cards[place].querySelector("input").checked = on;
    if (on) this.selected.add(place);
    else this.selected.delete(place);
  }

  selectedIds() {
    return [...this.selected].sort((a, b) => a - b).map((place) => this.matches[place].id);
  }

  /** The count, which does not hide that pictures out of sight are selected. */
  showSelection() {
    const { parts, selected, reaching } = this;
    const below = [...selected].filter((place) => place >= reaching).length;
    const folded = [...selected].filter((place) => place < reaching && this.isFolded(place)).length;
    const asides = [
      below && `${grouped(below)} of them below the line`,
      folded && `${grouped(folded)} of them folded`,
    ];
    parts.picked.textContent = [`${grouped(selected.size)} selected`, ...asides.filter(Boolean)].join(", ");
    parts.picked.hidden = parts.clear.hidden = selected.size === 0;
    parts.selectAll.hidden = reaching < 1;
    parts.root.classList.toggle("picking", selected.size > 0);
  }

  close() {
    for (const later of [this.announce, this.releaseSoon, this.tellSelection]) later.cancel();
    cancelAnimationFrame(this.drag?.frame);
  }
}

const galleries = new WeakMap();

/** Streamlit calls this at the first mount and again whenever the data or the theme has changed. */
export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector(".gallery");
  if (!galleries.has(root)) galleries.set(root, new Gallery(root));
  const gallery = galleries.get(root);
  gallery.update(data, setStateValue, setTriggerValue);
  return () => gallery.close();
}
