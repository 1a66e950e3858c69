// @ts-check
// The comparing table: a query and a match, full screen, and what can be done with the match there.
import { find, grouped, whenQuiet } from "../base.js";
import { Stage } from "./stage.js";

/** @import { Heat, Mode, Outlines } from "./stage.js" */

/**
 * @typedef {{label: string, src: string, original: string, crop: number[] | null}} QuerySide
 * @typedef {{id: string, rows: [string, string][], links: [string, string][], tags: string[], known_tags: string[]}} Facts
 * @typedef {{id: string, query: Heat | null, match: Heat | null, problem: string}} Warmth
 * @typedef {{id: string, name: string, src: string, original: string, score: string, relation: string,
 *   outlines: Outlines | null}} Compared
 */

/**
 * What a table asks of its gallery. `list` has the ids of the matches to walk through, in their order; `look` says that
 * Python should tell the facts of a picture, `askWhy` that it should say where picture and query are alike.
 *
 * @typedef {{list: () => string[], read: (id: string) => Compared, verdict: (id: string) => string | null,
 *   judge: (id: string, verdict: "yes" | "no") => void, edit: (id: string, edit: string) => void,
 *   more: (id: string) => void, details: (id: string) => void, look: (id: string | null) => void,
 *   askWhy: (id: string | null) => void,
 *   closed: (id: string) => void}} TableHost
 */

const MODES = /** @type {Mode[]} */ (["side", "wipe", "blink", "difference"]);

export class ComparingTable {
  /** @type {QuerySide[]} */
  queries = [];
  query = 0; // which of them is shown
  /** @type {string[]} the matches as they were at the last step */
  ids = [];
  id = "";
  /** @type {Facts | null} */
  facts = null;
  /** @type {Warmth | null} */
  warmth = null;
  why = false; // whether it shows where both are alike
  /** @type {string | null} the picture that was removed last, for the undo */
  removed = null;

  /** @param {ParentNode} parent @param {TableHost} host */
  constructor(parent, host) {
    this.host = host;
    this.dialog = find(parent, ".comparing-table", HTMLDialogElement);
    /** @type {NodeListOf<HTMLElement>} */
    const found = this.dialog.querySelectorAll("[data-at]");
    /** @type {Record<string, any>} */
    this.at = Object.fromEntries([...found].map((part) => [part.dataset.at, part]));
    this.stage = new Stage(this.at.stage, { step: (by) => this.step(by), changed: () => this.showView() });
    this.lookSoon = whenQuiet(() => this.host.look(this.wantsFacts() ? this.id : null));
    this.askSoon = whenQuiet(() => this.host.askWhy(this.why ? this.id : null));
    this.hush = whenQuiet(() => (this.at.live.textContent = this.spoken()));
    this.listen();
  }

  get isOpen() {
    return this.dialog.open;
  }

  /** @param {string} id */
  open(id) {
    this.ids = this.host.list();
    this.dialog.showModal();
    this.at.stage.focus();
    this.stage.reset();
    this.showQuery();
    this.stage.setMode(this.hasPicture() ? this.stage.mode : "side");
    this.at.toast.hidden = true;
    this.go(id);
  }

  close() {
    if (this.isOpen) this.dialog.close();
  }

  /** Take what Python sent. While the table is open, it stays with its match or goes to the one behind it.
   * @param {{queries: QuerySide[], facts?: Facts | null, warmth?: Warmth | null}} data */
  take({ queries, facts, warmth }) {
    const changed = JSON.stringify(queries) !== JSON.stringify(this.queries);
    this.queries = queries;
    this.facts = facts ?? null;
    this.warmth = warmth ?? null;
    if (changed) this.query = 0;
    if (!this.isOpen) return;
    if (changed) this.showQuery();
    const list = this.host.list();
    if (!list.includes(this.id)) return this.leave(list);
    this.ids = list;
    this.showMatch(false);
  }

