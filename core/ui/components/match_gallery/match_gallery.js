// @ts-check
import { clamp, counted, eventLog, find, grouped, mounted, whenQuiet } from "../base.js";
import { CardList, shapeOf, showText } from "../cards/cards.js";
import { ComparingTable } from "../comparing_table/comparing_table.js";
import { QueryStrip } from "../query_strip/query_strip.js";
import { countReaching, histogram, percent, percentTenths, range, Span, steppedBy } from "./scale.js";

/** @import { Mount } from "../base.js" */
/** @import { Card } from "../cards/cards.js" */
/** @import { Facts, QuerySide } from "../comparing_table/comparing_table.js" */
/** @import { Outlines } from "../comparing_table/stage.js" */
/** @import { QueryTile } from "../query_strip/query_strip.js" */

/**
 * Thresholds and scores are whole numbers from 0 to 1000 (tenths of a percent), so nothing here rounds. First come the
 * matches that are the same picture as the query, as their `relation` says; they show whatever the threshold. Then come
 * the look-alikes, best first. So those that show are always a prefix. `leader` is the place of the match that a copy
 * is folded under, or null. Matches from `alike` on are very alike; `rights` is how likely each is right, if known.
 *
 * @typedef {Card & {score: number, leader: number | null, badge: string, relation: string,
 *   outlines: Outlines | null}} Match
 * @typedef {{label: string, at: number, reason: string}} Mark
 * @typedef {{matches: Match[], revision: string, scope: string, threshold: number, turn: number, selected: string[],
 *   selectable: boolean, total: number, more: boolean, label: string, marks: Mark[], advice: string, caution: boolean,
 *   alike: number | null, rights: number[] | null, tiles: QueryTile[], empty: string,
 *   verdicts: Record<string, boolean> | null, handled: Record<string, number>,
 *   queries: QuerySide[], facts: Facts | null}} Data
 */

/** @typedef {"yes" | "no" | "undo"} Verdict */

const LABEL = 130; // pixels that a heading beside another one leaves to that one
const ROOMY = 700; // pixels from which on a row has room for two headings

/**
 * Scored matches under a threshold that is moved in the browser.
 *
 * @extends {CardList<Match>}
 */
class MatchGallery extends CardList {
  threshold = 0;
  reaching = 0; // matches that are the same picture or reach the threshold
  room = 0; // pixels that a row is wide
  same = 0; // matches that are the same picture
  total = 0; // pictures in the collection
  more = false; // whether Python can fetch more matches
  span = new Span([]); // the thresholds that the scale shows
  /** @type {number | null} the score from which matches are very alike */
  alikeFrom = null;
  /** @type {Float64Array} of the first so many matches, how many are right by the verdicts */
  right = new Float64Array(0);
  /** What stands at the end of rows, so that the last pictures of a band are no larger than those above them. */
  fills = Array.from({ length: 3 }, () => {
    const fill = document.createElement("li");
    fill.className = "fill";
    fill.role = "presentation";
    return fill;
  });
  /** @type {Set<number>} the places of the cards below the threshold, a row of them, which are the last ones shown */
  below = new Set();
  /** @type {Match[]} the others */
  alike = [];
  /** @type {Map<number, number[]>} the places of a leader's copies, best first */
  copies = new Map();
  /** @type {Set<number>} leaders whose copies are shown */
  unfolded = new Set();
  /** @type {Mark[] | undefined} */
  marks = undefined;
  /** @type {Map<string, string>} */
  verdicts = new Map();
  judging = false;
  /** @type {number | null} the threshold that Python set last */
  ordered = null;
  /** @type {number | null} the threshold that both sides know */
  agreed = null;
  /** @type {number | null} counts what was sent, so that an answer to an earlier release is known as stale */
  turn = null;
  selectKey = "s"; // Space opens
  /** @type {{from: number, to: number, frame: number} | null} while a pointer holds the handle */
  drag = null;

