// @ts-check
/**
 * Lets pictures, and URLs of pictures, be pasted or dropped anywhere on the page. Files are handed to the page's file
 * uploader as if they had been chosen there; a URL goes to Python.
 */
import { counted, eventLog, find, findParts, mounted } from "../base.js";

/** @import { Mount } from "../base.js" */

/** @typedef {{invitation: string}} Data  without an invitation, nothing is taken but what is pasted into a text area */

const DROPZONE = '[data-testid="stFileUploader"]';
const SAID_MS = 8000;
const COMMIT_MS = 50; // until Streamlit knows the text as its own

/** Whether it is a picture, as far as can be known here. @param {File} file */
const isPicture = (file) => file.type.startsWith("image/");

/** The URLs of pages or pictures in a text that has nothing else. @param {string} text */
function urlsIn(text) {
  const words = text.trim().split(/\s+/);
  return words.every((word) => /^https?:\/\/\S+$/i.test(word)) ? words : [];
}

/** The picture in a piece of a dragged page, as its URL, or "". @param {string} html */
function pictureIn(html) {
  if (!html) return "";
  const image = new DOMParser().parseFromString(html, "text/html").querySelector("img[src]");
  return image?.getAttribute("src") ?? "";
}

/** A picture that lies in a data: URL, as a file. @param {string} url */
async function fileOf(url) {
  const blob = await (await fetch(url)).blob();
  return new File([blob], `picture.${blob.type.split("/")[1] ?? "png"}`, { type: blob.type });
}

/** Hand files to the uploader. @param {File[]} files */
function upload(files) {
  /** @type {HTMLInputElement | null} */
  const input = document.querySelector(`${DROPZONE} input[type="file"]`);
  if (!input) return;
  const transfer = new DataTransfer();
  for (const file of files) transfer.items.add(file);
  input.files = transfer.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

/** @param {Event} event @param {string} selector */
const isIn = (event, selector) =>
  event.composedPath().some((node) => node instanceof Element && node.matches(selector));

/** Do what Ctrl+Enter does in a text area of Streamlit, once the text is in it. @param {Event} event */
function commit(event) {
  const [area] = event.composedPath();
  if (!(area instanceof HTMLTextAreaElement)) return;
  const enter = { key: "Enter", code: "Enter", ctrlKey: true, bubbles: true, cancelable: true };
  setTimeout(() => area.dispatchEvent(new KeyboardEvent("keydown", enter)), COMMIT_MS);
}

class Paste {
  /** @type {(name: string, value: unknown) => void} */
  setState = () => {};
  /** @type {number | undefined} */
  timer;

  /** @param {ParentNode} parent */
  constructor(parent) {
    this.root = find(parent, "section", HTMLElement);
    this.parts = findParts(parent);
    this.given = eventLog((log) => this.setState("given", log));
    /** @type {Record<string, (event: any) => void>} */
    this.listeners = {
      paste: (event) => {
        const files = event.clipboardData?.files.length > 0;
        if (isIn(event, files ? DROPZONE : "input, textarea, [contenteditable], [role=dialog]")) return;
        this.take(event, event.clipboardData);
      },
      drop: (event) => {
        this.parts.target.hidden = true;
        if (!isIn(event, DROPZONE)) this.take(event, event.dataTransfer);
      },
      dragover: (event) => {
        // Without this the browser would open what is dropped in place of the app.
        if (!isIn(event, DROPZONE)) event.preventDefault();
        const types = event.dataTransfer?.types ?? [];
        this.parts.target.hidden = !(types.includes("Files") || types.includes("text/uri-list"));
      },
      dragleave: (event) => {
        if (!event.relatedTarget) this.parts.target.hidden = true;
      },
      dragend: () => (this.parts.target.hidden = true),
    };
  }

  /** @param {Mount<Data>} mount */
  update({ data, setStateValue }) {
    this.setState = setStateValue;
    this.parts.invitation.textContent = data.invitation;
    if (!data.invitation) this.listeners = { paste: commit };
    for (const [name, listener] of Object.entries(this.listeners)) document.addEventListener(name, listener);
    this.root.setAttribute("data-listening", ""); // for whoever needs to know, such as a test
  }

  /** @param {Event} event @param {DataTransfer | null} transfer */
  take(event, transfer) {
    const files = [...(transfer?.files ?? [])];
    const pictures = files.filter(isPicture);
    const source = pictureIn(transfer?.getData("text/html") ?? "");
    const urls = urlsIn(transfer?.getData("text/uri-list") || transfer?.getData("text/plain") || "");
    const text = transfer?.getData("text/plain") ?? "";
    if (files.length) {
      if (pictures.length) upload(pictures);
      if (pictures.length < files.length) this.sayUnusable(files.filter((file) => !isPicture(file)));
    } else if (source.startsWith("data:image/")) void fileOf(source).then((file) => upload([file]));
    else if (/^https?:/.test(source)) this.given.add(source, "url");
    else if (urls.length) { for (const url of urls) this.given.add(url, "url"); }
    else if (event.type === "drop" || text.trim()) {
      this.say("This cannot be searched for: drop or paste a picture, or the URL of one.");
    } else return;
    event.preventDefault();
  }

  /** @param {File[]} files */
  sayUnusable(files) {
    const [{ name }] = files;
    const others = files.length > 1 ? ` and ${counted(files.length - 1, "other file")}` : "";
    this.say(`Not a picture: ${name}${others}. Lookalike reads JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF and BMP.`);
  }

  /** @param {string} sentence */
  say(sentence) {
    const { said } = this.parts;
    said.textContent = sentence;
    said.hidden = false;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (said.hidden = true), SAID_MS);
  }

  close() {
    clearTimeout(this.timer);
    for (const [name, listener] of Object.entries(this.listeners)) document.removeEventListener(name, listener);
  }
}

export default mounted((parent) => new Paste(parent));
