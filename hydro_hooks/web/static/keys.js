// "/" goes to the search box, j and k along the items, Enter opens one. All of it is
// an addition: the pages do without.
"use strict";
(() => {
  let at = -1;
  const items = () => [...document.querySelectorAll("[data-item]")];
  const go = (step) => {
    const all = items();
    if (!all.length) return;
    // From the item that has the focus, be it by Tab or by a click.
    const focused = all.findIndex((item) => item.contains(document.activeElement));
    if (focused >= 0) at = focused;
    at = Math.min(Math.max(at + step, 0), all.length - 1);
    const link = all[at].querySelector("a.event");
    if (link) link.focus();
    all[at].scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input, textarea, select")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key === "/") {
      event.preventDefault();
      document.getElementById("q").focus();
    } else if (event.key === "j") go(1);
    else if (event.key === "k") go(-1);
  });
})();
