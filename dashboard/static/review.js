// The review of a verdict: everything that the form can do, by keyboard.

import { bind } from "./keys.js";

const note = document.getElementById("note");

for (const button of document.querySelectorAll("button[data-key]")) {
  bind(button.dataset.key, () => button.click());
}

/** Unsaid, is there, is not, and round again. */
for (const group of document.querySelectorAll("fieldset[data-key]")) {
  const choices = [...group.querySelectorAll("input")];
  bind(group.dataset.key, () => {
    const now = choices.findIndex((choice) => choice.checked);
    choices[(now + 1) % choices.length].checked = true;
  });
}

if (note) {
  bind("n", () => note.focus());
  note.addEventListener("keydown", (event) => {
    if (event.key === "Escape") note.blur();
  });
  // A second press while the first is under way must not ask twice.
  document.getElementById("answer").addEventListener("submit", (event) => {
    if (event.currentTarget.dataset.sent) event.preventDefault();
    event.currentTarget.dataset.sent = "yes";
  });
  addEventListener("pageshow", () => delete document.getElementById("answer").dataset.sent);
}