  /** @param {ParentNode} parent */
  constructor(parent) {
    super(parent);
    const { parts } = this;
    this.log = this.newLog();
    this.edits = eventLog((log) => this.setState("edits", log));
    this.table = this.makeTable(parent);
    this.acts = eventLog((log) => this.setState("acts", log));
    this.strip = new QueryStrip(parent, (number, event) => this.acts.add(String(number), event));
    this.announce = whenQuiet(() => (parts.live.textContent = this.announcement()));
    this.releaseSoon = whenQuiet(() => this.release());
    this.listenToScale();
    this.listenToLine();
    this.listenToDetails();
    new ResizeObserver(([{ contentRect }]) => (this.room = contentRect.width)).observe(this.root);
    parts.showMore.onclick = () => this.setTrigger("beyond", "more");
    parts.closest.onclick = () => {
      this.moveTo(this.items[this.same].score);
      this.release();
      this.focusCard(this.same);
    };
    parts.marks.onclick = (/** @type {MouseEvent} */ { target }) => {
      const button = /** @type {Element} */ (target).closest("button");
      const mark = this.marks?.[[...parts.marks.children].indexOf(button)];
      if (!mark) return;
      this.moveTo(mark.at);
      this.release();
    };
  }

  /** @param {ParentNode} parent */
  makeTable(parent) {
    /** @param {string} id */
    const placeOf = (id) => this.items.findIndex((item) => item.id === id);
    return new ComparingTable(parent, {
      list: () => this.shown.map((place) => this.items[place].id),
      read: (id) => {
        const match = this.items[placeOf(id)];
        return { ...match, score: percentTenths(match.score) };
      },
      verdict: (id) => this.judging ? this.verdicts.get(id) ?? "" : null,
      judge: (id, verdict) => this.judge(placeOf(id), verdict),
      edit: (id, edit) => this.edits.add(id, edit),
      more: (id) => this.setTrigger("more", id),
      details: (id) => this.setTrigger("open", id),
      look: (id) => this.setState("looked_at", id),
      askWhy: (id) => this.setState("asked_why", id),
      closed: (id) => this.shown.length && this.focusCard(this.nearest(placeOf(id))),
    });
  }

  newLog() {
    return eventLog((log) => this.setState("verdicts", log));
  }

  /** Take what Python sent. The same matches again change nothing that the curator sees or holds. @param {Mount<Data>} mount */
  update({ data, setStateValue, setTriggerValue }) {
    this.setState = setStateValue;
    this.setTrigger = setTriggerValue;
    document.addEventListener("pointerdown", this.onPointer);
    this.total = data.total;
    this.more = data.more;
    this.strip.take(data.tiles);
    this.parts.emptyText.dataset.empty = data.empty;
    this.turn ??= data.turn;
    if (data.alike !== this.alikeFrom) {
      this.alikeFrom = data.alike;
      this.parts.alikeName.textContent = data.alike === null ? "Look-alikes" : "Very alike";
    }
    const first = this.revision === undefined;
    const held = this.focused() ? this.items[this.current].id : null;
    const unfolded = this.scope === data.scope
      ? new Set([...this.unfolded].map((place) => this.items[place].id))
      : null;
    if (!unfolded) this.log = this.newLog(); // without the verdicts on another search's matches
    const renewed = this.take({ ...data, items: data.matches });
    if (renewed) this.restart(unfolded ?? new Set());
    this.suggest(data);
    const order = data.turn >= this.turn && data.threshold !== this.ordered;
    if (order) this.ordered = data.threshold;
    // What was let go of comes back as an order, perhaps late: it must not undo the keys pressed since.
    if (order && data.threshold !== this.agreed) {
      this.agreed = data.threshold;
      if (!this.drag) this.threshold = clamp(data.threshold, 0, 1000);
    }
    this.takeVerdicts(data);
    this.moveTo(this.threshold);
    if (renewed && held !== null && this.shown.length) {
      this.focusCard(this.nearest(this.items.findIndex(({ id }) => id === held)));
    }
    if (first) this.comeIntoView();
    this.table.take(data);
  }

  /** On a phone the query fills the screen: its matches would stay unseen below. */
  comeIntoView() {
    if (!matchMedia("(max-width: 40rem)").matches) return;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    requestAnimationFrame(() => this.root.scrollIntoView({ behavior: still ? "instant" : "smooth" }));
  }

