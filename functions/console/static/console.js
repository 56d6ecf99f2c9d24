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

// What is said aloud is what has changed.
let news = null;
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  if (event.detail.target.id === "fresh") news = document.getElementById("news");
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

// The console that does not answer says so.
for (const name of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  document.addEventListener(name, () => document.body.classList.add("lost"));
}
document.addEventListener("htmx:afterOnLoad", () => document.body.classList.remove("lost"));

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    document.getElementById("search")?.focus();
  }
});
