// @ts-check
// Two pictures to compare: beside each other or one over the other, zoomed and moved together.
import { clamp, find } from "../base.js";
import { laidOver } from "./homography.js";

/** @import { Point } from "./homography.js" */

/**
 * @typedef {"side" | "wipe" | "blink" | "difference"} Mode
 * @typedef {{match_in_query: Point[], query_in_match: Point[]}} Outlines
 * @typedef {{rows: number[][], box: number[]}} Heat  of patches, 0 to 1; left, top, right and bottom of all of them
 * @typedef {{step: (by: number) => void, changed: () => void}} StageHost
 */

const MOST_ZOOM = 24;
const BLINK_MS = 700; // less than three flashes in a second (WCAG 2.2, 2.3.1)
const DIM = 0.82; // how dark it is where nothing is alike
const LIFT = 0.6; // below 1, so that what is between the warmest and nothing is brighter
const TAP_PX = 8; // a pointer that moves less was a tap
const SWIPE_PX = 60;
const GRIP_PX = 32; // how near the wipe's line a drag moves it when zoomed in

/** A picture on the stage: its frame there, and what is loaded into it. */
class Side {
  /** @type {AbortController | null} */
  loading = null;
  held = ""; // the object URL that is shown

  /** @param {HTMLElement} pane */
  constructor(pane) {
    this.pane = pane;
    this.zoom = find(pane, ".zoom", HTMLElement);
    this.sheet = find(pane, ".sheet", HTMLElement);
    this.image = find(pane, "img", HTMLImageElement);
    this.outline = find(pane, "polygon", SVGPolygonElement);
    this.heat = find(pane, "canvas", HTMLCanvasElement);
  }

  /**
   * Show a thumbnail at once, and the picture in full when it has come.
   *
   * @param {{src: string, original: string, name: string, crop?: number[] | null}} picture
   * @param {(state: "loading" | "full" | "thumbnail") => void} tell
   */
  show({ src, original, name, crop }, tell) {
    this.drop();
    this.image.alt = name;
    this.image.hidden = !src;
    if (src) this.image.src = src;
    if (!original) return;
    const loading = (this.loading = new AbortController());
    tell("loading");
    this.fetch(original, crop ?? null, loading.signal).then(
      (full) => !loading.signal.aborted && tell(full ? "full" : "thumbnail"),
      () => !loading.signal.aborted && tell("thumbnail"),
    );
  }

  /** @param {string} url @param {number[] | null} crop @param {AbortSignal} signal */
  async fetch(url, crop, signal) {
    const answer = await fetch(url, { signal });
    if (!answer.ok || answer.headers.has("X-Thumbnail-Only")) return false;
    const whole = await answer.blob();
    const blob = crop ? await cropped(whole, crop) : whole;
    if (signal.aborted) return false;
    const held = URL.createObjectURL(blob);
    const ready = new Image();
    ready.src = held;
    await ready.decode();
    if (signal.aborted) {
      URL.revokeObjectURL(held);
      return false;
    }
    this.held = held;
    this.image.src = held;
    return true;
  }

  /** Leave bright what a model found alike, and dim the rest; with null, dim nothing. @param {Heat | null} heat */
  warm(heat) {
    const { heat: canvas } = this;
    canvas.hidden = heat === null;
    if (heat === null) return;
    const { rows, box: [left, top, right, bottom] } = heat;
    [canvas.width, canvas.height] = [rows[0].length, rows.length];
    const shade = new ImageData(canvas.width, canvas.height);
    rows.flat().forEach((share, place) => (shade.data[4 * place + 3] = Math.round(255 * DIM * (1 - share ** LIFT))));
    canvas.getContext("2d")?.putImageData(shade, 0, 0);
    Object.assign(canvas.style, {
      left: `${left * 100}%`,
      top: `${top * 100}%`,
      width: `${(right - left) * 100}%`,
      height: `${(bottom - top) * 100}%`,
    });
  }

  /** Forget the picture, and whatever is on its way. */
  drop() {
    this.loading?.abort();
    if (this.held) URL.revokeObjectURL(this.held);
    this.held = "";
  }

  get ratio() {
    return this.image.naturalHeight ? this.image.naturalWidth / this.image.naturalHeight : 1;
  }
}

/** The stage: what the pointers, the wheel and the keys do to two pictures. */
export class Stage {
  /** @type {Mode} */
  mode = "side";
  scale = 1;
  x = 0; // how far the pictures are moved, in pixels from the middle
  y = 0;
  wipe = 0.5;
  flipped = false; // whether the query is on top when they blink
  /** @type {Outlines | null} */
  outlines = null;
  /** @type {number | undefined} */
  blinking = undefined;
  /** @type {Map<number, {x: number, y: number}>} pointers that are down */
  down = new Map();
  /** @type {{x: number, y: number, at: number, moved: boolean, wipes: boolean} | null} */
  press = null;

