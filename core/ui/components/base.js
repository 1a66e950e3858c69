// @ts-check
// What the components share.

/**
 * What Streamlit hands to a component at its first mount, and again whenever its data or the theme has changed.
 *
 * @template Data
 * @typedef {{data: Data, parentElement: ParentNode, setStateValue: Send, setTriggerValue: Send}} Mount
 */

/** @typedef {(name: string, value: unknown) => void} Send  passes a value to Python under a name */

const QUIET_MS = 300; // keys, ticks and announcements are passed on after a pause of this length

/** @param {number} value @param {number} low @param {number} high */
export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** @param {number} count */
export const grouped = (count) => count.toLocaleString("en");

/** A count and its noun: "1 picture", "1,204 pictures". @param {number} count @param {string} noun */
export const counted = (count, noun) => `${grouped(count)} ${noun}${count === 1 ? "" : "s"}`;

/**
 * A function that calls `act` once, after it has not been called for a while; `cancel()` forgets the call.
 *
 * @param {() => void} act
 */
export function whenQuiet(act) {
  /** @type {number | undefined} */
  let timer;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(act, QUIET_MS);
  };
  later.cancel = () => clearTimeout(timer);
  return later;
}

/**
 * The first element inside `root` that matches a selector, which must be of that type.
 *
 * @template {Element} E
 * @param {ParentNode} root
 * @param {string} selector
 * @param {new () => E} type
 * @returns {E}
 */
export function find(root, selector, type) {
  const element = root.querySelector(selector);
  if (element instanceof type) return element;
  throw new Error(`no ${type.name} matches ${selector}`);
}

/**
 * The elements that the skeleton names with `data-part`, by these names.
 *
 * @param {ParentNode} root
 * @returns {Record<string, any>}
 */
export function findParts(root) {
  /** @type {NodeListOf<HTMLElement>} */
  const found = root.querySelectorAll("[data-part]");
  return Object.fromEntries([...found].map((part) => [part.dataset.part, part]));
}

/**
 * A list of events that only grows, so that none is lost when several happen before Python looks. `send` is called
 * at once with `{visit, events}`; Python knows by the visit how many of them it has handled.
 *
 * @param {(log: {visit: string, events: [string, string][]}) => void} send
 */
export function eventLog(send) {
  const visit = Math.random().toString(36).slice(2);
  /** @type {[string, string][]} */
  const events = [];
  /** @param {string} id @param {string} event */
  const add = (id, event) => {
    events.push([id, event]);
    send({ visit, events: [...events] });
  };
  return { add, visit, events };
}

/**
 * The component's entry for Streamlit: one `make(parent)` for each mounted skeleton, updated with every run.
 *
 * While the browser still loads the script, two runs may both wait for it, and the later one may come first: Streamlit
 * imports the script for each, and Chromium answers imports of one script in any order. It then cleans up the earlier
 * run as soon as that has come, too late: what the later run sent is shown again.
 *
 * @template Data
 * @param {(parent: ParentNode) => {update: (mount: Mount<Data>) => void, close?: () => void}} make
 * @returns {(mount: Mount<Data>) => () => void}
 */
export function mounted(make) {
  const views = new WeakMap();
  /** @type {WeakMap<HTMLElement, Mount<Data>>} */
  const shown = new WeakMap();
  return (mount) => {
    const root = find(mount.parentElement, "section", HTMLElement);
    if (!views.has(root)) views.set(root, make(mount.parentElement));
    const view = views.get(root);
    const before = shown.get(root);
    let fresh = true;
    setTimeout(() => (fresh = false));
    shown.set(root, mount);
    view.update(mount);
    return () => {
      if (!fresh || !before) return view.close?.();
      shown.set(root, before);
      view.update(before);
    };
  };
}
