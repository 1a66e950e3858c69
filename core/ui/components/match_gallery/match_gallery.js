// @ts-check
import { clamp, eventLog, find, grouped, mounted, whenQuiet } from "../base.js";
import { CardList, shapeOf, showText } from "../cards/cards.js";
import { ComparingTable } from "../comparing_table/comparing_table.js";
import { countReaching, histogram, percent, percentTenths, range, STEP, steppedBy } from "./scale.js";

/** @import { Mount } from "../base.js" */
/** @import { Card } from "../cards/cards.js" */
/** @import { Facts, QuerySide } from "../comparing_table/comparing_table.js" */
/** @import { Outlines } from "../comparing_table/stage.js" */

/**
 * Thresholds and scores are whole numbers from 0 to 1000 (tenths of a percent), so nothing here rounds. First come the
 * matches that are the same picture as the query, as their `relation` says; they show whatever the threshold. Then come
 * the look-alikes, best first. So those that show are always a prefix. `leader` is the place of the match that a copy
 * is folded under, or null.
 *
 * @typedef {Card & {score: number, leader: number | null, badge: string, relation: string,
 *   outlines: Outlines | null}} Match
 * @typedef {{label: string, at: number, reason: string}} Mark
 * @typedef {{matches: Match[], revision: string, scope: string, threshold: number, turn: number, selected: string[],
 *   selectable: boolean, total: number, label: string, marks: Mark[], advice: string, caution: boolean,
 *   verdicts: Record<string, boolean> | null, handled: Record<string, number>,
 *   queries: QuerySide[], facts: Facts | null}} Data
 */

/** @typedef {"yes" | "no" | "undo"} Verdict */

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
    this.announce = whenQuiet(() => (parts.live.textContent = parts.count.textContent));
    this.releaseSoon = whenQuiet(() => this.release());
    this.listenToScale();
    new ResizeObserver(([{ contentRect }]) => (this.room = contentRect.width)).observe(this.root);
    parts.closest.onclick = () => {
      this.moveTo(this.items[this.same].score);
      this.release();
      this.focusCard(this.same);
    };
    parts.marks.onclick = (/** @type {MouseEvent} */ { target }) => {
      const mark = this.marks?.[[...parts.marks.children].indexOf(target)];
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
    this.total = data.total;
    this.turn ??= data.turn;
    this.suggest(data);
    const first = this.revision === undefined;
    const held = this.focused() ? this.items[this.current].id : null;
    const unfolded = this.scope === data.scope
      ? new Set([...this.unfolded].map((place) => this.items[place].id))
      : null;
    if (!unfolded) this.log = this.newLog(); // without the verdicts on another search's matches
    const renewed = this.take({ ...data, items: data.matches });
    if (renewed) this.restart(unfolded ?? new Set());
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
    parts.toolbar.hidden = items.length === 0;
    const bars = histogram(this.alike.map(({ score }) => score));
    parts.all.setAttribute("d", bars);
    parts.reaching.setAttribute("d", bars);
    this.showSelection();
  }

  /** The suggested thresholds, a button and a tick each, and the sentence about them. @param {Data} data */
  suggest({ marks, advice, caution }) {
    const { parts } = this;
    parts.suggestion.hidden = !advice && marks.length === 0;
    this.root.classList.toggle("caution", caution);
    if (parts.advice.textContent !== advice) parts.advice.textContent = parts.advice.title = advice;
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
      tick.style.setProperty("--place", String(at / 1000));
      return tick;
    }));
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
    parts.scale.style.setProperty("--at", threshold / 1000);
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
    const { sameBand, alikeBand, belowBand } = parts;
    const isAlike = (/** @type {number} */ place) => place >= this.same && items[place].leader === null;
    const others = this.same ? shown.findIndex((place) => isAlike(place) && !below.has(place)) : -1;
    if (below.size) nodes.splice(nodes.length - below.size, 0, belowBand);
    if (others >= 0) nodes.splice(others, 0, alikeBand);
    if (this.same) nodes.unshift(sameBand);
    for (const band of [sameBand, alikeBand, belowBand]) if (!nodes.includes(band)) band.remove();
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

  /** The places of the first matches that do not reach the threshold, as many as fit in a row. */
  rowBelow() {
    const { items, reaching, row } = this;
    this.room ||= this.root.clientWidth;
    const height = Math.min(row, (row / 600) * this.room);
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
    const { parts, items, threshold, alike } = this;
    const line = percent(threshold);
    const below = items.slice(0, this.same).filter(({ score }) => score < threshold).length;
    const reaching = this.reaching - below;
    const verb = reaching === 1 ? "reaches" : "reach";
    const least = this.reaching === items.length && reaching < this.total ? "At least " : "";
    const more = below ? `; ${grouped(below)} more ${below === 1 ? "is" : "are"} the same picture` : "";
    const text = `${least}${grouped(reaching)} of ${grouped(this.total)} ${verb} ${line}${more}`;
    parts.handle.setAttribute("aria-valuenow", threshold / 10);
    parts.handle.setAttribute("aria-valuetext", `${line}, ${text}`);
    parts.empty.hidden = this.reaching > 0;
    parts.closest.hidden = alike.length === 0;
    parts.emptyText.textContent = alike.length
      ? `No picture reaches ${line}. The closest is ${percentTenths(alike[0].score)}.`
      : "There are no matches to show.";
    if (parts.count.textContent !== text) this.announce();
    parts.count.textContent = text;
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
      const share = clamp((event.clientX - box.left) / box.width, 0, 1);
      return Math.round((share * 1000) / STEP) * STEP;
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
    this.announce.cancel();
    this.releaseSoon.cancel();
    if (this.drag) cancelAnimationFrame(this.drag.frame);
  }
}

export default mounted((parent) => new MatchGallery(parent));