  /** Go on without the picture that is shown. @param {string[]} list */
  leave(list) {
    const from = this.ids.indexOf(this.id);
    const next = [...this.ids.slice(from + 1), ...this.ids.slice(0, Math.max(0, from)).reverse()]
      .find((id) => list.includes(id));
    this.ids = list;
    if (next === undefined) this.close();
    else this.go(next);
  }

  /** @param {number} by */
  step(by) {
    const to = this.ids[this.ids.indexOf(this.id) + by];
    if (to !== undefined) this.go(to);
  }

  /** @param {string} id */
  go(id) {
    this.id = id;
    this.stage.reset();
    this.showMatch(true);
    if (this.wantsFacts()) this.lookSoon();
    if (this.why) this.askSoon();
    const next = this.ids[this.ids.indexOf(id) + 1];
    if (next !== undefined) new Image().src = this.host.read(next).src;
  }

  // What is shown

  hasPicture() {
    return Boolean(this.queries[this.query]?.src);
  }

  showQuery() {
    const { at } = this;
    const query = this.queries[this.query];
    at.words.hidden = this.hasPicture();
    at.words.textContent = query ? `\u201c${query.label}\u201d` : "";
    at.queryName.textContent = this.hasPicture() ? `Your query: ${query.label}` : "Your query";
    this.stage.query.show(
      {
        src: query?.src ?? "",
        original: query?.original ?? "",
        name: `Your query: ${query?.label}`,
        crop: query?.crop,
      },
      () => {},
    );
    for (const button of at.modes.children) {
      button.disabled = button.dataset.mode !== "side" && !this.hasPicture();
    }
    at.queries.hidden = this.queries.length < 2;
    at.queries.replaceChildren(...this.queries.map(({ label, src }, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", String(place === this.query));
      button.setAttribute("aria-label", `Compare with ${label}`);
      button.onclick = () => {
        this.query = place;
        this.showQuery();
        this.showOutlines();
        this.showWarmth();
      };
      const image = document.createElement("img");
      image.src = src;
      image.alt = "";
      button.append(src ? image : label.slice(0, 3));
      return button;
    }));
  }

  /** @param {boolean} afresh whether it is another picture than before */
  showMatch(afresh) {
    const { at, id } = this;
    const match = this.host.read(id);
    const place = this.ids.indexOf(id);
    at.name.textContent = at.name.title = match.name;
    at.score.textContent = match.score;
    at.relation.textContent = match.relation && `Same picture: ${match.relation}`;
    at.relation.hidden = !match.relation;
    at.place.textContent = `${grouped(place + 1)} of ${grouped(this.ids.length)}`;
    at.previous.disabled = place <= 0;
    at.next.disabled = place >= this.ids.length - 1;
    if (afresh) {
      at.state.textContent = "";
      this.stage.match.show({ ...match, name: match.name }, (state) => {
        at.state.textContent = {
          loading: "· loading the original…",
          full: "",
          thumbnail: "· only its thumbnail can be shown",
        }[state];
      });
      this.hush();
    }
    this.showOutlines();
    this.showWarmth();
    this.showVerdict();
    this.showFacts();
  }

  /** The first picture of the query is the one that matches were proved with. */
  showOutlines() {
    this.stage.setOutlines(this.query === 0 ? this.host.read(this.id).outlines : null);
  }

  /** @param {boolean} on */
  askWhy(on) {
    this.why = on;
    this.at.why.setAttribute("aria-pressed", String(on));
    if (on && this.stage.mode !== "side") this.stage.setMode("side");
    this.host.askWhy(on ? this.id : null);
    this.showWarmth();
  }

  /** Where both are alike, once Python has said so. The query's first picture is the one it tells of. */
  showWarmth() {
    const { at, stage, why } = this;
    const known = why && this.warmth?.id === this.id ? this.warmth : null;
    const first = this.queries.findIndex(({ src }) => src) === this.query;
    stage.query.warm(known && first ? known.query : null);
    stage.match.warm(known?.match ?? null);
    at.reason.hidden = !why;
    at.reason.textContent = known
      ? known.problem || "Bright: what makes the two alike to the model"
      : "Looking for what is alike…";
  }

