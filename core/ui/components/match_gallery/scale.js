// @ts-check
// The scale of thresholds and scores: whole numbers from 0 to 1000, tenths of a percent.
import { clamp } from "../base.js";

export const STEP = 5; // a drag and an arrow key move by half a percent

/** @type {Record<string, number>} */
const KEYS = {
  ArrowLeft: -STEP,
  ArrowDown: -STEP,
  ArrowRight: STEP,
  ArrowUp: STEP,
  PageDown: -50,
  PageUp: 50,
  Home: -1000,
  End: 1000,
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

/**
 * The histogram as an SVG path, one bar a percent. Heights go by square root, so that a single match still shows.
 *
 * @param {number[]} scores
 */
export function histogram(scores) {
  const bins = new Array(100).fill(0);
  for (const score of scores) bins[Math.min(99, Math.floor(score / 10))] += 1;
  const top = Math.sqrt(Math.max(...bins, 1));
  return bins
    .map((count, at) => (count ? `M${at + 0.1} 1V${(1 - Math.sqrt(count) / top).toFixed(3)}h.8V1z` : ""))
    .join("");
}
