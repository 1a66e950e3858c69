// @ts-check
import { clamp, findParts, mounted, whenQuiet } from "../base.js";

/** @import { Mount, Send } from "../base.js" */

/**
 * A box is [left, top, right, bottom] as fractions of the picture's sides. The whole picture is the box that reaches
 * from 0 to 1; Python gets null for that.
 *
 * @typedef {[number, number, number, number]} Box
 * @typedef {[number, number]} Point  x and y, as fractions of the picture's sides
 * @typedef {{src: string, original: string, alt: string, box: Box | null, turn: number}} Data
 * @typedef {{cursor: string, to: (point: Point) => Box}} Grip
 */

/** @type {Box} */
const WHOLE = [0, 0, 1, 1];
const LEAST = 0.02; // a side; what is smaller was a click
const STEP = 0.02; // of an arrow key
const REACH = { touch: 24, other: 12 }; // pixels from a corner where it can be taken hold of
/** @type {Record<string, Point>} */
const ARROWS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };

/** @param {number[]} box */
const rounded = (box) => /** @type {Box} */ (box.map((side) => Math.round(side * 1e4) / 1e4));
/** @param {Box | null} one @param {Box | null} other */
const same = (one, other) => String(one) === String(other);
/** @param {number} share */
const percent = (share) => `${Math.round(share * 100)}\u202f%`;

/** The box between two points that lies on the picture. @param {Point} one @param {Point} other */
function between([x, y], [u, v]) {
  return rounded([Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)].map((side) => clamp(side, 0, 1)));
}

/** The box, moved as far as the picture allows. @param {Box} box @param {Point} by */
function moved([left, top, right, bottom], [x, y]) {
  const across = clamp(x, -left, 1 - right);
  const down = clamp(y, -top, 1 - bottom);
  return rounded([left + across, top + down, right + across, bottom + down]);
}

/** The box with its right and lower side moved. @param {Box} box @param {Point} by */
function resized([left, top, right, bottom], [x, y]) {
  return rounded([left, top, clamp(right + x, left + LEAST, 1), clamp(bottom + y, top + LEAST, 1)]);
}

/** @param {Box} box */
function isClick([left, top, right, bottom]) {
  return right - left < LEAST || bottom - top < LEAST;
}

/**
 * Which end of a side a point is near: 0 or 1, or -1 when it is near neither. Inside, an end takes at most a third
 * of the side, so that a small box can still be moved.
 *
 * @param {number} at
 * @param {number} low
 * @param {number} high
 * @param {number} reach
 */
function nearEnd(at, low, high, reach) {
  const inside = Math.min(reach, (high - low) / 3);
  if (at >= low - reach && at <= low + inside) return 0;
  return at >= high - inside && at <= high + reach ? 1 : -1;
}

/** One mounted picture, and the box on it. */
class Crop {
  box = WHOLE;
  src = "";
  /** @type {Box | null} the box, or null for the whole picture, that both sides know */
  agreed = null;
  /** @type {number | null} counts what was sent, so that an answer to an earlier box is known as stale */
  turn = null;
  /** @type {{before: Box, to: (point: Point) => Box} | null} while a pointer is down: the box before, and what a drag makes */
  drag = null;
  /** @type {Send} */
  setState = () => {};

  /** @param {ParentNode} parent */
  constructor(parent) {
    this.parts = findParts(parent);
    const { stage, picture, box, whole } = this.parts;
    this.announce = whenQuiet(() => (this.parts.live.textContent = this.described()));
    this.releaseSoon = whenQuiet(() => this.release());
    picture.onload = () => stage.style.setProperty("--ratio", picture.naturalWidth / picture.naturalHeight);
    /** @param {KeyboardEvent} event */
    this.onKey = (event) => event.composedPath()[0] === box && this.press(event);
    whole.onclick = () => {
      this.end(WHOLE);
      box.focus({ preventScroll: true });
    };
    this.listenToPointer();
    this.show(WHOLE);
  }

  /** Take what Python sent. An answer to an earlier box does not undo what was drawn since. @param {Mount<Data>} mount */
  update({ data, setStateValue }) {
    // Streamlit's popover takes Escape for itself before it gets to the box: only the window is earlier.
    window.addEventListener("keydown", this.onKey, true);
    this.setState = setStateValue;
    this.turn ??= data.turn;
    const { picture } = this.parts;
    this.showPicture(data);
    picture.alt = data.alt;
    if (data.turn < this.turn || same(data.box, this.agreed)) return;
    this.agreed = data.box;
    this.releaseSoon.cancel();
    if (!this.drag) this.show(data.box ?? WHOLE);
  }

  /** The thumbnail at once, and the original when it is there. @param {Data} data */
  showPicture({ src, original }) {
    const { picture } = this.parts;
    if (src === this.src) return;
    this.src = picture.src = src;
    if (!original) return;
    const full = new Image();
    full.onload = () => src === this.src && (picture.src = original);
    full.src = original;
  }

