// @ts-check
/**
 * Lets a picture be pasted or dropped anywhere on the page: it is handed to the page's file uploader as if it
 * had been chosen there.
 */

const DROPZONE = '[data-testid="stFileUploader"]';

/** The first picture among transferred files, if any. @param {DataTransfer | null} transfer */
function picture(transfer) {
  return [...(transfer?.files ?? [])].find((file) => file.type.startsWith("image/"));
}

/** Hand a file to the uploader. @param {File} file */
function upload(file) {
  /** @type {HTMLInputElement | null} */
  const input = document.querySelector(`${DROPZONE} input[type="file"]`);
  if (!input) return false;
  const transfer = new DataTransfer();
  transfer.items.add(file);
  input.files = transfer.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
  return true;
}

/** Whether an event happens inside the uploader, which then sees to it itself. @param {Event} event */
function inUploader(event) {
  return event.composedPath().some((node) => node instanceof Element && node.matches(DROPZONE));
}

/** @param {{parentElement: ParentNode}} mount */
export default function ({ parentElement }) {
  /** @param {Event} event @param {DataTransfer | null} transfer */
  const take = (event, transfer) => {
    const file = inUploader(event) ? undefined : picture(transfer);
    if (file && upload(file)) event.preventDefault();
  };
  /** @type {Record<string, (event: any) => void>} */
  const listeners = {
    paste: (event) => take(event, event.clipboardData),
    drop: (event) => take(event, event.dataTransfer),
    // Without this the browser would open the dropped picture in place of the app.
    dragover: (event) => {
      if (!inUploader(event)) event.preventDefault();
    },
  };
  for (const [name, listener] of Object.entries(listeners)) document.addEventListener(name, listener);
  parentElement.querySelector("span")?.setAttribute("data-listening", ""); // for whoever needs to know, such as a test
  return () => {
    for (const [name, listener] of Object.entries(listeners)) document.removeEventListener(name, listener);
  };
}
