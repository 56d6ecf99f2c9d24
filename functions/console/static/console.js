// The console works without this: it makes panels live, keeps the focus where it is, and adds one key.
"use strict";

const polls = (event) => event.detail.elt.getAttribute("hx-trigger")?.includes("every");

// A page that nobody sees asks for nothing; when it is seen again, it asks at once.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && polls(event)) event.preventDefault();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) document.body.dispatchEvent(new Event("wake"));
});

// A panel that is replaced keeps the focus on what had it.
let focused = null;
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const active = document.activeElement;
  if (active && active.id && event.detail.target.contains(active)) focused = active.id;
});
document.addEventListener("htmx:oobAfterSwap", () => {
  const again = focused && document.getElementById(focused);
  if (again && document.activeElement !== again) again.focus({ preventScroll: true });
  focused = null;
});

// A panel that is replaced keeps its opened details.
let opened = [];
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  opened = [...event.detail.target.querySelectorAll("details[open][id]")].map((details) => details.id);
});
document.addEventListener("htmx:oobAfterSwap", () => {
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  opened = [];
});

// What is said aloud is what has changed.
let news = null;
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  if (event.detail.target.id === "speech") news = document.getElementById("news");
});
document.addEventListener("htmx:oobAfterSwap", () => {
  const fresh = news && document.getElementById("news");
  if (fresh && fresh !== news) {
    const words = fresh.textContent;
    fresh.replaceWith(news);
    if (news.textContent !== words) news.textContent = words;
  }
  news = null;
});

// The title of the page is the verdict, so that a tab says it too.
document.addEventListener("htmx:oobAfterSwap", () => {
  const title = document.getElementById("verdict-title");
  if (title && !document.title.startsWith(title.textContent)) document.title = `${title.textContent} · Renderlane`;
});

// One cross-hair through all time lines, with the values of its moment.
const cross = (figure, event) => {
  const charts = figure.closest(".charts");
  const hover = document.getElementById("hover");
  const svg = figure.querySelector(".plot svg");
  const box = svg.getBoundingClientRect();
  const lines = figure.dataset.lines.split("\n").map((line) => {
    const [name, ...values] = line.split("|");
    return { name, values };
  });
  const bins = lines[0].values.length;
  const bin = Math.min(bins - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * bins)));
  const at = new Date(Date.parse(charts.dataset.first) + bin * 1000 * Number(charts.dataset.bin));
  for (const line of charts.querySelectorAll(".cross")) {
    const x = ((bin + 0.5) / bins) * svg.viewBox.baseVal.width;
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
    line.setAttribute("visibility", "visible");
  }
  const values = lines.map((line) => `${lines.length > 1 ? `${line.name} ` : ""}${line.values[bin] || "unknown"}`);
  const title = figure.querySelector("strong").textContent;
  hover.textContent = `${at.toISOString().slice(5, 16).replace("T", " ")} UTC · ${title}: ${values.join(", ")}`;
};
document.addEventListener("pointermove", (event) => {
  const figure = event.target.closest?.(".timechart");
  if (figure) cross(figure, event);
});
document.addEventListener("pointerout", (event) => {
  const charts = event.target.closest?.(".charts");
  if (!charts || charts.contains(event.relatedTarget)) return;
  document.getElementById("hover").textContent = "";
  for (const line of charts.querySelectorAll(".cross")) line.setAttribute("visibility", "hidden");
});

// The console that does not answer says so.
for (const name of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  document.addEventListener(name, () => document.body.classList.add("lost"));
}
document.addEventListener("htmx:afterOnLoad", () => document.body.classList.remove("lost"));

// A command is copied by one click; where the browser does not let us, it is selected.
for (const code of document.querySelectorAll(".chapters code, pre.copy")) {
  if (!/^(renderlane|gcloud|curl|\.\/scripts)/.test(code.textContent)) continue;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy-button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy: ${code.textContent}`);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
  });
  code.after(button);
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    document.getElementById("search")?.focus();
  }
});
