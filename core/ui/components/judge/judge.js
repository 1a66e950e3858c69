// @ts-check
import { counted, eventLog, find, findParts, mounted } from "../base.js";

/** @import { Mount, Send } from "../base.js" */

/**
 * One match after the other to judge. The next one shows at once, for Python sends some ahead.
 *
 * @typedef {{id: string, querySrc: string, queryWords: string, queryName: string, matchSrc: string, matchName: string}}
 *   Pair
 * @typedef {{pairs: Pair[], given: number, handled: Record<string, number>, done: string}} Data
 */

/** @type {Record<string, string>} */
const ANSWERS = { y: "yes", n: "no", s: "skip", u: "undo" };
const AHEAD = 3; // pictures loaded before their turn

class Judge {
  /** @type {Pair[]} to judge, the first of them shown */
  pairs = [];
  /** @type {{pair: Pair, answer: string}[]} pairs answered here, with their answers: undo takes the last one back */
  past = [];
  /** @type {Set<string>} ids answered here */
  known = new Set();
  /** @type {string | null} */
  shown = null;
  given = 0; // verdicts that Python knows of
  handled = 0; // answers among them that were given here
  /** @type {Send} */
  setState = () => {};

  /** @param {ParentNode} parent */
  constructor(parent) {
    this.root = find(parent, "section", HTMLElement);
    this.parts = findParts(parent);
    this.log = eventLog((log) => this.setState("answers", log));
    this.parts.answers.onclick = (/** @type {MouseEvent} */ { target }) => {
      const button = /** @type {HTMLElement} */ (target).closest("button");
      if (button) this.answer(button.dataset.answer ?? "");
    };
    /** @param {KeyboardEvent} event */
    this.onKey = (event) => {
      const target = /** @type {HTMLElement} */ (event.composedPath()[0]);
      const typing = target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName ?? "");
      const answer = ANSWERS[event.key.toLowerCase()];
      if (!answer || typing || event.altKey || event.ctrlKey || event.metaKey || event.repeat) return;
      event.preventDefault();
      this.answer(answer);
    };
  }

  /** @param {Mount<Data>} mount */
  update({ data: { pairs, given, handled, done }, setStateValue }) {
    this.setState = setStateValue;
    this.given = given;
    this.handled = handled[this.log.visit] ?? 0;
    this.parts.done.textContent = done;
    const current = this.pairs[0];
    const fresh = pairs.filter(({ id }) => !this.known.has(id) && id !== current?.id);
    this.pairs = current ? [current, ...fresh] : fresh;
    this.show();
    document.addEventListener("keydown", this.onKey); // the same listener again is none
  }

  /** @param {string} answer */
  answer(answer) {
    if (answer === "undo") {
      this.undo();
      return;
    }
    const pair = this.pairs.shift();
    if (!pair) return;
    this.past.push({ pair, answer });
    this.known.add(pair.id);
    this.log.add(pair.id, answer);
    this.show();
  }

  undo() {
    const last = this.past.pop();
    if (!last) return;
    this.known.delete(last.pair.id);
    this.pairs.unshift(last.pair);
    this.log.add(last.pair.id, last.answer === "skip" ? "unskip" : "undo");
    this.show();
  }

  show() {
    const { parts } = this;
    const [pair] = this.pairs;
    parts.pair.hidden = parts.question.hidden = !pair;
    parts.done.hidden = Boolean(pair);
    for (const button of parts.answers.querySelectorAll("button")) button.disabled = !pair;
    parts.undo.disabled = this.past.length === 0;
    /** @type {Record<string, number>} */
    const worth = { yes: 1, no: 1, undo: -1 };
    const unhandled = this.log.events.slice(this.handled).map(([, answer]) => worth[answer] ?? 0);
    const count = unhandled.reduce((sum, one) => sum + one, this.given);
    parts.tally.textContent = `${counted(count, "verdict")} so far`;
    if (!pair || pair.id === this.shown) return;
    this.shown = pair.id;
    parts.queryWords.textContent = pair.queryWords;
    parts.queryWords.hidden = Boolean(pair.querySrc);
    parts.queryImage.hidden = !pair.querySrc;
    if (pair.querySrc) parts.queryImage.src = pair.querySrc;
    parts.queryImage.alt = `The query ${pair.queryName}`.trim();
    parts.queryName.textContent = parts.queryName.title = pair.querySrc ? pair.queryName : "";
    parts.matchImage.src = pair.matchSrc;
    parts.matchImage.alt = `Its match ${pair.matchName}`.trim();
    parts.matchName.textContent = parts.matchName.title = pair.matchName;
    this.root.dataset.pair = pair.id;
    parts.live.textContent = `Do ${pair.queryName || pair.queryWords} and ${pair.matchName} belong together?`;
    for (const { querySrc, matchSrc } of this.pairs.slice(1, 1 + AHEAD)) {
      for (const src of [querySrc, matchSrc].filter(Boolean)) new Image().src = src;
    }
  }

  close() {
    document.removeEventListener("keydown", this.onKey);
  }
}

export default mounted((parent) => new Judge(parent));
