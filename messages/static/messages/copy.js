// Copies what a button names, and keeps a page that renews itself still while somebody is busy on it.
"use strict";

(() => {
  const SHOWN_MILLISECONDS = 2000;

  // `data-copy` is the text; `data-copy-from` is the id of the element whose text it is.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy], [data-copy-from]");
    if (!button) return;
    const from = button.dataset.copyFrom;
    const text = from ? document.getElementById(from)?.textContent : button.dataset.copy;
    if (text === undefined || text === null) return;
    say(button, (await copied(text)) ? "Copied" : "Copying is not possible here");
  });

  async function copied(text) {
    if (navigator.clipboard && window.isSecureContext) {
      try {
        await navigator.clipboard.writeText(text);
        return true;
      } catch {
        // not permitted: the older way may be
      }
    }
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "platform-copied-from";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }

  function say(button, words) {
    const label = button.querySelector("[data-copy-label]") || button;
    label.dataset.before ??= label.textContent;
    label.textContent = words;
    setTimeout(() => {
      label.textContent = label.dataset.before;
    }, SHOWN_MILLISECONDS);
  }

  // A part with `data-renews` is fetched again and again; not while a dialog is open, text is marked, or nobody looks.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target.closest("[data-renews]") === event.target && isBusy()) event.preventDefault();
  });

  function isBusy() {
    const dialog = document.getElementById("modal-content");
    const isOpen = dialog !== null && dialog.offsetParent !== null && dialog.childElementCount > 0;
    return isOpen || document.hidden || !window.getSelection().isCollapsed;
  }
})();
