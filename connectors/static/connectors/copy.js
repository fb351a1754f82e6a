/* <button type="button" data-copy-from="id-of-element"> (or data-copy="#id") copies that element's text. */
"use strict";
document.addEventListener("click", async (event) => {
  const button = event.target.closest && event.target.closest("button[data-copy-from], button[data-copy^='#']");
  if (!button || button.dataset.copied) return;
  const source = document.getElementById(button.dataset.copyFrom || button.dataset.copy.slice(1));
  if (!source) return;
  const said = button.textContent;
  const text = source.textContent;
  try {
    await navigator.clipboard.writeText(text); // there is none behind plain http, but for this host itself
  } catch {
    const range = document.createRange();
    range.selectNodeContents(source);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    document.execCommand("copy");
  }
  button.dataset.copied = "yes";
  button.textContent = "Copied";
  setTimeout(() => {
    button.textContent = said;
    delete button.dataset.copied;
  }, 2000);
});
