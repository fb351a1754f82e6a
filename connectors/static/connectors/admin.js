/* What the shell leaves out for people without a mouse or a screen: whatever can be clicked can be reached by Tab and
   pressed, dialogs keep the focus, icons have names, rows of a table are moved by arrow keys. No markup is made here
   that the server does not send; pages work the same for everybody else. */
"use strict";
(() => {
  const NAMES = {
    add: "Add", arrow_back: "Back", close: "Close", dock_to_right: "Sidebar", menu: "Menu", more_horiz: "More",
    more_vert: "More", visibility: "Show", visibility_off: "Hide", unfold_more: "Account", chevron_right: "Open",
    expand_more: "Open", delete: "Remove this row", drag_indicator: "Move this row: arrow up, arrow down",
  };
  const CLICKABLE = "[x-on\\:click], .delete-template, .delete-row, td.delete > label, [x-sort\\:handle]";
  const NATIVE = "a[href], button, input, select, textarea, summary";
  const FOCUSABLE = "a[href], button:not([disabled]), input:not([type=hidden]), select, textarea, summary, [tabindex='0']";

  const iconOf = (element) => element.querySelector(".material-symbols-outlined")
    || (element.classList.contains("material-symbols-outlined") ? element : null);

  function textOf(element) {
    const copy = element.cloneNode(true);
    copy.querySelectorAll(".material-symbols-outlined").forEach((icon) => icon.remove());
    return copy.classList.contains("material-symbols-outlined") ? "" : copy.textContent.trim();
  }

  function nameByIcon(element) {
    const icon = iconOf(element);
    if (!icon || textOf(element) || element.getAttribute("aria-label")) return;
    const sign = icon.textContent.trim();
    element.setAttribute("aria-label", element.title || NAMES[sign] || sign.replaceAll("_", " "));
  }

  function press(event) {
    if ((event.key === "Enter" || event.key === " ") && event.target === event.currentTarget) {
      event.preventDefault();
      event.currentTarget.click();
    }
  }

  function makeReachable(element) {
    if (element.matches(NATIVE) || element.dataset.reachable || element.id === "changelist-filter-close") return;
    if (element.querySelector(NATIVE) && !element.matches("td.delete > label")) return; // what is inside is reached
    element.dataset.reachable = "yes";
    element.tabIndex = 0;
    if (!element.hasAttribute("role")) element.setAttribute("role", "button");
    nameByIcon(element);
    element.addEventListener("keydown", press);
  }

  /* Tabs of a form's fields: links without an address, in the shell. */
  function makeTabs(root) {
    root.querySelectorAll("nav > a[x-on\\:click*='activeFieldsetTab']").forEach((tab) => {
      if (tab.getAttribute("role") === "tab") return;
      tab.parentElement.setAttribute("role", "tablist");
      tab.setAttribute("role", "tab");
      const tell = () => tab.setAttribute("aria-selected", String(tab.classList.contains("active")));
      new MutationObserver(tell).observe(tab, { attributes: true, attributeFilter: ["class"] });
      tell();
      tab.addEventListener("keydown", (event) => {
        const step = { ArrowRight: "nextElementSibling", ArrowLeft: "previousElementSibling" }[event.key];
        if (!step || !tab[step]) return;
        tab[step].focus();
        tab[step].click();
      });
    });
  }

  function nameMenus(root) {
    root.querySelectorAll(".select2-selection").forEach((menu) => {
      const select = menu.closest(".select2-container").previousElementSibling;
      const label = select && select.id && document.querySelector(`label[for="${select.id}"]`);
      const name = label ? label.textContent.replace("*", "").trim() : select && select.getAttribute("aria-label");
      if (!name || menu.dataset.named) return;
      menu.dataset.named = "yes";
      const value = menu.querySelector(".select2-selection__rendered");
      const tell = () => menu.setAttribute("aria-label", `${name}: ${(value && value.title) || "none"}`);
      menu.removeAttribute("aria-labelledby");
      if (value) new MutationObserver(tell).observe(value, { attributes: true, childList: true });
      tell();
    });
    root.querySelectorAll(".select2-search__field:not([aria-label])").forEach((field) => {
      field.setAttribute("aria-label", "Search");
    });
  }

  function improve(root) {
    makeTabs(root);
    root.querySelectorAll(CLICKABLE).forEach(makeReachable);
    root.querySelectorAll("a[href], button").forEach(nameByIcon);
    root.querySelectorAll(".material-symbols-outlined:not([aria-hidden]):not([role])").forEach((icon) => {
      icon.setAttribute("aria-hidden", "true");
    });
    nameMenus(root);
  }

  /* Dialogs: the focus goes in, stays in, and comes back. */
  let opener = null;
  const dialog = () => document.getElementById("modal-content");
  const isOpen = () => dialog() && dialog().offsetParent !== null && dialog().childElementCount > 0;

  function focusable(root) {
    return [...root.querySelectorAll(FOCUSABLE)].filter((element) => element.offsetParent !== null);
  }

  function enterDialog() {
    const content = dialog();
    const title = content.querySelector("h1, h2, h3");
    content.setAttribute("role", "dialog");
    content.setAttribute("aria-modal", "true");
    content.setAttribute("aria-label", title ? title.textContent.trim() : "Dialog");
    const fields = [...content.querySelectorAll("input:not([type=hidden]), select, textarea")];
    const first = content.querySelector(".errors input, .errors textarea") || fields[0] || focusable(content)[0];
    if (first) first.focus();
  }

  function keepInside(event) {
    if (event.key !== "Tab" || !isOpen()) return;
    const stops = focusable(dialog());
    if (!stops.length) return;
    const [first, last] = [stops[0], stops[stops.length - 1]];
    const leaves = event.shiftKey ? document.activeElement === first : document.activeElement === last;
    if (leaves || !dialog().contains(document.activeElement)) {
      event.preventDefault();
      (event.shiftKey ? last : first).focus();
    }
  }

  function watchDialog() {
    const frame = dialog() && dialog().parentElement;
    if (!frame) return;
    new MutationObserver(() => {
      if (isOpen() && !dialog().contains(document.activeElement)) enterDialog();
      if (!isOpen() && opener) {
        opener.focus();
        opener = null;
      }
    }).observe(frame, { attributes: true, attributeFilter: ["style"] });
  }

  /* Rows of a table with an order: their numbers follow their places. */
  function renumber(table) {
    const field = table.dataset.orderingField;
    table.querySelectorAll(`.form-group:not(.empty-form) input[name$='-${field}']`).forEach((input, place) => {
      input.value = place;
    });
  }

  function moveRow(event) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const handle = event.target.closest && event.target.closest("[data-reachable]");
    const row = handle && handle.closest("tbody.form-group");
    const table = row && row.closest("[data-ordering-field]");
    if (!step || !table || !handle.textContent.includes("drag_indicator")) return;
    event.preventDefault();
    const other = step < 0 ? row.previousElementSibling : row.nextElementSibling;
    if (!other || !other.matches("tbody.form-group:not(.empty-form)")) return;
    table.insertBefore(step < 0 ? row : other, step < 0 ? other : row);
    renumber(table);
    handle.focus();
    row.dispatchEvent(new Event("change", { bubbles: true }));
  }

  /* Faults of field rows, told by the preview, at the rows themselves. */
  function markRows() {
    const outcome = document.getElementById("mapping-outcome");
    if (!outcome) return;
    document.querySelectorAll("[id^='fault-of-']").forEach((mark) => mark.remove());
    document.querySelectorAll("[aria-invalid][name^='rows-']").forEach((field) => field.removeAttribute("aria-invalid"));
    outcome.querySelectorAll("[data-row]").forEach((fault) => {
      const field = document.querySelector(`[name="${fault.dataset.row}-${fault.dataset.field || "target"}"]`)
        || document.querySelector(`[name="${fault.dataset.row}-target"]`);
      if (!field) return;
      const mark = document.createElement("p");
      mark.className = "platform-fault";
      mark.id = `fault-of-${field.name}`;
      mark.textContent = fault.dataset.text;
      field.setAttribute("aria-invalid", "true");
      field.setAttribute("aria-describedby", mark.id);
      field.closest("td").append(mark);
    });
  }

  /* The newest message is taken as the sample by itself, unless somebody has written one before it came. */
  document.addEventListener("htmx:beforeSwap", (event) => {
    const asked = event.detail.requestConfig && event.detail.requestConfig.triggeringEvent;
    const written = event.detail.target && event.detail.target.id === "mapping-sample" && document.getElementById("id_sample");
    if (written && written.value && (!asked || asked.type !== "click")) event.detail.shouldSwap = false;
  });

  /* Suggestions stay what they are while somebody chooses, unless the sample is another one. */
  function takePaths() {
    const [list, found] = ["mapping-paths", "mapping-paths-found"].map((id) => document.getElementById(id));
    if (list && found && list.innerHTML !== found.innerHTML) list.innerHTML = found.innerHTML;
  }

  document.addEventListener("DOMContentLoaded", () => {
    const content = document.getElementById("content");
    if (content && !document.querySelector("main, [role=main]")) content.setAttribute("role", "main");
    improve(document);
    watchDialog();
    document.querySelectorAll("[data-ordering-field]").forEach(renumber);
    let waiting = false;
    new MutationObserver(() => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        improve(document);
      });
    }).observe(document.body, { childList: true, subtree: true });
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    const target = event.detail.target;
    if (target && target.id === "modal-content" && !isOpen()) opener = event.detail.elt;
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.target.id === "modal-content" || (event.target.closest && event.target.closest("#modal-content"))) {
      requestAnimationFrame(() => isOpen() && enterDialog());
    }
    markRows();
    takePaths();
  });
  document.addEventListener("formsetGroup:added", (event) => {
    const table = event.target.closest("[data-ordering-field]");
    if (table) renumber(table);
    improve(event.target);
    const first = event.target.querySelector("input:not([type=hidden]), select, textarea");
    if (first) first.focus();
  });
  document.addEventListener("keydown", keepInside);
  document.addEventListener("keydown", moveRow);
})();