  /** Start with other matches, their copies folded but for those of these ids. @param {Set<string>} unfolded */
  restart(unfolded) {
    const { parts, items } = this;
    this.copies = new Map();
    items.forEach(({ leader }, place) => {
      if (leader !== null) this.copies.set(leader, [...(this.copies.get(leader) ?? []), place]);
    });
    this.unfolded = new Set([...this.copies.keys()].filter((place) => unfolded.has(items[place].id)));
    this.below = new Set();
    this.reaching = -1; // not known yet
    this.same = items.filter(({ relation }) => relation).length;
    this.alike = items.slice(this.same);
    parts.control.hidden = parts.foot.hidden = items.length === 0;
    parts.handle.setAttribute("aria-valuemax", items.length);
    this.marks = undefined;
    this.showSelection();
  }

  /** Fit the scale to the scores and to what is marked on it. */
  showSpan() {
    const { parts, alike, marks } = this;
    const scores = alike.map(({ score }) => score);
    this.span = new Span([...scores, ...(marks ?? []).map(({ at }) => at)]);
    parts.plot.dataset.span = [this.span.high, this.span.low];
    const bars = histogram(scores, this.span);
    parts.all.setAttribute("d", bars);
    parts.reaching.setAttribute("d", bars);
  }

  /** The suggested thresholds, a button and a tick each, and the sentence about them. @param {Data} data */
  suggest({ marks, advice, caution, rights }) {
    const { parts } = this;
    parts.notice.hidden = !advice;
    parts.warning.hidden = !caution;
    this.root.classList.toggle("caution", caution);
    const place = caution ? parts.warning : parts.details;
    if (parts.notice.parentElement !== place) place.append(parts.notice);
    if (parts.advice.textContent !== advice) parts.advice.textContent = advice;
    this.countRight(rights ?? []);
    if (JSON.stringify(marks) === JSON.stringify(this.marks)) return;
    this.marks = marks;
    this.showSpan();
    parts.marks.replaceChildren(...marks.map(({ label, at, reason }) => {
      const button = document.createElement("button");
      button.type = "button";
      const name = document.createElement("strong");
      name.textContent = `${label} ${percent(at)}`;
      const why = document.createElement("span");
      why.textContent = reason;
      button.append(name, " ", why);
      return button;
    }));
    parts.ticks.replaceChildren(...marks.map(({ label, at }) => {
      const tick = document.createElement("span");
      tick.title = label;
      tick.style.setProperty("--place", String(this.span.placeOf(at)));
      return tick;
    }));
  }

  /** How many of the first so many matches are right: sums, so that a step of the threshold adds up nothing.
   * @param {number[]} rights */
  countRight(rights) {
    this.right = new Float64Array(rights.length ? rights.length + 1 : 0);
    rights.forEach((right, place) => (this.right[place + 1] = this.right[place] + right));
  }

  // The cards

  /** @param {Match} match */
  draw(match) {
    const card = super.draw(match);
    find(card, ".frame", HTMLElement).append(...this.parts.extras.content.firstElementChild.cloneNode(true).children);
    find(card, ".score", HTMLElement).textContent = percentTenths(match.score);
    showText(find(card, ".badge", HTMLElement), match.badge);
    showText(find(card, ".relation", HTMLElement), match.relation);
    card.classList.toggle("copy", match.leader !== null);
    card.classList.toggle("same", Boolean(match.relation));
    /** @type {NodeListOf<HTMLButtonElement>} */
    const buttons = card.querySelectorAll("[data-ask], [data-verdict]");
    for (const button of buttons) button.setAttribute("aria-label", `${button.title}: ${match.name}`);
    return card;
  }

  /** @param {Match} match */
  described({ name, score, note, badge, relation, leader }) {
    const same = relation && `the same picture: ${relation}`;
    return [name, percentTenths(score), same, note, badge, leader === null ? "" : "a copy"].filter(Boolean).join(", ");
  }

  /** @param {number} place */
  open(place) {
    this.table.open(this.items[place].id);
  }

  /** @param {number} place @param {HTMLButtonElement} button */
  press(place, button) {
    const { ask, verdict } = button.dataset;
    if (button.matches(".fold")) this.fold(place);
    else if (verdict) this.judge(place, /** @type {Verdict} */ (verdict));
    else if (ask) this.setTrigger(ask, this.items[place].id);
  }

