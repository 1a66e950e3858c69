// @ts-check
// The scale of thresholds and scores: whole numbers from 0 to 1000, tenths of a percent.
import { clamp } from "../base.js";

export const STEP = 5; // a drag and an arrow key move by half a percent

/** What a key adds to the threshold: as on the scale, there are more pictures to the right, where it is lower.
 * @type {Record<string, number>} */
const KEYS = {
  ArrowLeft: STEP,
  ArrowDown: STEP,
  ArrowRight: -STEP,
  ArrowUp: -STEP,
  PageDown: 50,
  PageUp: -50,
  Home: 1000,
  End: -1000,
};

/** @param {number} score */
export const percent = (score) => `${score / 10}\u202f%`;

/** @param {number} score */
export const percentTenths = (score) => `${(score / 10).toFixed(1)}\u202f%`;

/** The whole numbers from `start` up to `end`, which is not one of them. @param {number} start @param {number} end */
export const range = (start, end) => Array.from({ length: Math.max(0, end - start) }, (_, step) => start + step);

/**
 * Where a key moves a threshold to; null when it is not a key of the slider.
 *
 * @param {string} key
 * @param {number} threshold
 */
export function steppedBy(key, threshold) {
  return key in KEYS ? clamp(Math.round((threshold + KEYS[key]) / STEP) * STEP, 0, 1000) : null;
}

/**
 * How many of the matches, best first, reach the threshold; by binary search.
 *
 * @param {{score: number}[]} matches
 * @param {number} threshold
 */
export function countReaching(matches, threshold) {
  let low = 0;
  let high = matches.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (matches[middle].score >= threshold) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The thresholds that the scale shows: those between which the scores lie, the highest at the left. */
export class Span {
  /** @param {number[]} scores */
  constructor(scores) {
    this.high = Math.min(1000, Math.ceil((Math.max(0, ...scores) + 1) / 50) * 50);
    this.low = clamp(Math.floor((Math.min(1000, ...scores) - 1) / 50) * 50, 0, this.high - 50);
  }

  /** Where a threshold lies, from 0 at the left to 1. @param {number} threshold */
  placeOf(threshold) {
    return clamp((this.high - threshold) / (this.high - this.low), 0, 1);
  }

  /** The threshold at a place, to half a percent. @param {number} place */
  at(place) {
    return Math.round((this.high - place * (this.high - this.low)) / STEP) * STEP;
  }
}

const BARS = 60;

/**
 * The histogram as an SVG path. Heights go by square root, so that a single match still shows.
 *
 * @param {number[]} scores
 * @param {Span} span
 */
export function histogram(scores, span) {
  const bins = new Array(BARS).fill(0);
  for (const score of scores) bins[Math.min(BARS - 1, Math.floor(span.placeOf(score) * BARS))] += 1;
  const top = Math.sqrt(Math.max(...bins, 1));
  /** @param {number} at */
  const place = (at) => (at / BARS).toFixed(4);
  return bins
    .map((count, at) =>
      count ? `M${place(at + 0.1)} 1V${(1 - Math.sqrt(count) / top).toFixed(3)}H${place(at + 0.9)}V1z` : ""
    )
    .join("");
}
