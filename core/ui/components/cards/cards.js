// @ts-check
// Pictures as cards in a grid: how they are drawn, walked by the keys and selected.
import { clamp, find, findParts, grouped, whenQuiet } from "../base.js";

/** @import { Send } from "../base.js" */

/**
 * `src` is the thumbnail; width and height are the original's, in pixels.
 *
 * @typedef {{id: string, src: string, original: string, width: number, height: number, url: string, name: string,
 *   note: string}} Card
 */

/** @typedef {Record<"card" | "cards" | "clear" | "live" | "picked" | "picks" | "selectAll" | "size", any>} CardParts */

/** Show a text in a part that is hidden while it has none. @param {HTMLElement} part @param {string} text */
export function showText(part, text) {
  part.textContent = text;
  part.hidden = !text;
}

const NARROWEST = 0.4;
const WIDEST = 4;

/** @param {Card} card the width of a picture to its height */
const ratioOf = ({ width, height }) => width / Math.max(1, height) || 1;

/** @param {Card} card the same, as far as a row can show it */
export const shapeOf = (card) => clamp(ratioOf(card), NARROWEST, WIDEST);

/** A URL as an object, or null; /… is a path on this server. @param {string} text */
function parsed(text) {
  const base = text.startsWith("/") ? location.origin : undefined;
  return URL.canParse(text, base) ? new URL(text, base) : null;
}

const ROWS = [90, 130, 180, 250, 360]; // pixels that a row of pictures is high, at least
const HOLD_MS = 450; // how long a finger rests until it shows a name
const SIZE = "lookalike-picture-size";

/** The place in `ROWS` that was chosen last in this browser. */
function rememberedSize() {
  const size = Number(localStorage.getItem(SIZE) ?? 2);
  return size in ROWS ? size : 2;
}

/** The first element of a template, as a copy. @param {HTMLTemplateElement} template */
function copyOf(template) {
  return /** @type {HTMLElement} */ (template.content.firstElementChild?.cloneNode(true));
}

/**
 * One mounted list of cards. A card is known by its place in `items`; places in `shown` are on the page, in that order.
 *
 * @template {Card} T
 */
export class CardList {
  /** @type {T[]} */
  items = [];
  /** @type {HTMLElement[]} one <li> an item, in the same order */
  cards = [];
  /** @type {number[]} places of the cards on the page, in their order there */
  shown = [];
  /** @type {Set<number>} places */
  selected = new Set();
  selectable = false;
  selectKey = " "; // selects the card that has the focus
  /** @type {string | undefined} names the items: the same again change nothing that the curator sees or holds */
  revision = undefined;
  /** @type {string | undefined} names what a selection lasts for: the items, or the search that they are found by */
  scope = undefined;
  row = 0; // pixels that a row is high, at least
  anchor = 0; // where a range selection starts
  current = 0; // the card that the Tab key reaches
  /** @type {Send} */
  setState = () => {};
  /** @type {Send} */
  setTrigger = () => {};

  /** @param {ParentNode} parent */
  constructor(parent) {
    this.root = find(parent, "section", HTMLElement);
    /** @type {CardParts & Record<string, any>} */
    this.parts = /** @type {any} */ (findParts(parent));
    this.sendSelection = whenQuiet(() => this.setState("selected", { scope: this.scope, ids: this.selectedIds() }));
    this.parts.selectAll.onclick = () => this.select(this.selectablePlaces(), true);
    this.parts.clear.onclick = () => this.select([...this.selected], false);
    this.listenToCards();
    this.listenToSize();
    /** @param {KeyboardEvent} event */
    this.onHelp = (event) => {
      const [target] = event.composedPath();
      const typing = target instanceof Element && target.matches("input:not([type=checkbox], [type=range]), textarea");
      const { keys } = this.parts;
      if (event.key === "?" && !typing && !keys.open && !this.root.parentNode?.querySelector("dialog[open]")) {
        this.showKeys();
        event.preventDefault();
      }
    };
  }

  /** Tell what the keys do. */
  showKeys() {
    const { keys, selectKeyName, verdictKeys, verdictSaid } = this.parts;
    selectKeyName.textContent = this.selectKey === " " ? "Space" : this.selectKey.toUpperCase();
    verdictKeys.hidden = verdictSaid.hidden = this.selectKey === " ";
    keys.showModal();
  }

