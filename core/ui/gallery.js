/**
 * The result gallery in the browser. Thresholds and similarities are whole numbers from 0 to 1000 (tenths of a
 * percent), so nothing here rounds. Matches come best first: those that reach the threshold are always a prefix.
 *
 * @typedef {{id: string, src: string, url: string, title: string, score: number}} Match
 * @typedef {{matches: Match[], revision: string, threshold: number, heard: number, selected: string[],
 *   selectable: boolean, total: number, label: string}} Data
 */

const QUIET_MS = 300; // keys, ticks and announcements are passed on after a pause of this length
const STEP = 5; // a drag and an arrow key move by half a percent
const KEYS = {
  ArrowLeft: -STEP, ArrowDown: -STEP, ArrowRight: STEP, ArrowUp: STEP,
  PageDown: -50, PageUp: 50, Home: -1000, End: 1000,
};

const percent = (score) => `${score / 10}\u202f%`;
const percentTenths = (score) => `${(score / 10).toFixed(1)}\u202f%`;
const grouped = (count) => count.toLocaleString("en");
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

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

/** Words in the place of an image that did not load. */
function showBroken({ target }) {
  target.hidden = true;
  target.nextElementSibling.hidden = false;
}

/** A function that calls `act` once, after it has not been called for a while; `cancel()` forgets the call. */
function whenQuiet(act) {
  let timer;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(act, QUIET_MS);
  };
  later.cancel = () => clearTimeout(timer);
  return later;
}

/** One mounted gallery: the state that the curator touches, and the page parts that show it. */
class Gallery {
  matches = [];
  cards = []; // one <li> a match, in the same order
  threshold = 0;
  reaching = 0; // matches that reach the threshold
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
    this.parts.selectAll.onclick = () => this.select(0, this.reaching - 1, true);
    this.parts.clear.onclick = () => this.select(0, this.matches.length - 1, false);
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
    const renewed = data.revision !== this.revision;
    if (renewed) this.replace(data);
    const order = data.heard >= this.turn && data.threshold !== this.ordered;
    if (order) this.ordered = this.agreed = data.threshold;
    if (order && !this.drag) this.threshold = clamp(data.threshold, 0, 1000);
    this.moveTo(this.threshold);
  }

  /** Put other matches in the place of all cards. */
  replace({ matches, revision, selected, label }) {
    const { parts } = this;
    this.matches = matches;
    this.revision = revision;
    this.tellSelection.cancel();
    this.cards = matches.map((match) => this.card(match));
    parts.cards.replaceChildren();
    parts.cards.setAttribute("aria-label", label);
    parts.toolbar.hidden = matches.length === 0;
    const bars = histogram(matches);
    parts.all.setAttribute("d", bars);
    parts.reaching.setAttribute("d", bars);
    this.reaching = -1; // no card is shown yet
    this.current = this.anchor = 0;
    this.setTabbable(0, true);
    this.selected = new Set();
    const ids = new Set(selected);
    matches.forEach((match, place) => ids.has(match.id) && this.mark(place, true));
    this.showSelection();
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
    card.querySelector(".picture").setAttribute("aria-label", `${name}, ${percentTenths(match.score)}`);
    card.querySelector(".pick input").setAttribute("aria-label", `Select ${name}`);
    const image = card.querySelector("img");
    image.alt = name;
    image.onerror = showBroken;
    image.src = match.src;
    return card;
  }

  // The threshold

  /**
   * Move the line and show what reaches it; only cards whose state changes are touched. A card that does not show
   * is out of the page: in Chromium, taking 500 of them out needs 10 ms, hiding them in place 170 ms.
   */
  moveTo(threshold) {
    const { parts, matches, cards } = this;
    this.threshold = threshold;
    const before = this.reaching;
    const now = (this.reaching = countReaching(matches, threshold));
    if (now !== before) {
      parts.cards.append(...cards.slice(before + 1, now + 1)); // one more than reach it: the one just below
      for (const card of cards.slice(now + 1, before + 1)) card.remove();
      if (cards[before]) this.showScore(before, false);
      if (cards[now]) this.showScore(now, true);
      if (this.current > now) this.setCurrent(Math.max(0, Math.min(now, cards.length - 1)));
      this.showSelection();
    }
    parts.scale.style.setProperty("--at", threshold / 1000);
    parts.value.textContent = percentTenths(threshold);
    this.showCount();
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
    const text = `${grouped(reaching)} of ${grouped(matches.length)} fetched matches ${verb} ${line}`;
    parts.handle.setAttribute("aria-valuenow", threshold / 10);
    parts.handle.setAttribute("aria-valuetext", `${line}, ${text}`);
    const more = reaching === matches.length && matches.length < this.total ? "; more may reach it" : "";
    parts.total.textContent =
      `(${grouped(this.total)} ${this.total === 1 ? "picture" : "pictures"} in the collection${more})`;
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
    cards.onkeyup = (event) => ticks(event) && event.preventDefault(); // else Firefox clicks the picture
    cards.onclick = (event) => {
      const place = placeOf(event);
      if (event.target.matches("input")) this.pick(place, event.target.checked, event.shiftKey);
      else if (!event.target.closest(".picture")) return;
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
      const columns = getComputedStyle(cards).gridTemplateColumns.split(" ").length;
      const last = Math.min(this.reaching, this.cards.length - 1);
      const goal = {
        ArrowLeft: this.current - 1, ArrowRight: this.current + 1,
        ArrowUp: this.current - columns, ArrowDown: this.current + columns,
        Home: 0, End: last,
      }[event.key];
      if (goal === undefined) return;
      event.preventDefault();
      if (goal >= 0 && goal <= last) this.focusCard(goal);
    };
  }

  focusCard(place) {
    this.cards[place].querySelector(".picture").focus();
  }

  setCurrent(place) {
    this.setTabbable(this.current, false);
    this.current = place;
    this.setTabbable(place, true);
  }

  setTabbable(place, on) {
    const parts = this.cards[place]?.querySelectorAll(".picture, .pick input, .title") ?? [];
    for (const part of parts) part.tabIndex = on ? 0 : -1;
  }

  // The selection

  /** Tick or untick one card, or the range from the last one that was touched. */
  pick(place, on, range) {
    const start = range ? this.anchor : place;
    this.select(Math.min(start, place), Math.max(start, place), on);
    this.anchor = place;
  }

  select(first, last, on) {
    for (let place = first; place <= last; place++) this.mark(place, on);
    this.showSelection();
    this.tellSelection();
  }

  mark(place, on) {
    this.cards[place].classList.toggle("selected", on);
    this.cards[place].querySelector("input").checked = on;
    if (on) this.selected.add(place);
    else this.selected.delete(place);
  }

  selectedIds() {
    return [...this.selected].sort((a, b) => a - b).map((place) => this.matches[place].id);
  }

  /** The count, which does not hide that pictures below the line stay selected. */
  showSelection() {
    const { parts, selected, reaching } = this;
    const below = [...selected].filter((place) => place >= reaching).length;
    const aside = below ? `, ${below} of them below the line` : "";
    parts.picked.textContent = `${grouped(selected.size)} selected${aside}`;
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
