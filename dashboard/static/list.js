// The list of decisions: new rows appear at the top without moving what one reads.

import { bind, focus, move, settled } from "./keys.js";

const EVERY = 2000;
const LONGEST_PAUSE = 30000;
const MOST_ROWS = 500;
const rows = document.getElementById("rows");
const button = document.getElementById("live");
const older = document.getElementById("older");
const source = rows.dataset.live;
let version = "";
let paused = false;
let delay = EVERY;
let timer = 0;

bind("j", () => move(rows.querySelectorAll("a.open"), 1) ?? (older.hidden || older.focus()));
bind("k", () => move(rows.querySelectorAll("a.open"), -1));
document.getElementById("filter").addEventListener("change", (event) => event.currentTarget.requestSubmit());

settled(() => {
  const from = location.hash.startsWith("#v-") && document.getElementById(location.hash.slice(1));
  if (from) focus(from.querySelector("a.open"));
});

function ago(when) {
  const seconds = Math.max(0, (Date.now() - Date.parse(when)) / 1000);
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return when.slice(0, 10);
}

function tellTimes() {
  for (const time of rows.querySelectorAll("time")) {
    const text = ago(time.dateTime);
    if (time.textContent !== text) time.textContent = text;
  }
}

function show(state, text) {
  if (button.dataset.state === state) return;
  button.dataset.state = state;
  button.textContent = text;
}

/** Parse a page without ever handing text to a sink that could run it. */
function fetchPage() {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", source);
    request.responseType = "document";
    request.timeout = 10000;
    request.setRequestHeader("If-None-Match", version);
    request.onload = () => resolve(request);
    request.onerror = request.ontimeout = () => reject(new Error("offline"));
    request.send();
  });
}

function take(page) {
  document.getElementById("tabs").replaceChildren(...page.getElementById("tabs").children);
  const incoming = page.getElementById("rows");
  const newest = Number(rows.firstElementChild?.dataset.seq ?? -1);
  const fresh = [...incoming.children].filter((row) => Number(row.dataset.seq) > newest);
  if (!fresh.length) return;
  const gap = rows.children.length > 0 && fresh.length === incoming.children.length;
  const before = document.documentElement.scrollHeight;
  for (const row of fresh) row.classList.add("fresh");
  rows.prepend(...fresh, ...(gap ? [gapRow()] : []));
  document.getElementById("empty").hidden = true;
  document.getElementById("list").hidden = false;
  if (scrollY > 0) scrollBy(0, document.documentElement.scrollHeight - before);
  trim();
  tellTimes();
}

/** More came between two looks than one look shows: say so, never skip silently. */
function gapRow() {
  const row = document.createElement("tr");
  const cell = document.createElement("td");
  const link = document.createElement("a");
  row.className = "gap";
  cell.colSpan = 8;
  link.href = location.pathname + location.search;
  link.textContent = "More decisions came in between. Reload to see them all.";
  cell.append(link);
  row.append(cell);
  return row;
}

/** Keep the page light: the oldest rows move to the next page unless someone is there. */
function trim() {
  while (rows.children.length > MOST_ROWS) {
    const last = rows.lastElementChild;
    if (last.contains(document.activeElement) || last.getBoundingClientRect().top < innerHeight) return;
    last.remove();
    const next = new URL(older.href);
    next.searchParams.set("before", rows.lastElementChild.dataset.seq ?? "0");
    older.href = next.href;
    older.hidden = false;
  }
}

async function look() {
  clearTimeout(timer);
  if (paused || document.hidden) return;
  try {
    const request = await fetchPage();
    if (request.status === 200) {
      version = request.getResponseHeader("ETag");
      take(request.response);
    } else if (request.status === 401) {
      location.reload();
    } else if (request.status !== 304) {
      throw new Error(`status ${request.status}`);
    }
    delay = EVERY;
    if (!paused) show("on", "Live");
  } catch {
    delay = Math.min(delay * 2, LONGEST_PAUSE);
    show("lost", "No connection");
  }
  clearTimeout(timer);
  timer = setTimeout(look, delay);
}

setInterval(tellTimes, 5000);
tellTimes();
if (source) {
  button.disabled = false;
  button.title = "Pause or resume";
  button.addEventListener("click", () => {
    paused = !paused;
    if (paused) show("paused", "Paused");
    else look();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) show("paused", "Paused");
    else look();
  });
  look();
}