  /** @param {KeyboardEvent} event */
  takeKey(event) {
    /** @type {Record<string, Verdict>} */
    const verdicts = { y: "yes", n: "no" };
    const verdict = verdicts[event.key.toLowerCase()];
    if (!verdict || !this.judging || !this.shown.includes(this.current) || event.repeat) return false;
    this.judge(this.current, verdict);
    return true;
  }

  // The threshold

  /** Move the threshold and show what reaches it; only what changes is touched. @param {number} threshold */
  moveTo(threshold) {
    const { parts } = this;
    this.threshold = threshold;
    const before = this.reaching;
    const now = (this.reaching = this.same + countReaching(this.alike, threshold));
    const focused = this.focused();
    if (now !== before) {
      this.showCopies(range(Math.max(0, Math.min(before, now)), Math.max(before, now)));
      this.arrange();
      this.showSelection();
    }
    if (focused && this.focused() !== focused) this.focusCard(this.current); // what held it is gone
    parts.scale.style.setProperty("--at", this.span.placeOf(threshold));
    parts.value.textContent = percentTenths(threshold);
    for (const [at, button] of [...parts.marks.children].entries()) {
      const pressed = String(this.marks?.[at].at === threshold);
      if (button.getAttribute("aria-pressed") !== pressed) button.setAttribute("aria-pressed", pressed);
    }
    this.showCount();
  }

  /**
   * Bring the page's cards up to date. A card that does not show is out of the page: in Chromium, taking 500 of them
   * out needs 10 ms, hiding them in place 170 ms.
   */
  arrange() {
    const { cards, items, parts } = this;
    const below = new Set(this.rowBelow());
    const shown = range(0, this.reaching)
      .filter((place) => items[place].leader === null)
      .flatMap((place) => (this.unfolded.has(place) ? [place, ...this.copiesReaching(place)] : [place]))
      .concat([...below]);
    const stays = new Set(shown);
    for (const place of this.shown) {
      const rises = this.below.has(place) && !below.has(place) && items[place].leader !== null; // to its leader
      if (rises || !stays.has(place)) cards[place].remove();
    }
    /** @type {HTMLElement[]} */
    const nodes = shown.map((place) => cards[place]);
    const from = this.alikeFrom ?? 0;
    /** @param {(score: number) => boolean} fits */
    const firstOf = (fits) =>
      shown.findIndex((place) =>
        place >= this.same && items[place].leader === null && !below.has(place) && fits(items[place].score)
      );
    const { belowBand } = parts;
    /** @type {[HTMLElement, number][]} each heading, and the place in `shown` that it stands before */
    const bands = [
      [parts.sameBand, this.same ? 0 : -1],
      [parts.alikeBand, firstOf((score) => score >= from)],
      [parts.perhapsBand, firstOf((score) => score < from)],
      [belowBand, below.size ? shown.length - below.size : -1],
    ];
    const starts = bands.filter(([, start]) => start >= 0);
    const widths = starts.map(([, start], place) => this.widthOf(shown.slice(start, starts[place + 1]?.[1])));
    let used = 0; // pixels of the row that a band would join; more than a row once it has wrapped
    const ends = starts.map(([band], place) => {
      const first = this.widthOf(shown.slice(starts[place][1], starts[place][1] + 1));
      const fits = this.room > ROOMY && used > LABEL && used < this.room * 0.6 && used + first < this.room * 0.9;
      const joins = fits && band !== belowBand;
      band.classList.toggle("joined", joins);
      const wrapped = used > this.room;
      used = (joins ? used : 0) + widths[place];
      return wrapped;
    });
    starts.toReversed().forEach(([band, start], place) => {
      nodes.splice(start, 0, band);
      if (ends[starts.length - place - 1]) nodes.splice(start, 0, this.fills[place]);
    });
    for (const node of [...bands.map(([band]) => band), ...this.fills]) if (!nodes.includes(node)) node.remove();
    const [first] = below;
    if (belowBand.nextSibling !== cards[first]) belowBand.remove(); // else the cards around it would move
    /** @type {HTMLElement | null} */
    let next = null;
    for (const node of nodes.toReversed()) {
      if (node.parentNode !== parts.cards || node.nextSibling !== next) parts.cards.insertBefore(node, next);
      next = node;
    }
    for (const place of this.below) if (!below.has(place)) cards[place].classList.remove("below");
    for (const place of below) if (!this.below.has(place)) cards[place].classList.add("below");
    this.shown = shown;
    this.below = below;
    if (cards.length) this.setCurrent(this.nearest(this.current));
  }

