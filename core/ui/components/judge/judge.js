/**
 * One match after the other to judge. The next one shows at once, for Python sends some ahead.
 *
 * @typedef {{id: string, querySrc: string, queryWords: string, queryName: string, matchSrc: string, matchName: string}}
 *   Pair
 * @typedef {{pairs: Pair[], given: number, heard: Record<string, number>, done: string}} Data
 */

const ANSWERS = { y: "yes", n: "no", s: "skip", u: "undo" };
const AHEAD = 3; // pictures loaded before their turn

class Judge {
  pairs = []; // to judge, the first of them shown
  past = []; // pairs answered here, with their answers: undo takes the last one back
  known = new Set(); // ids answered here
  shown = null;
  given = 0; // verdicts that Python knows of
  heard = 0; // answers among them that were given here

  constructor(root) {
    this.parts = { root };
    for (const part of root.querySelectorAll("[data-part]")) this.parts[part.dataset.part] = part;
    this.sheet = answerSheet((sheet) => this.setState("answers", sheet));
    this.parts.answers.onclick = ({ target }) => {
      const button = target.closest("button");
      if (button) this.answer(button.dataset.answer);
    };
    this.onKey = (event) => {
      const [target] = event.composedPath();
      const typing = target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName ?? "");
      const answer = ANSWERS[event.key.toLowerCase()];
      if (!answer || typing || event.altKey || event.ctrlKey || event.metaKey || event.repeat) return;
      event.preventDefault();
      this.answer(answer);
    };
  }

  update({ pairs, given, heard, done }, setState) {
    this.setState = setState;
    this.given = given;
    this.heard = heard[this.sheet.visit] ?? 0;
    this.parts.done.textContent = done;
    const current = this.pairs[0];
    const fresh = pairs.filter(({ id }) => !this.known.has(id) && id !== current?.id);
    this.pairs = current ? [current, ...fresh] : fresh;
    this.show();
  }

  answer(answer) {
    if (answer === "undo") return this.undo();
    const pair = this.pairs.shift();
    if (!pair) return undefined;
    this.past.push({ pair, answer });
    this.known.add(pair.id);
    this.sheet.put(pair.id, answer);
    return this.show();
  }

  undo() {
    const last = this.past.pop();
    if (!last) return;
    this.known.delete(last.pair.id);
    this.pairs.unshift(last.pair);
    this.sheet.put(last.pair.id, last.answer === "skip" ? "unskip" : "undo");
    this.show();
  }

  show() {
    const { parts } = this;
    const [pair] = this.pairs;
    parts.pair.hidden = parts.question.hidden = !pair;
    parts.done.hidden = Boolean(pair);
    for (const button of parts.answers.querySelectorAll("button")) button.disabled = !pair;
    parts.undo.disabled = this.past.length === 0;
    const worth = { yes: 1, no: 1, undo: -1 };
    const unheard = this.sheet.answers.slice(this.heard).map(([, answer]) => worth[answer] ?? 0);
    const count = unheard.reduce((sum, one) => sum + one, this.given);
    parts.tally.textContent = `${count.toLocaleString("en")} ${count === 1 ? "verdict" : "verdicts"} so far`;
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
    parts.root.dataset.pair = pair.id;
    parts.live.textContent = `Do ${pair.queryName || pair.queryWords} and ${pair.matchName} belong together?`;
    for (const { querySrc, matchSrc } of this.pairs.slice(1, 1 + AHEAD)) {
      for (const src of [querySrc, matchSrc].filter(Boolean)) new Image().src = src;
    }
  }
}

const judges = new WeakMap();

/** Streamlit calls this at the first mount and again whenever the data or the theme has changed. */
export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".judge");
  if (!judges.has(root)) judges.set(root, new Judge(root));
  const judge = judges.get(root);
  judge.update(data, setStateValue);
  document.addEventListener("keydown", judge.onKey); // the same listener again is none
  return () => document.removeEventListener("keydown", judge.onKey);
}
