// @ts-check
import { counted, findParts, grouped, mounted } from "../base.js";

/** @import { Mount, Send } from "../base.js" */

/**
 * Groups of duplicates, each with the picture that stays before those that would go. What the buttons ask for goes to
 * Python; a look at two pictures side by side does not.
 *
 * @typedef {{label: string, value: string, differs: boolean, mark: string}} Detail
 * @typedef {{id: string, src: string, full: string, url: string, name: string, note: string, details: Detail[]}} Picture
 * @typedef {{id: string, pictures: Picture[]}} Group  the keeper comes first, and gives the group its id
 * @typedef {{groups: Group[], selected: string[], revision: string, label: string}} Data
 */

const SHOWN = 8; // pictures of a group before "Show all"

/**
 * An element with these properties and children.
 *
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Partial<HTMLElementTagNameMap[Name]>} properties
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[Name]}
 */
function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  Object.assign(element, properties);
  element.append(...children);
  return element;
}

/** One mounted list. */
class Groups {
  /** @type {Set<string>} ids of groups that show all their pictures */
  unfolded = new Set();
  /** @type {{group: Group, at: number} | null} while two are compared: the group, and the place of the duplicate */
  pair = null;
  /** @type {Data} */
  data = { groups: [], selected: [], revision: "", label: "" };
  /** @type {Set<string>} ids of groups */
  selected = new Set();
  shown = "";
  /** @type {Send} */
  setState = () => {};
  /** @type {Send} */
  setTrigger = () => {};

  /** @param {ParentNode} parent */
  constructor(parent) {
    this.parts = findParts(parent);
    const { compare, previous, next, close } = this.parts;
    previous.onclick = () => this.step(-1);
    next.onclick = () => this.step(1);
    close.onclick = () => compare.close();
    compare.onclick = (/** @type {MouseEvent} */ event) => event.target === compare && compare.close();
    compare.onkeydown = (/** @type {KeyboardEvent} */ event) => {
      const step = event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0;
      if (!step) return;
      event.preventDefault();
      this.step(step);
    };
  }

  /** @param {Mount<Data>} mount */
  update({ data, setStateValue, setTriggerValue }) {
    this.setState = setStateValue;
    this.setTrigger = setTriggerValue;
    const shown = JSON.stringify(data);
    if (shown === this.shown) return;
    this.shown = shown;
    this.data = data;
    this.selected = new Set(data.selected);
    if (this.parts.compare.open) this.parts.compare.close();
    this.parts.list.setAttribute("aria-label", data.label);
    this.draw();
  }

  draw() {
    this.parts.list.replaceChildren(...this.data.groups.map((group) => this.drawGroup(group)));
  }

  /** @param {Group} group @returns {HTMLLIElement} */
  drawGroup(group) {
    const count = group.pictures.length - 1;
    const tick = make("input", { type: "checkbox", checked: this.selected.has(group.id) });
    tick.onchange = () => this.select(group.id, tick.checked);
    const title = counted(count, "duplicate");
    const remove = make("button", { type: "button", className: "remove" }, `Remove ${title}`);
    remove.onclick = () => this.ask("remove", group.id);
    const different = make("button", { type: "button" }, "Not duplicates");
    different.title = "These pictures are not duplicates of each other. They will not be grouped again.";
    different.onclick = () => this.ask("different", group.id);
    const stack = make("button", { type: "button" }, count === 1 ? "Keep both as a stack" : "Keep all as a stack");
    stack.title = "All of them stay, and a search shows them as one. They will not be grouped here again.";
    stack.onclick = () => this.ask("stack", group.id);
    const all = this.unfolded.has(group.id) || group.pictures.length <= SHOWN + 1;
    const pictures = group.pictures.slice(0, all ? undefined : SHOWN);
    const item = make(
      "li",
      { className: "group" },
      make(
        "div",
        { className: "head" },
        make("label", {}, tick, `1 stays, ${grouped(count)} would go`),
        make("div", {}, different, stack, remove),
      ),
      make(
        "div",
        { className: "pictures" },
        ...pictures.map((picture, at) => this.drawPicture(group, picture, at, () => this.open(group, at))),
      ),
    );
    if (!all) {
      const more = make("button", { type: "button", className: "more" }, `Show all ${grouped(group.pictures.length)}`);
      more.onclick = () => {
        this.unfolded.add(group.id);
        item.replaceWith(this.drawGroup(group));
      };
      item.append(more);
    }
    return item;
  }