  /** The card shown that comes nearest to a match: its own, its leader's, or the last. @param {number} place */
  nearest(place) {
    const { shown } = this;
    const leader = this.items[place]?.leader ?? place;
    const last = place < 0 ? shown[0] : shown[shown.length - 1];
    return [place, leader].find((candidate) => shown.includes(candidate)) ?? last;
  }

  /** The height of a row, at least. */
  rowHeight() {
    this.room ||= this.root.clientWidth;
    return Math.min(this.row, (this.row / 600) * this.room);
  }

  /** Pixels that matches need in one row. @param {number[]} places */
  widthOf(places) {
    const height = this.rowHeight();
    return places.reduce((sum, place) => sum + shapeOf(this.items[place]) * height, 0);
  }

  /** The places of the first matches that do not reach the threshold, as many as fit in a row. */
  rowBelow() {
    const { items, reaching } = this;
    const height = this.rowHeight();
    let [end, width] = [reaching, 0];
    while (end < items.length) {
      width += shapeOf(items[end]) * height;
      if (width > this.room && end > reaching) break;
      end += 1;
    }
    return range(reaching, end);
  }

  showSize() {
    super.showSize();
    if (this.revision !== undefined) this.arrange();
  }

  /** The sentences about how many matches reach the threshold. */
  showCount() {
    const { parts, items, threshold, alike, reaching, right } = this;
    const line = percent(threshold);
    const below = items.slice(0, this.same).filter(({ score }) => score < threshold).length;
    const verb = reaching - below === 1 ? "reaches" : "reach";
    const all = reaching === items.length && reaching < this.total;
    const more = below ? `; ${grouped(below)} more ${below === 1 ? "is" : "are"} the same picture` : "";
    const least = all ? "At least " : "";
    const text = counted(reaching, "picture");
    showText(parts.right, right.length ? `about ${grouped(Math.round(right[reaching]))} of them right` : "");
    parts.sentence.textContent = `${least}${grouped(reaching - below)} of ${
      grouped(this.total)
    } ${verb} ${line}${more}`;
    parts.handle.setAttribute("aria-valuenow", reaching);
    parts.handle.setAttribute("aria-valuetext", `${text}, from ${line}`);
    parts.empty.hidden = reaching > 0;
    parts.closest.hidden = alike.length === 0;
    parts.emptyText.textContent = alike.length
      ? `No picture reaches ${line}. The closest is ${percentTenths(alike[0].score)}.`
      : parts.emptyText.dataset.empty;
    parts.beyond.hidden = !all || !this.more || reaching === 0;
    parts.beyondText.textContent = `All ${grouped(items.length)} that were fetched reach ${line}.`;
    if (parts.count.textContent !== text) this.announce();
    parts.count.textContent = text;
  }

  announcement() {
    const { count, right } = this.parts;
    return [count.textContent, right.textContent].filter(Boolean).join(", ");
  }

  onPointer = (/** @type {Event} */ _event) => {};