  showVerdict() {
    const given = this.host.verdict(this.id);
    this.at.verdicts.hidden = given === null;
    for (const button of this.at.verdicts.children) {
      button.setAttribute("aria-pressed", String(button.dataset.verdict === given));
    }
  }

  showView() {
    const { stage, at } = this;
    for (const button of at.modes.children) {
      button.setAttribute("aria-pressed", String(button.dataset.mode === stage.mode));
    }
    at.fit.textContent = stage.scale > 1 ? `${stage.scale.toFixed(1)}×` : "Fit";
    at.out.disabled = stage.scale <= 1;
    if (Number(at.wipe.value) !== Math.round(stage.wipe * 100)) at.wipe.value = Math.round(stage.wipe * 100);
  }

  /** What a screen reader says of a match that one comes to. */
  spoken() {
    const { at } = this;
    return [at.place, at.name, at.score, at.relation].map(({ textContent }) => textContent).filter(Boolean).join(", ");
  }

  // The facts

  wantsFacts() {
    return !this.at.facts.hidden;
  }

  /** @param {boolean} on */
  openFacts(on) {
    this.at.facts.hidden = !on;
    this.at.factsButton.setAttribute("aria-expanded", String(on));
    if (on) this.host.look(this.id);
    this.showFacts();
  }

  showFacts() {
    const { at } = this;
    const facts = this.facts?.id === this.id ? this.facts : null;
    if (!this.wantsFacts()) return;
    at.rows.replaceChildren(...(facts?.rows ?? [["", "Loading…"]]).flatMap(([name, value]) => [
      written("dt", name),
      written("dd", value),
    ]));
    at.linksHeading.hidden = !facts?.links.length;
    at.links.replaceChildren(...(facts?.links ?? []).map(([text, url]) => {
      const item = document.createElement("li");
      const link = /** @type {HTMLAnchorElement} */ (written("a", text));
      link.target = "_blank";
      link.rel = "noopener noreferrer";
      if (/^(https?:\/\/|\/)/.test(url)) link.href = url;
      item.append(link);
      return item;
    }));
    this.showTags(facts?.tags ?? []);
    const tags = (facts?.known_tags ?? []).map((tag) =>
      Object.assign(document.createElement("option"), { value: tag })
    );
    at.known.replaceChildren(...tags);
  }

  /** @param {string[]} tags */
  showTags(tags) {
    this.at.tags.replaceChildren(...tags.map((tag) => {
      const item = document.createElement("li");
      const button = written("button", `${tag} \u00d7`);
      button.setAttribute("type", "button");
      button.setAttribute("aria-label", `Remove the tag ${tag}`);
      button.onclick = () => this.editTags("untag", tag);
      item.append(button);
      return item;
    }));
  }

  /** @param {"tag" | "untag"} edit @param {string} tag */
  editTags(edit, tag) {
    if (!tag) return;
    if (this.facts?.id === this.id) {
      const others = this.facts.tags.filter((each) => each !== tag);
      this.facts = { ...this.facts, tags: edit === "tag" ? [...others, tag] : others };
      this.showTags(this.facts.tags);
    }
    this.host.edit(this.id, `${edit}:${tag}`);
    this.say(edit === "tag" ? `Tagged ${tag}.` : `The tag ${tag} was removed.`);
  }

  startTagging() {
    this.openFacts(true);
    this.at.tag.focus();
  }

  // What is done

  remove() {
    const { id } = this;
    this.removed = id;
    this.host.edit(id, "remove");
    this.say(`${this.host.read(id).name} is in the bin.`, true);
    this.leave(this.ids.filter((other) => other !== id));
  }

  undo() {
    if (this.removed === null) return;
    this.host.edit(this.removed, "restore");
    this.removed = null;
    this.say("It is back in the collection.");
    this.at.stage.focus();
  }

