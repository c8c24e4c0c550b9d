// The queue: what waits stays current, and the keyboard is enough.

import { bind, focus, move, settled } from "./keys.js";

const EVERY = 2000;
const LONGEST_PAUSE = 30000;
const rows = document.getElementById("rows");
const links = () => rows.querySelectorAll("a.open");
let version = "";
let delay = EVERY;
let timer = 0;

bind("j", () => move(links(), 1));
bind("k", () => move(links(), -1));
bind("s", () => document.getElementById("start")?.requestSubmit());
bind("o", () => document.activeElement.closest("a.open")?.click());
document.getElementById("filter").addEventListener("change", (event) => event.currentTarget.requestSubmit());

// Before the browser follows the link: taking it comes with opening it.
rows.addEventListener("keydown", (event) => {
  const link = event.key === "Enter" && event.target.closest("a.open");
  const form = link && link.closest("tr").querySelector("form");
  if (!form) return;
  event.preventDefault();
  form.requestSubmit();
});

settled(() => {
  const from = location.hash.startsWith("#v-") && document.getElementById(location.hash.slice(1));
  if (from) focus(from.querySelector("a.open"));
});

function ago(when) {
  const minutes = Math.max(0, (Date.now() - Date.parse(when)) / 60000);
  if (minutes < 1) return "now";
  if (minutes < 60) return `${Math.floor(minutes)} min`;
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h`;
  return `${Math.floor(minutes / 1440)} d`;
}

function tellTimes() {
  for (const time of rows.querySelectorAll("time")) {
    const text = ago(time.dateTime);
    if (time.textContent !== text) time.textContent = text;
  }
}

/** Parse a page without ever handing text to a sink that could run it. */
function fetchPage() {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", rows.dataset.live);
    request.responseType = "document";
    request.timeout = 10000;
    request.setRequestHeader("If-None-Match", version);
    request.onload = () => resolve(request);
    request.onerror = request.ontimeout = () => reject(new Error("offline"));
    request.send();
  });
}

/** Show what waits now; the focus stays on its row, or on the one that takes its place. */
function take(page) {
  const row = document.activeElement.closest("#rows tr");
  const place = row ? [...rows.children].indexOf(row) : -1;
  const top = row?.getBoundingClientRect().top;
  const inForm = document.activeElement.matches("button");
  rows.replaceChildren(...page.getElementById("rows").children);
  document.getElementById("count").replaceWith(page.getElementById("count"));
  document.getElementById("empty").hidden = rows.children.length > 0;
  document.getElementById("list").hidden = rows.children.length === 0;
  tellTimes();
  if (!row || !rows.children.length) return;
  const same = document.getElementById(row.id);
  const now = same ?? rows.children[Math.min(place, rows.children.length - 1)];
  (inForm && now.querySelector("button") || now.querySelector("a.open")).focus({ preventScroll: true });
  if (same) scrollBy(0, same.getBoundingClientRect().top - top);
}

async function look() {
  clearTimeout(timer);
  if (document.hidden) return;
  try {
    const request = await fetchPage();
    if (request.status === 401) location.reload();
    else if (request.status === 200) {
      version = request.getResponseHeader("ETag");
      take(request.response);
    }
    delay = EVERY;
  } catch {
    delay = Math.min(delay * 2, LONGEST_PAUSE);
  }
  timer = setTimeout(look, delay);
}

setInterval(tellTimes, 15000);
tellTimes();
document.addEventListener("visibilitychange", look);
look();
