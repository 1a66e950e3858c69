// @ts-check
// The parts of a query as tiles: a click edits one, × removes it, and + opens the page's panel for more.
import { find } from "../base.js";

/**
 * @typedef {{number: number, label: string, src: string, note: string, negative: boolean, problem: string}} QueryTile
 * @typedef {"edit" | "remove" | "add" | "added"} TileEvent
 */

const ADDING = "data-adding"; // on the page's root while its panel for more parts is open
const PANEL = ".st-key-inputs";

export class QueryStrip {
  drawn = "";

  /** @param {ParentNode} parent @param {(number: number, event: TileEvent) => void} act */
  constructor(parent, act) {
    this.act = act;
    this.list = find(parent, ".tiles", HTMLElement);
    this.more = find(parent, ".tiles .more", HTMLButtonElement);
    this.template = find(parent, "template[data-part=tile]", HTMLTemplateElement);
    this.more.onclick = () => this.adding ? this.close() : this.open();
    /** @param {KeyboardEvent} event */
    this.onKey = (event) => {
      if (event.key !== "Escape" || !this.adding) return;
      this.close();
      this.more.focus();
    };
    /** @param {Event} event */
    this.onPointer = (event) => {
      const inside = event.composedPath().some((node) => node instanceof Element && node.matches(`${PANEL}, .more`));
      if (this.adding && !inside) this.close();
    };
  }

  get adding() {
    return document.documentElement.hasAttribute(ADDING);
  }

  /** @param {QueryTile[]} tiles */
  take(tiles) {
    document.addEventListener("keydown", this.onKey);
    document.addEventListener("pointerdown", this.onPointer);
    this.list.hidden = tiles.length === 0;
    const drawn = JSON.stringify(tiles);
    if (drawn === this.drawn) return;
    const grew = this.drawn !== "";
    this.drawn = drawn;
    const held = this.heldPlace();
    this.list.replaceChildren(...tiles.map((tile) => this.draw(tile)), this.more);
    if (held >= 0) find(this.list.children[Math.min(held, tiles.length)], "button.part, .more", HTMLElement).focus();
    if (grew && this.adding) this.close();
  }

  /** The place of the tile that holds the focus, or -1. */
  heldPlace() {
    const focused = /** @type {Document | ShadowRoot} */ (this.list.getRootNode()).activeElement;
    const tile = focused?.closest(".tile");
    return tile ? [...this.list.children].indexOf(tile) : -1;
  }

  /** @param {QueryTile} part */
  draw({ number, label, src, note, negative, problem }) {
    const tile = /** @type {HTMLElement} */ (this.template.content.firstElementChild?.cloneNode(true));
    const edit = find(tile, ".part", HTMLButtonElement);
    const drop = find(tile, ".drop", HTMLButtonElement);
    const image = find(tile, "img", HTMLImageElement);
    const words = find(tile, ".words", HTMLElement);
    image.hidden = !src;
    if (src) image.src = src;
    words.hidden = Boolean(src);
    words.textContent = problem ? "!" : label;
    find(tile, ".sign", HTMLElement).textContent = negative ? "\u2212" : "+";
    tile.classList.toggle("negative", negative);
    tile.classList.toggle("broken", Boolean(problem));
    const named = [label, note].filter(Boolean).join(", ");
    edit.title = problem || named;
    edit.disabled = Boolean(problem);
    edit.setAttribute("aria-label", `Edit ${named}`);
    edit.onclick = () => this.act(number, "edit");
    drop.title = "Remove from the query";
    drop.setAttribute("aria-label", `Remove ${label} from the query`);
    drop.onclick = () => this.act(number, "remove");
    return tile;
  }

  /** Open the panel below the + tile; what is given there is added. */
  open() {
    const root = document.documentElement;
    root.toggleAttribute(ADDING, true);
    root.style.setProperty("--adding-left", `${this.more.getBoundingClientRect().left}px`);
    this.more.setAttribute("aria-expanded", "true");
    this.act(0, "add");
    /** @type {HTMLInputElement | null} */
    const field = document.querySelector(`${PANEL} input[type="text"]`);
    requestAnimationFrame(() => field?.focus());
  }

  close() {
    document.documentElement.toggleAttribute(ADDING, false);
    this.more.setAttribute("aria-expanded", "false");
    this.act(0, "added");
  }

  unmount() {
    document.documentElement.toggleAttribute(ADDING, false);
    document.removeEventListener("keydown", this.onKey);
    document.removeEventListener("pointerdown", this.onPointer);
  }
}