  /** @param {"yes" | "no"} verdict */
  judge(verdict) {
    if (this.host.verdict(this.id) === null) return;
    this.host.judge(this.id, verdict);
    this.showVerdict();
  }

  /** @param {string} sentence @param {boolean} undo */
  say(sentence, undo = false) {
    this.at.said.textContent = sentence;
    this.at.undo.hidden = !undo;
    this.at.toast.hidden = false;
  }

  /** Close the table, and do something else with its match. @param {(id: string) => void} act */
  thenOnPage(act) {
    const { id } = this;
    this.close();
    act(id);
  }

  // Clicks and keys

  listen() {
    const { at, dialog, stage, host } = this;
    /** @type {Record<string, () => void>} */
    const clicks = {
      close: () => this.close(),
      previous: () => this.step(-1),
      next: () => this.step(1),
      in: () => stage.zoomBy(1.5),
      out: () => stage.zoomBy(1 / 1.5),
      fit: () => stage.reset(),
      more: () => this.thenOnPage(host.more),
      details: () => this.thenOnPage(host.details),
      remove: () => this.remove(),
      undo: () => this.undo(),
      tagButton: () => this.startTagging(),
      factsButton: () => this.openFacts(!this.wantsFacts()),
      why: () => this.askWhy(!this.why),
    };
    for (const [name, act] of Object.entries(clicks)) at[name].onclick = act;
    for (const button of at.modes.children) button.onclick = () => stage.setMode(button.dataset.mode);
    for (const button of at.verdicts.children) button.onclick = () => this.judge(button.dataset.verdict);
    at.wipe.oninput = () => stage.setWipe(Number(at.wipe.value) / 100);
    at.tagging.onsubmit = (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      this.editTags("tag", at.tag.value.trim());
      at.tag.value = "";
    };
    dialog.onkeydown = (event) => this.takeKey(event);
    dialog.onclose = () => {
      stage.close();
      this.lookSoon.cancel();
      this.askSoon.cancel();
      this.host.closed(this.id);
    };
  }

  /** @param {KeyboardEvent} event */
  takeKey(event) {
    event.stopPropagation(); // Streamlit has keys of its own
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const focused = event.composedPath()[0];
    if (focused === this.at.tag) {
      if (event.key !== "Escape") return;
      event.preventDefault(); // leaves the field, and not the table
      this.at.stage.focus();
      return;
    }
    const { stage } = this;
    const onControl = focused instanceof HTMLButtonElement || focused instanceof HTMLAnchorElement;
    const key = event.key.toLowerCase();
    /** @type {Record<string, () => void>} */
    const keys = {
      arrowleft: () => this.step(-1),
      arrowright: () => this.step(1),
      home: () => this.step(-this.ids.indexOf(this.id)),
      end: () => this.step(this.ids.length - 1 - this.ids.indexOf(this.id)),
      y: () => this.judge("yes"),
      n: () => this.judge("no"),
      t: () => this.startTagging(),
      x: () => this.remove(),
      m: () => this.thenOnPage(this.host.more),
      i: () => this.openFacts(!this.wantsFacts()),
      w: () => this.askWhy(!this.why),
      "+": () => stage.zoomBy(1.5),
      "=": () => stage.zoomBy(1.5),
      "-": () => stage.zoomBy(1 / 1.5),
      "0": () => stage.reset(),
      " ": () => stage.mode === "blink" && stage.flip(),
    };
    MODES.forEach((mode, place) => {
      keys[String(place + 1)] = () => (mode === "side" || this.hasPicture()) && stage.setMode(mode);
    });
    if (!(key in keys) || (onControl && key === " ")) return;
    if (focused === this.at.wipe && /^(arrow|home|end)/.test(key)) return;
    if (event.repeat && !key.startsWith("arrow") && !"+-=".includes(key)) return;
    event.preventDefault();
    keys[key]();
  }
}

/** An element with a text. @param {string} name @param {string} text */
function written(name, text) {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}