  /** @param {HTMLElement} root @param {StageHost} host */
  constructor(root, host) {
    this.root = root;
    this.host = host;
    this.query = new Side(find(root, ".query", HTMLElement));
    this.match = new Side(find(root, ".match", HTMLElement));
    for (const { image } of [this.query, this.match]) image.onload = () => this.arrange();
    new ResizeObserver(() => this.arrange()).observe(root);
    this.listen();
  }

  /** @param {Mode} mode */
  setMode(mode) {
    this.mode = mode;
    this.root.dataset.mode = mode;
    this.stopBlinking();
    this.flipped = false;
    if (mode === "blink" && !matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.blinking = setInterval(() => this.showFlipped(!this.flipped), BLINK_MS);
    }
    this.showFlipped(false);
    this.arrange();
    this.host.changed();
  }

  stopBlinking() {
    clearInterval(this.blinking);
    this.blinking = undefined;
  }

  /** @param {boolean} flipped */
  showFlipped(flipped) {
    this.flipped = flipped;
    this.root.classList.toggle("flipped", flipped);
  }

  /** Show the other picture, by hand. */
  flip() {
    this.stopBlinking();
    this.showFlipped(!this.flipped);
  }

  /** @param {number} share */
  setWipe(share) {
    this.wipe = clamp(share, 0, 1);
    this.root.style.setProperty("--wipe", `${this.wipe * 100}%`);
    this.host.changed();
  }

  /** @param {Outlines | null} outlines */
  setOutlines(outlines) {
    this.outlines = outlines;
    this.query.outline.setAttribute("points", outlines?.match_in_query.join(" ") ?? "");
    this.match.outline.setAttribute("points", outlines?.query_in_match.join(" ") ?? "");
    this.arrange();
  }

  // Zoom

  reset() {
    [this.scale, this.x, this.y] = [1, 0, 0];
    this.move();
  }

  /** Zoom by a factor, at a point from the middle of a pane. @param {number} factor @param {number} x @param {number} y */
  zoomBy(factor, x = 0, y = 0) {
    const scale = clamp(this.scale * factor, 1, MOST_ZOOM);
    const by = scale / this.scale;
    this.x = x - (x - this.x) * by;
    this.y = y - (y - this.y) * by;
    this.scale = scale;
    this.move();
  }

  /** The whole pictures, or one pixel of the match a pixel of the screen. @param {number} x @param {number} y */
  toggleZoom(x = 0, y = 0) {
    const { image, sheet } = this.match;
    if (this.scale > 1) this.reset();
    else this.zoomBy(Math.max(2, image.naturalWidth / Math.max(1, sheet.clientWidth)), x, y);
  }

  move() {
    const { clientWidth, clientHeight } = this.match.pane;
    const [right, down] = [(clientWidth * (this.scale - 1)) / 2, (clientHeight * (this.scale - 1)) / 2];
    this.x = clamp(this.x, -right, right);
    this.y = clamp(this.y, -down, down);
    const transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    for (const { zoom } of [this.query, this.match]) zoom.style.transform = transform;
    this.root.classList.toggle("zoomed", this.scale > 1);
    this.host.changed();
  }

  /** Put both pictures where they belong: whole in their panes; in one pane, the match over the same part of the query. */
  arrange() {
    for (const side of [this.query, this.match]) {
      const { clientWidth, clientHeight } = side.pane;
      const width = Math.min(clientWidth, clientHeight * side.ratio);
      place(side.sheet, (clientWidth - width) / 2, (clientHeight - width / side.ratio) / 2, width, width / side.ratio);
      side.sheet.style.transform = "";
    }
    const { sheet } = this.match;
    if (this.mode !== "side" && this.outlines) {
      const { offsetLeft, offsetTop, offsetWidth, offsetHeight } = this.query.sheet;
      place(sheet, offsetLeft, offsetTop, sheet.offsetWidth, sheet.offsetHeight);
      sheet.style.transform = laidOver(
        sheet.offsetWidth,
        sheet.offsetHeight,
        this.outlines.match_in_query.map(([x, y]) => [x * offsetWidth, y * offsetHeight]),
      );
    }
    this.move();
  }

  // Pointers

