// Keys that every page has, and what the other modules need to add theirs.

const help = document.getElementById("help");
const bindings = new Map([["?", () => help.showModal()]]);

export function bind(key, action) {
  bindings.set(key, action);
}

/** Focus the element that stands `step` places from the focused one in `elements`. */
export function move(elements, step) {
  const list = [...elements];
  if (!list.length) return null;
  const here = list.indexOf(document.activeElement?.closest("[data-stop]") ?? document.activeElement);
  const next = here < 0 ? (step > 0 ? 0 : list.length - 1) : here + step;
  if (next < 0 || next >= list.length) return null;
  focus(list[next]);
  return list[next];
}

export function focus(element) {
  element.focus({ preventScroll: true });
  const box = element.getBoundingClientRect();
  if (box.top < 64 || box.bottom > innerHeight - 48) {
    element.scrollIntoView({ block: box.height > innerHeight / 2 ? "start" : "center" });
  }
}

/** Once the browser has gone to the address's fragment, which takes the focus away. */
export function settled(action) {
  if (document.readyState === "complete") action();
  else addEventListener("load", () => setTimeout(action));
}

document.getElementById("show-help").addEventListener("click", () => help.showModal());
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  if (event.target.closest("input:not([type=radio]), select, textarea")) return;
  const action = bindings.get(event.key);
  if (!action) return;
  event.preventDefault();
  action();
});
