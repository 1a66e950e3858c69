// @ts-check
import { mounted, whenQuiet } from "../base.js";
import { CardList } from "../cards/cards.js";

/** @import { Mount } from "../base.js" */
/** @import { Card } from "../cards/cards.js" */

/**
 * @typedef {{cards: Card[], revision: string, selected: string[], selectable: boolean, heading: string, label: string,
 *   page: number, all_selected: boolean}} Data
 */

/**
 * Pictures in a plain grid, all of them on the page.
 *
 * @extends {CardList<Card>}
 */
class PictureGrid extends CardList {
  page = 0;

  /** @param {ParentNode} parent */
  constructor(parent) {
    super(parent);
    this.announce = whenQuiet(() => (this.parts.live.textContent = this.parts.heading.textContent));
  }

  /** @param {Mount<Data>} mount */
  update({ data, setStateValue, setTriggerValue }) {
    const { parts, root } = this;
    this.setState = setStateValue;
    this.setTrigger = setTriggerValue;
    const held = this.focused() ? this.items[this.current].id : null;
    if (this.take({ ...data, items: data.cards, scope: data.revision })) {
      this.shown = [...this.items.keys()];
      parts.cards.replaceChildren(...this.cards);
      this.showSelection();
      const place = this.items.findIndex(({ id }) => id === held);
      if (held !== null && this.items.length) this.focusCard(Math.max(0, place));
    }
    root.classList.toggle("all-selected", data.all_selected);
    if (this.page && data.page !== this.page) root.scrollIntoView();
    this.page = data.page;
    if (parts.heading.textContent !== data.heading) this.announce();
    parts.heading.textContent = data.heading;
  }

  close() {
    super.close();
    this.announce.cancel();
  }
}

export default mounted((parent) => new PictureGrid(parent));