  /**
   * Take what Python sent: whether cards can be selected, and other items in the place of all cards. In the same scope
   * what is selected here stays so, for Python may not have heard of it yet.
   *
   * @param {{items: T[], revision: string, scope: string, selected: string[], selectable: boolean, label: string}} sent
   */
  take({ items, revision, scope, selected, selectable, label }) {
    document.addEventListener("keydown", this.onHelp);
    this.selectable = selectable;
    this.root.classList.toggle("selectable", selectable);
    this.parts.picks.hidden = !selectable;
    if (revision === this.revision) return false;
    const ids = new Set(scope === this.scope ? this.selectedIds() : selected);
    if (scope !== this.scope) this.sendSelection.cancel();
    this.items = items;
    this.revision = revision;
    this.scope = scope;
    this.cards = items.map((item) => this.draw(item));
    this.shown = [];
    this.parts.cards.replaceChildren();
    this.parts.cards.setAttribute("aria-label", label);
    this.current = this.anchor = 0;
    this.setTabbable(0, true);
    this.selected = new Set();
    items.forEach(({ id }, place) => ids.has(id) && this.tick(place, true));
    return true;
  }

  /** The card of one item. Its text goes in as text, never as markup. @param {T} item */
  draw(item) {
    const card = copyOf(this.parts.card);
    card.style.setProperty("--shape", shapeOf(item).toFixed(4));
    card.classList.toggle("extreme", shapeOf(item) !== ratioOf(item));
    const source = parsed(item.url);
    const title = find(card, ".title", HTMLAnchorElement);
    title.textContent = title.title = item.name;
    if (source && /^https?:$/.test(source.protocol)) title.href = source.href;
    const host = item.url.startsWith("/") ? "Stored file" : (source?.hostname ?? "");
    find(card, ".host", HTMLElement).textContent = host;
    showText(find(card, ".note", HTMLElement), item.note);
    find(card, ".picture", HTMLElement).setAttribute("aria-label", this.described(item));
    find(card, ".pick input", HTMLElement).setAttribute("aria-label", `Select ${item.name}`);
    const image = find(card, "img", HTMLImageElement);
    image.alt = item.name;
    image.onerror = () => {
      image.hidden = true;
      find(card, ".broken", HTMLElement).hidden = false;
    };
    image.src = item.src;
    return card;
  }

  /** What a screen reader calls a card. @param {T} item */
  described(item) {
    return [item.name, item.note].filter(Boolean).join(", ");
  }

  /** The places that "Select all" selects. */
  selectablePlaces() {
    return [...this.items.keys()];
  }

  // How large the pictures are

  listenToSize() {
    const { size } = this.parts;
    size.max = ROWS.length - 1;
    size.value = rememberedSize();
    size.oninput = () => {
      localStorage.setItem(SIZE, size.value);
      this.showSize();
    };
    this.showSize();
  }

  showSize() {
    const { size } = this.parts;
    this.row = ROWS[size.value];
    size.setAttribute("aria-valuetext", `${this.row} pixels high`);
    this.root.style.setProperty("--row", `min(${this.row}px, ${this.row / 6}cqw)`);
  }

  // Clicks and keys

  listenToCards() {
    const { cards } = this.parts;
    /** @param {Event} event */
    const target = (event) => /** @type {HTMLElement} */ (event.target);
    /** @param {Event} event */
    const placeOf = (event) => this.cards.indexOf(/** @type {HTMLElement} */ (target(event).closest(".card")));
    /** @param {KeyboardEvent} event */
    const ticks = (event) =>
      event.key.toLowerCase() === this.selectKey && this.selectable && target(event).matches(".picture");
    cards.onkeyup = (/** @type {KeyboardEvent} */ event) => {
      if (ticks(event)) event.preventDefault(); // else Firefox clicks the picture
    };
    cards.onclick = (/** @type {MouseEvent} */ event) => {
      const place = placeOf(event);
      const button = target(event).closest("button");
      const box = target(event).closest("input");
      if (box) this.pick(place, box.checked, event.shiftKey);
      else if (!button) return;
      else if (!button.matches(".picture")) this.press(place, button);
      else if (this.selectable && event.shiftKey) this.pick(place, true, true);
      else this.open(place);
    };
    this.listenToFingers();
    cards.addEventListener("focusin", (/** @type {FocusEvent} */ event) => this.setCurrent(placeOf(event)));
    cards.onkeydown = (/** @type {KeyboardEvent} */ event) => {
      if ((event.ctrlKey || event.metaKey) && event.key === "a" && this.selectable) {
        event.preventDefault();
        this.select(this.selectablePlaces(), true);
        return;
      }
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      if (ticks(event)) this.pick(this.current, !this.selected.has(this.current), event.shiftKey);
      else if (!this.takeKey(event) && !this.walk(event.key)) return;
      event.preventDefault();
    };
  }

