/**
 * Groups of duplicates, each with the picture that stays before those that would go. What a button asks for, Python
 * hears; to look at two pictures side by side asks nobody.
 *
 * @typedef {{label: string, value: string, differs: boolean, mark: string}} Fact
 * @typedef {{id: string, src: string, full: string, url: string, name: string, note: string, facts: Fact[]}} Picture
 * @typedef {{id: string, pictures: Picture[]}} Group  the keeper comes first, and gives the group its id
 * @typedef {{groups: Group[], selected: string[], revision: string, label: string}} Data
 */

const SHOWN = 8; // pictures of a group before "Show all"

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

/** One mounted list. */
class Groups {
  unfolded = new Set(); // ids of groups that show all their pictures
  pair = null; // {group, at} while two pictures are compared: the group, and the place of the duplicate

  constructor(root) {
    this.parts = {};
    for (const part of root.querySelectorAll("[data-part]")) this.parts[part.dataset.part] = part;
    const { compare, previous, next, close } = this.parts;
    previous.onclick = () => this.step(-1);
    next.onclick = () => this.step(1);
    close.onclick = () => compare.close();
    compare.onclick = (event) => event.target === compare && compare.close();
    compare.onkeydown = (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.step(step);
    };
  }

  update(data, setState, trigger) {
    this.setState = setState;
    this.trigger = trigger;
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

  drawGroup(group) {
    const count = group.pictures.length - 1;
    const tick = make("input", { type: "checkbox", checked: this.selected.has(group.id) });
    tick.onchange = () => this.select(group.id, tick.checked);
    const title = counted(count, "duplicate");
    const remove = make("button", { type: "button", className: "remove" }, `Remove ${title}`);
    remove.onclick = () => this.ask("remove", group.id);
    const different = make("button", { type: "button" }, "Not duplicates");
    different.title = "None of these pictures is a duplicate of another. They are not grouped again.";
    different.onclick = () => this.ask("different", group.id);
    const all = this.unfolded.has(group.id) || group.pictures.length <= SHOWN + 1;
    const pictures = group.pictures.slice(0, all ? undefined : SHOWN);
    const item = make(
      "li",
      { className: "group" },
      make(
        "div",
        { className: "head" },
        make("label", {}, tick, `1 stays, ${count.toLocaleString("en")} would go`),
        make("div", {}, different, remove),
      ),
      make(
        "div",
        { className: "pictures" },
        ...pictures.map((picture, at) => this.drawPicture(group, picture, at, () => this.open(group, at))),
      ),
    );
    if (!all) {
      const more = make("button", { type: "button", className: "more" }, `Show all ${group.pictures.length}`);
      more.onclick = () => {
        this.unfolded.add(group.id);
        item.replaceWith(this.drawGroup(group));
      };
      item.append(more);
    }
    return item;
  }

  drawPicture(group, picture, at, open, src = picture.src) {
    const image = make("img", { src, loading: "lazy", alt: picture.name });
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
    const facts = make("dl", { className: "facts" });
    for (const { label, value, differs, mark } of picture.facts) {
      const said = make("dd", { className: differs ? "differs" : "" }, value);
      if (mark) said.append(make("span", { className: "mark" }, mark));
      facts.append(make("dt", {}, label), said);
    }
    const figure = make(
      "figure",
      { className: at ? "picture" : "picture keeper" },
      frame,
      make("figcaption", { className: "name", title: picture.name }, name),
      facts,
    );
    if (at) figure.append(this.drawButtons(group, picture));
    return figure;
  }

  drawButtons(group, picture) {
    const keep = make("button", { type: "button" }, "Keep this one");
    keep.title = "This picture stays instead. Those that are no duplicates of it leave the group.";
    keep.onclick = () => this.ask("keep", group.id, picture.id);
    const different = make("button", { type: "button" }, "Not a duplicate");
    different.title = "This picture is no duplicate of the others. It is not grouped with them again.";
    different.onclick = () => this.ask("different", group.id, picture.id);
    return make("div", { className: "does" }, keep, different);
  }

  /** The duplicate at a place of the group beside its keeper; for the keeper itself, the first duplicate. */
  open(group, at) {
    this.pair = { group, at: Math.max(1, at) };
    this.drawPair();
    if (!this.parts.compare.open) this.parts.compare.showModal();
  }

  step(by) {
    const { group, at } = this.pair;
    const next = at + by;
    if (next >= 1 && next < group.pictures.length) this.open(group, next);
  }

  drawPair() {
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

  select(id, on) {
    if (on) this.selected.add(id);
    else this.selected.delete(id);
    this.setState("selected", { ids: [...this.selected], revision: this.data.revision });
    this.parts.live.textContent = `${counted(this.selected.size, "group")} selected`;
  }

  ask(what, group, picture = "") {
    if (this.parts.compare.open) this.parts.compare.close();
    this.trigger("ask", { what, group, picture, revision: this.data.revision });
  }
}

const lists = new WeakMap();

/** Streamlit calls this at the first mount and again whenever the data or the theme has changed. */
export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector(".groups");
  if (!lists.has(root)) lists.set(root, new Groups(root));
  lists.get(root).update(data, setStateValue, setTriggerValue);
}