  /**
   * @param {Group} group
   * @param {Picture} picture
   * @param {number} at
   * @param {(() => void) | null} open
   */
  drawPicture(group, picture, at, open, src = picture.src) {
    const image = make("img", { loading: "lazy", alt: picture.name, src });
    image.onerror = () => {
      image.onerror = null;
      image.src = picture.src;
    };
    const badge = make("span", { className: "badge" }, at ? picture.note : "Stays");
    const frame = open
      ? make("button", { type: "button", className: "frame", title: "See side by side", onclick: open }, image, badge)
      : make("div", { className: "frame" }, image, badge);
    const name = /^(https?:\/\/|\/)/.test(picture.url)
      ? make("a", { href: picture.url, target: "_blank", rel: "noopener noreferrer" }, picture.name)
      : picture.name;
    const details = make("dl", { className: "details" });
    for (const { label, value, differs, mark } of picture.details) {
      const shown = make("dd", { className: differs ? "differs" : "" }, value);
      if (mark) shown.append(make("span", { className: "mark" }, mark));
      details.append(make("dt", {}, label), shown);
    }
    const figure = make(
      "figure",
      { className: at ? "picture" : "picture keeper" },
      frame,
      make("figcaption", { className: "name", title: picture.name }, name),
      details,
    );
    if (at) figure.append(this.drawButtons(group, picture));
    return figure;
  }

  /** @param {Group} group @param {Picture} picture */
  drawButtons(group, picture) {
    const keep = make("button", { type: "button" }, "Keep this one");
    keep.title = "This picture stays instead. Pictures that are not duplicates of it leave the group.";
    keep.onclick = () => this.ask("keep", group.id, picture.id);
    const different = make("button", { type: "button" }, "Not a duplicate");
    different.title = "This picture is not a duplicate of the others. They will not be grouped with it again.";
    different.onclick = () => this.ask("different", group.id, picture.id);
    return make("div", { className: "does" }, keep, different);
  }

  /** The duplicate at a place of the group beside its keeper; for the keeper itself, the first duplicate. @param {Group} group @param {number} at */
  open(group, at) {
    this.pair = { group, at: Math.max(1, at) };
    this.drawPair();
    if (!this.parts.compare.open) this.parts.compare.showModal();
  }

  /** @param {number} by */
  step(by) {
    if (!this.pair) return;
    const { group, at } = this.pair;
    const next = at + by;
    if (next >= 1 && next < group.pictures.length) this.open(group, next);
  }

  drawPair() {
    if (!this.pair) return;
    const { group, at } = this.pair;
    const last = group.pictures.length - 1;
    const { place, previous, next, pair } = this.parts;
    place.textContent = last > 1 ? `Duplicate ${at} of ${last}` : "Side by side";
    previous.hidden = next.hidden = last < 2;
    previous.disabled = at === 1;
    next.disabled = at === last;
    pair.replaceChildren(
      ...[0, at].map((number) => {
        const picture = group.pictures[number];
        return this.drawPicture(group, picture, number, null, picture.full || picture.src);
      }),
    );
  }

  /** @param {string} id @param {boolean} on */
  select(id, on) {
    if (on) this.selected.add(id);
    else this.selected.delete(id);
    this.setState("selected", { ids: [...this.selected], scope: this.data.revision });
    this.parts.live.textContent = `${counted(this.selected.size, "group")} selected`;
  }

  /** @param {"keep" | "remove" | "stack" | "different"} what @param {string} group */
  ask(what, group, picture = "") {
    if (this.parts.compare.open) this.parts.compare.close();
    this.setTrigger("ask", { what, group, picture, revision: this.data.revision });
  }
}

export default mounted((parent) => new Groups(parent));