  /** @param {Box} box */
  show(box) {
    const { parts } = this;
    const [left, top, right, bottom] = (this.box = box);
    const sides = { left, top, width: right - left, height: bottom - top };
    for (const [side, share] of Object.entries(sides)) parts.box.style[side] = `${share * 100}%`;
    const all = same(box, WHOLE);
    parts.box.classList.toggle("all", all);
    parts.whole.hidden = all;
    parts.hint.textContent = all ? "Drag to select a part of the picture" : "Only this part is used";
    parts.box.setAttribute("aria-label", `Crop: ${this.described()}`);
  }

  /** The box in words, for screen readers. */
  described() {
    const [left, top, right, bottom] = this.box;
    if (same(this.box, WHOLE)) return "the whole picture";
    const size = `${percent(right - left)} wide, ${percent(bottom - top)} high`;
    return `${size}, ${percent(left)} from the left, ${percent(top)} from the top`;
  }

  /** Send Python the box as it was let go of. */
  release() {
    this.releaseSoon.cancel();
    const value = same(this.box, WHOLE) ? null : this.box;
    if (same(value, this.agreed)) return;
    this.agreed = value;
    this.turn = (this.turn ?? 0) + 1;
    this.setState("box", { value, turn: this.turn });
  }

  /** Leave off at a box. @param {Box} box */
  end(box) {
    this.drag = null;
    this.show(box);
    this.announce();
    this.release();
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const step = ARROWS[event.key];
    if (event.key === "Escape" && (this.drag || !same(this.box, WHOLE))) this.end(this.drag?.before ?? WHOLE);
    else if (step && !this.drag) {
      this.show(event.shiftKey ? resized(this.box, step) : moved(this.box, step));
      this.announce();
      this.releaseSoon();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  listenToPointer() {
    const { stage, box } = this.parts;
    stage.onpointerdown = (/** @type {PointerEvent} */ event) => {
      if (event.button !== 0 || !event.isPrimary) return;
      event.preventDefault();
      stage.setPointerCapture(event.pointerId);
      box.focus({ preventScroll: true });
      this.drag = { before: this.box, to: this.grip(event).to };
    };
    stage.onpointermove = (/** @type {PointerEvent} */ event) => {
      if (!event.isPrimary) return;
      if (this.drag) this.show(this.drag.to(this.pointOf(event)));
      else stage.style.cursor = this.grip(event).cursor;
    };
    stage.onpointerup = (/** @type {PointerEvent} */ event) => {
      if (!this.drag || !event.isPrimary) return;
      const drawn = this.drag.to(this.pointOf(event));
      this.end(isClick(drawn) ? WHOLE : drawn);
    };
    stage.onpointercancel = () => this.drag && this.end(this.drag.before);
  }

  /** @param {PointerEvent} event @returns {Point} */
  pointOf(event) {
    const { left, top, width, height } = this.parts.stage.getBoundingClientRect();
    return [(event.clientX - left) / width, (event.clientY - top) / height];
  }

  /**
   * What a pointer takes hold of where it is: a cursor, and a point -> the box that a drag to there makes.
   *
   * @param {PointerEvent} event
   * @returns {Grip}
   */
  grip(event) {
    const start = this.pointOf(event);
    const [left, top, right, bottom] = this.box;
    const [x, y] = start;
    /** @param {Point} point @returns {Point} */
    const from = (point) => [point[0] - x, point[1] - y];
    /** @type {Grip} */
    const draw = { cursor: "crosshair", to: (point) => between([clamp(x, 0, 1), clamp(y, 0, 1)], point) };
    if (same(this.box, WHOLE)) return draw;
    const { width, height } = this.parts.stage.getBoundingClientRect();
    const reach = event.pointerType === "touch" ? REACH.touch : REACH.other;
    const across = nearEnd(x, left, right, reach / width);
    const down = nearEnd(y, top, bottom, reach / height);
    if (across >= 0 && down >= 0) {
      /** @type {Point} */
      const corner = [[left, right][across], [top, bottom][down]];
      /** @type {Point} */
      const opposite = [[right, left][across], [bottom, top][down]];
      /** @param {Point} point */
      const to = (point) => {
        const [u, v] = from(point);
        const next = between(opposite, [corner[0] + u, corner[1] + v]);
        return isClick(next) ? this.box : next;
      };
      return { cursor: across === down ? "nwse-resize" : "nesw-resize", to };
    }
    const inside = x >= left && x <= right && y >= top && y <= bottom;
    if (!inside) return draw;
    const before = this.box;
    return { cursor: "move", to: (point) => moved(before, from(point)) };
  }

  close() {
    window.removeEventListener("keydown", this.onKey, true);
    this.announce.cancel();
    this.releaseSoon.cancel();
  }
}

export default mounted((parent) => new Crop(parent));
