// @ts-check
import { find, findParts, mounted } from "../base.js";

/** @import { Mount } from "../base.js" */

/**
 * The corners of an outline are parts of the picture's width and height.
 *
 * @typedef {{label: string, src: string, outline: [number, number][]}} Side
 * @typedef {{words: string, sides: Side[]}} Data
 */

/** Two pictures side by side, each with the outline of the other in it. */
class SamePicture {
  /** @param {ParentNode} parent */
  constructor(parent) {
    this.parts = findParts(parent);
  }

  /** @param {Mount<Data>} mount */
  update({ data }) {
    this.parts.words.textContent = data.words;
    this.parts.sides.replaceChildren(...data.sides.map((side) => this.draw(side)));
  }

  /** @param {Side} side */
  draw({ label, src, outline }) {
    const figure = this.parts.side.content.firstElementChild.cloneNode(true);
    const image = find(figure, "img", HTMLImageElement);
    image.src = src;
    image.alt = label;
    find(figure, "polygon", SVGPolygonElement).setAttribute("points", outline.join(" "));
    find(figure, "figcaption", HTMLElement).textContent = label;
    return figure;
  }

  close() {}
}

export default mounted((parent) => new SamePicture(parent));