  listen() {
    const { root } = this;
    root.onwheel = (event) => {
      event.preventDefault();
      const { x, y } = this.fromMiddle(event);
      this.zoomBy(Math.exp(-clamp(event.deltaY, -200, 200) / 250), x, y);
    };
    root.onpointerdown = (event) => {
      if (event.button !== 0 || isControl(event)) return;
      root.setPointerCapture(event.pointerId);
      this.down.set(event.pointerId, { x: event.clientX, y: event.clientY });
      const wipes = this.mode === "wipe" && (this.scale === 1 || this.isOnLine(event));
      this.press = { x: event.clientX, y: event.clientY, at: event.timeStamp, moved: this.down.size > 1, wipes };
    };
    root.onpointermove = (event) => this.drag(event);
    root.onpointerup = (event) => this.lift(event);
    root.onpointercancel = (event) => {
      this.down.delete(event.pointerId);
      this.press = null;
    };
    root.ondblclick = (event) => {
      if (isControl(event)) return;
      const { x, y } = this.fromMiddle(event);
      this.toggleZoom(x, y);
    };
  }

  /** @param {PointerEvent} event */
  drag(event) {
    const before = this.down.get(event.pointerId);
    const { press } = this;
    if (!before || !press) return;
    const now = { x: event.clientX, y: event.clientY };
    press.moved ||= Math.hypot(now.x - press.x, now.y - press.y) > TAP_PX;
    const other = [...this.down].find(([id]) => id !== event.pointerId)?.[1];
    this.down.set(event.pointerId, now);
    if (other) {
      const [apart, wider] = [distance(before, other), distance(now, other)];
      const { x, y } = this.fromMiddle({ clientX: (now.x + other.x) / 2, clientY: (now.y + other.y) / 2 });
      this.x += (now.x - before.x) / 2;
      this.y += (now.y - before.y) / 2;
      if (apart > 0) this.zoomBy(wider / apart, x, y);
    } else if (press.wipes) {
      if (press.moved) this.setWipe(this.shareOf(event));
    } else if (this.scale > 1) {
      this.x += now.x - before.x;
      this.y += now.y - before.y;
      this.move();
    }
  }

  /** @param {PointerEvent} event */
  lift(event) {
    const { press } = this;
    const alone = this.down.size === 1;
    if (!this.down.delete(event.pointerId) || !press) return;
    const [dx, dy] = [event.clientX - press.x, event.clientY - press.y];
    if (this.down.size) return;
    this.press = null;
    if (!press.moved) this.tap(event);
    else if (alone && event.pointerType === "touch" && this.scale === 1 && !press.wipes) {
      if (Math.abs(dx) > SWIPE_PX && Math.abs(dx) > 1.5 * Math.abs(dy)) this.host.step(dx < 0 ? 1 : -1);
    }
  }

  /** A click or a tap flips what blinks; a tap on one of two pictures beside each other shows it large. @param {PointerEvent} event */
  tap(event) {
    if (this.mode === "blink") this.flip();
    else if (this.mode === "side" && event.pointerType === "touch" && this.scale === 1) {
      const query = this.paneAt(event) === this.query.pane;
      this.setMode("blink");
      this.stopBlinking();
      this.showFlipped(query);
    }
  }

  /** @param {{clientX: number, clientY: number}} point */
  paneAt({ clientX, clientY }) {
    const box = this.query.pane.getBoundingClientRect();
    const inQuery = clientX < box.right && clientY < box.bottom;
    return this.mode === "side" && inQuery ? this.query.pane : this.match.pane;
  }

  /** A point from the middle of the pane that it is in. @param {{clientX: number, clientY: number}} point */
  fromMiddle(point) {
    const box = this.paneAt(point).getBoundingClientRect();
    return { x: point.clientX - box.x - box.width / 2, y: point.clientY - box.y - box.height / 2 };
  }

  /** @param {{clientX: number}} point */
  shareOf({ clientX }) {
    const box = this.root.getBoundingClientRect();
    return (clientX - box.x) / box.width;
  }

  /** @param {{clientX: number}} point */
  isOnLine(point) {
    return Math.abs(this.shareOf(point) - this.wipe) * this.root.clientWidth < GRIP_PX;
  }

  close() {
    this.stopBlinking();
    this.query.drop();
    this.match.drop();
    this.down.clear();
  }
}

/** A part of a picture, as another one. @param {Blob} picture @param {number[]} crop */
async function cropped(picture, [left, top, right, bottom]) {
  const bitmap = await createImageBitmap(picture);
  const width = Math.max(1, Math.round(bitmap.width * (right - left)));
  const height = Math.max(1, Math.round(bitmap.height * (bottom - top)));
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d")?.drawImage(bitmap, -bitmap.width * left, -bitmap.height * top);
  bitmap.close();
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 });
}

/** @param {HTMLElement} sheet @param {number} left @param {number} top @param {number} width @param {number} height */
function place(sheet, left, top, width, height) {
  Object.assign(sheet.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
}

/** @param {{x: number, y: number}} one @param {{x: number, y: number}} other */
const distance = (one, other) => Math.hypot(one.x - other.x, one.y - other.y);

/** @param {Event} event */
const isControl = ({ target }) => target instanceof Element && target.closest("button, input, a") !== null;
