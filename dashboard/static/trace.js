// One verdict: walk through evidence and steps with the keyboard, and read a step's scores.

import { bind, focus, move, settled } from "./keys.js";

const readout = document.getElementById("readout");
const steps = document.getElementsByClassName("step");
const evidence = document.querySelectorAll("mark.step");
const follow = (id) => document.getElementById(id)?.click();

bind(".", () => move(evidence, 1) ?? near(1));
bind(",", () => move(evidence, -1) ?? near(-1));
bind("j", () => move(steps, 1));
bind("k", () => move(steps, -1));
bind("u", () => follow("back"));
bind("[", () => follow("newer"));
bind("]", () => follow("older"));

/** From a step that is no evidence, go to the nearest evidence in that direction. */
function near(direction) {
  const here = document.activeElement;
  const wanted = direction > 0 ? Node.DOCUMENT_POSITION_FOLLOWING : Node.DOCUMENT_POSITION_PRECEDING;
  const list = [...evidence].filter((mark) => here.compareDocumentPosition(mark) & wanted);
  if (list.length) focus(direction > 0 ? list[0] : list.at(-1));
}

function tell(event) {
  const step = event.target.closest?.(".step");
  if (!step || !readout) return;
  const number = [].indexOf.call(steps, step) + 1;
  readout.textContent = `Step ${number} of ${steps.length} · ${step.dataset.label}`;
  readout.hidden = false;
}

function goToHash() {
  const mark = /^#e\d+$/.test(location.hash) && document.getElementById(location.hash.slice(1));
  if (mark) focus(mark.closest(".step"));
}

document.addEventListener("focusin", tell);
document.addEventListener("mouseover", tell);
addEventListener("hashchange", goToHash);
settled(goToHash);