  /** A finger that rests on a picture shows what is said of it, and opens nothing. */
  listenToFingers() {
    const { cards } = this.parts;
    /** @type {number | undefined} */
    let timer;
    /** @type {Element | null} */
    let named = null;
    let held = false;
    cards.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
      held = false;
      if (event.pointerType === "mouse") return;
      const card = /** @type {Element} */ (event.target).closest(".card");
      clearTimeout(timer);
      timer = setTimeout(() => {
        held = true;
        named?.classList.remove("named");
        named = card;
        named?.classList.add("named");
      }, HOLD_MS);
    });
    for (const end of ["pointerup", "pointercancel"]) cards.addEventListener(end, () => clearTimeout(timer));
    cards.addEventListener("contextmenu", (/** @type {Event} */ event) => {
      if (held) event.preventDefault();
    });
    cards.addEventListener("click", (/** @type {Event} */ event) => {
      if (!held) return;
      held = false;
      event.stopImmediatePropagation();
      event.preventDefault();
    }, true);
  }

  /** What a click on a picture does. @param {number} place */
  open(place) {
    this.setTrigger("open", this.items[place].id);
  }

  /** A button of a card that is not its picture. @param {number} _place @param {HTMLButtonElement} _button */
  press(_place, _button) {}

  /** Whether a key does something of the component's own to the current card. @param {KeyboardEvent} _event */
  takeKey(_event) {
    return false;
  }

  /** Move the focus by an arrow key. Returns whether the key is one. @param {string} key */
  walk(key) {
    const { shown } = this;
    const here = shown.indexOf(this.current);
    /** @type {Record<string, number>} */
    const goals = {
      ArrowLeft: here - 1,
      ArrowRight: here + 1,
      ArrowUp: key === "ArrowUp" ? this.inNextRow(here, -1) : -1,
      ArrowDown: key === "ArrowDown" ? this.inNextRow(here, 1) : -1,
      Home: 0,
      End: shown.length - 1,
    };
    if (!(key in goals)) return false;
    if (shown[goals[key]] !== undefined) this.focusCard(shown[goals[key]]);
    return true;
  }

  /**
   * The card in the row above (-1) or below (1) that comes nearest to one, by its number among those shown.
   *
   * @param {number} here
   * @param {number} by
   */
  inNextRow(here, by) {
    const cards = this.shown.map((place) => this.cards[place]);
    /** @param {HTMLElement} card */
    const middle = (card) => card.offsetLeft + card.offsetWidth / 2;
    let [found, top] = [-1, 0];
    for (let next = here + by; next in cards; next += by) {
      if (cards[next].offsetTop === cards[here].offsetTop) continue;
      if (found >= 0 && cards[next].offsetTop !== top) break;
      const nearer = found < 0 ||
        Math.abs(middle(cards[next]) - middle(cards[here])) < Math.abs(middle(cards[found]) - middle(cards[here]));
      if (nearer) [found, top] = [next, cards[next].offsetTop];
    }
    return found;
  }

  /** @param {number} place */
  focusCard(place) {
    find(this.cards[place], ".picture", HTMLElement).focus();
  }

  /** The part of a card that holds the focus, or null. */
  focused() {
    const focused = /** @type {Document | ShadowRoot} */ (this.root.getRootNode()).activeElement;
    return this.parts.cards.contains(focused) ? focused : null;
  }

  /** @param {number} place */
  setCurrent(place) {
    if (place === this.current) return;
    this.setTabbable(this.current, false);
    this.current = place;
    this.setTabbable(place, true);
  }

  /** @param {number} place @param {boolean} on */
  setTabbable(place, on) {
    /** @type {Iterable<HTMLElement>} */
    const parts = this.cards[place]?.querySelectorAll("button, input, a") ?? [];
    for (const part of parts) part.tabIndex = on ? 0 : -1;
  }

  // The selection

  /**
   * Tick or untick one card, or the range of cards shown from the last one that was touched.
   *
   * @param {number} place
   * @param {boolean} on
   * @param {boolean} ranged
   */
  pick(place, on, ranged) {
    const end = this.shown.indexOf(place);
    const start = ranged && this.shown.includes(this.anchor) ? this.shown.indexOf(this.anchor) : end;
    this.select(this.shown.slice(Math.min(start, end), Math.max(start, end) + 1), on);
    this.anchor = place;
  }

  /** @param {number[]} places @param {boolean} on */
  select(places, on) {
    for (const place of places) this.tick(place, on);
    this.showSelection();
    this.sendSelection();
  }

  /** @param {number} place @param {boolean} on */
  tick(place, on) {
    this.cards[place].classList.toggle("selected", on);
    find(this.cards[place], "input", HTMLInputElement).checked = on;
    if (on) this.selected.add(place);
    else this.selected.delete(place);
  }

  selectedIds() {
    return [...this.selected].sort((a, b) => a - b).map((place) => this.items[place].id);
  }

  showSelection() {
    const { parts, selected } = this;
    parts.picked.textContent = this.selectionText();
    parts.picked.hidden = parts.clear.hidden = selected.size === 0;
    this.root.classList.toggle("picking", selected.size > 0);
  }

  selectionText() {
    return `${grouped(this.selected.size)} selected`;
  }

  close() {
    document.removeEventListener("keydown", this.onHelp);
    this.sendSelection.cancel();
  }
}