  listenToDetails() {
    const { why, details, toolbar } = this.parts;
    /** @param {boolean} on */
    const show = (on) => {
      details.hidden = !on;
      why.setAttribute("aria-expanded", String(on));
    };
    why.onclick = () => show(details.hidden);
    toolbar.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Escape" || details.hidden) return;
      show(false);
      why.focus();
    });
    toolbar.addEventListener("focusout", (/** @type {FocusEvent} */ { relatedTarget }) => {
      if (relatedTarget && !toolbar.contains(relatedTarget)) show(false);
    });
    this.onPointer = (/** @type {Event} */ event) => {
      if (!event.composedPath().includes(toolbar)) show(false);
    };
  }

  /**
   * The line above the row of what was left out: dragged down, it lets that row in, and dragged up, it leaves the last
   * row of matches out. A row at a time, so that what moves stays under the pointer.
   */
  listenToLine() {
    const { belowBand, cards } = this.parts;
    let [from, frame, y] = [/** @type {number | null} */ (null), 0, 0];
    const follow = () => {
      frame = 0;
      const { bottom, top } = belowBand.getBoundingClientRect();
      const half = this.row / 2;
      if (y > bottom + half && this.below.size) {
        this.moveTo(Math.min(...[...this.below].map((place) => this.items[place].score)));
      } else if (y < top - half) {
        const last = this.lastRow();
        if (last >= this.same) this.moveTo(Math.min(1000, this.items[last].score + 1));
      }
    };
    belowBand.onpointerdown = (/** @type {PointerEvent} */ event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      cards.setPointerCapture(event.pointerId); // the line itself leaves the page when it moves
      from = this.threshold;
    };
    cards.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
      if (from === null) return;
      y = event.clientY;
      frame ||= requestAnimationFrame(follow);
    });
    /** @param {boolean} kept */
    const end = (kept) => {
      if (from === null) return;
      cancelAnimationFrame(frame);
      if (!kept) this.moveTo(from);
      [from, frame] = [null, 0];
      this.release();
    };
    cards.addEventListener("pointerup", () => end(true));
    cards.addEventListener("pointercancel", () => end(false));
  }

  /** The place of the first match in the last row above the line, or -1. */
  lastRow() {
    const above = this.shown.filter((place) => !this.below.has(place));
    const last = above.at(-1);
    if (last === undefined) return -1;
    const top = this.cards[last].offsetTop;
    return above.find((place) => place >= this.same && this.cards[place].offsetTop === top) ?? -1;
  }

  /** Send Python the threshold that was let go of. */
  release() {
    this.releaseSoon.cancel();
    if (this.threshold === this.agreed) return;
    this.agreed = this.threshold;
    this.turn = (this.turn ?? 0) + 1;
    this.setState("threshold", { value: this.threshold / 1000, turn: this.turn });
  }

  listenToScale() {
    const { scale, handle } = this.parts;
    /** @param {PointerEvent} event */
    const thresholdAt = (event) => {
      const box = handle.parentElement.getBoundingClientRect();
      return this.span.at(clamp((event.clientX - box.left) / box.width, 0, 1));
    };
    /** @param {number} threshold */
    const end = (threshold) => {
      if (!this.drag) return;
      cancelAnimationFrame(this.drag.frame);
      this.drag = null;
      this.moveTo(threshold);
      this.release();
    };
    scale.onpointerdown = (/** @type {PointerEvent} */ event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      scale.setPointerCapture(event.pointerId);
      handle.focus({ preventScroll: true });
      this.drag = { from: this.threshold, to: thresholdAt(event), frame: 0 };
      this.moveTo(this.drag.to);
    };
    scale.onpointermove = (/** @type {PointerEvent} */ event) => {
      const { drag } = this;
      if (!drag) return;
      drag.to = thresholdAt(event);
      drag.frame ||= requestAnimationFrame(() => {
        drag.frame = 0;
        this.moveTo(drag.to);
      });
    };
    scale.onpointerup = (/** @type {PointerEvent} */ event) => this.drag && end(thresholdAt(event));
    scale.onpointercancel = () => this.drag && end(this.drag.from); // the touch became a scroll
    handle.onkeydown = (/** @type {KeyboardEvent} */ event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const stepped = steppedBy(event.key, this.threshold);
      if (stepped === null) return;
      event.preventDefault();
      this.moveTo(stepped);
      this.releaseSoon();
    };
  }

  // The verdicts

  /** What Python knows; events that it has not handled yet stand above it. @param {Data} data */
  takeVerdicts({ verdicts, handled }) {
    this.judging = verdicts !== null;
    this.verdicts = new Map(Object.entries(verdicts ?? {}).map(([id, right]) => [id, right ? "yes" : "no"]));
    for (const [id, verdict] of this.log.events.slice(handled[this.log.visit] ?? 0)) this.verdicts.set(id, verdict);
    this.items.forEach((_, place) => this.showVerdict(place));
  }

  /** Give a verdict, or undo it when it was given already. @param {number} place @param {Verdict} verdict */
  judge(place, verdict) {
    const { id } = this.items[place];
    const given = this.verdicts.get(id) === verdict ? "undo" : verdict;
    this.verdicts.set(id, given);
    this.log.add(id, given);
    this.showVerdict(place);
    this.parts.live.textContent = { yes: "Right", no: "Wrong", undo: "Verdict undone" }[given];
  }

  /** @param {number} place */
  showVerdict(place) {
    const group = find(this.cards[place], ".verdicts", HTMLElement);
    if (group.hidden === this.judging) group.hidden = !this.judging;
    const given = this.verdicts.get(this.items[place].id) ?? "";
    for (const button of /** @type {Iterable<HTMLButtonElement>} */ (/** @type {unknown} */ (group.children))) {
      const pressed = String(button.dataset.verdict === given);
      if (button.getAttribute("aria-pressed") !== pressed) button.setAttribute("aria-pressed", pressed);
    }
  }

  // The copies

  /** The places of a leader's copies that reach the threshold. @param {number} leader */
  copiesReaching(leader) {
    return (this.copies.get(leader) ?? []).filter((place) => place < this.reaching);
  }

  /** Unfold a leader's copies in place, right behind it, or fold them again. @param {number} leader */
  fold(leader) {
    if (!this.unfolded.delete(leader)) this.unfolded.add(leader);
    this.showFold(leader);
    this.arrange();
    this.showSelection();
  }

  /** Bring the leaders of those of the places that are copies up to date. @param {number[]} places */
  showCopies(places) {
    const leaders = new Set(places.map((place) => this.items[place].leader));
    for (const leader of leaders) if (leader !== null) this.showFold(leader);
  }

  /** How many copies a leader stands for, and, when they are folded, how many of them are selected. @param {number} leader */
  showFold(leader) {
    const card = this.cards[leader];
    const copies = this.copiesReaching(leader);
    const folded = !this.unfolded.has(leader);
    const picked = folded ? copies.filter((place) => this.selected.has(place)).length : 0;
    const text = `${grouped(copies.length)} ${copies.length === 1 ? "copy" : "copies"}`;
    const fold = find(card, ".fold", HTMLElement);
    fold.hidden = copies.length === 0;
    fold.setAttribute("aria-expanded", String(!folded));
    find(fold, ".plus", HTMLElement).textContent = folded ? "+" : "\u2212";
    find(fold, ".copies", HTMLElement).textContent = picked ? `${text}, ${grouped(picked)} selected` : text;
    card.classList.toggle("stack", folded && copies.length > 0);
    card.classList.toggle("open", !folded && copies.length > 0);
  }

  /** @param {number} place */
  isFolded(place) {
    const { leader } = this.items[place];
    return leader !== null && !this.unfolded.has(leader);
  }

  // The selection

  selectablePlaces() {
    return range(0, this.reaching);
  }

  /** @param {number[]} places @param {boolean} on */
  select(places, on) {
    super.select(places, on);
    this.showCopies(places);
  }

  showSelection() {
    super.showSelection();
    this.parts.selectAll.hidden = this.reaching < 1;
  }

  /** The count, which does not hide that pictures out of sight are selected. */
  selectionText() {
    const { selected, reaching } = this;
    const below = [...selected].filter((place) => place >= reaching).length;
    const folded = [...selected].filter((place) => place < reaching && this.isFolded(place)).length;
    const parts = [`${grouped(selected.size)} selected`];
    if (below) parts.push(`${grouped(below)} of them below the threshold`);
    if (folded) parts.push(`${grouped(folded)} of them folded`);
    return parts.join(", ");
  }

  close() {
    super.close();
    this.table.close();
    this.strip.unmount();
    document.removeEventListener("pointerdown", this.onPointer);
    this.announce.cancel();
    this.releaseSoon.cancel();
    if (this.drag) cancelAnimationFrame(this.drag.frame);
  }
}

export default mounted((parent) => new MatchGallery(parent));
