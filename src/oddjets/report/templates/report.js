"use strict";
(() => {
  const root = document.documentElement;

  // where every number comes from
  const sources = document.getElementById("sources");
  sources.addEventListener("click", () => sources.setAttribute("aria-pressed", String(root.classList.toggle("sources"))));

  // tabs: arrows move, Home and End jump
  for (const list of document.querySelectorAll('[role="tablist"]')) {
    const tabs = [...list.querySelectorAll('[role="tab"]')];
    const show = (chosen, focus) => {
      for (const tab of tabs) {
        const on = tab === chosen;
        tab.setAttribute("aria-selected", String(on));
        tab.tabIndex = on ? 0 : -1;
        document.getElementById(tab.getAttribute("aria-controls")).hidden = !on;
      }
      if (focus) chosen.focus();
    };
    list.addEventListener("click", (event) => { const tab = event.target.closest('[role="tab"]'); if (tab) show(tab, false); });
    list.addEventListener("keydown", (event) => {
      const at = tabs.indexOf(document.activeElement);
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (at < 0 || to === undefined) return;
      event.preventDefault();
      show(tabs[(to + tabs.length) % tabs.length], true);
    });
    show(tabs[0], false);
    // a link to a figure behind another tab brings that tab to the front
    const reveal = () => {
      const place = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
      const panel = place && place.closest('[role="tabpanel"]');
      const tab = panel && tabs.find((one) => one.getAttribute("aria-controls") === panel.id);
      if (!tab) return;
      show(tab, false);
      place.scrollIntoView();
    };
    addEventListener("hashchange", reveal);
    reveal();
  }

  // tables sort by their heads
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const rows = [...table.tBodies[0].rows];
      const numeric = rows.some((row) => row.cells[column].dataset.value !== undefined);
      const before = head.getAttribute("aria-sort");
      const up = before ? before === "descending" : !numeric;
      const value = (row) => { const cell = row.cells[column]; return numeric ? Number(cell.dataset.value ?? NaN) : cell.textContent.trim(); };
      rows.sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (!numeric) return (up ? 1 : -1) * x.localeCompare(y, "en", { numeric: true });
        if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
        return (up ? 1 : -1) * (x - y);
      });
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      table.tBodies[0].append(...rows);
    }));
  }

  // figures enlarge; arrows go through those on view
  const viewer = document.getElementById("viewer");
  const large = document.getElementById("large");
  const legend = document.getElementById("legend");
  let now = null;
  const open = (button) => {
    now = button;
    const image = button.querySelector("img");
    large.src = image.src;
    large.alt = image.alt;
    legend.innerHTML = button.closest("figure").querySelector("figcaption").innerHTML;
    if (!viewer.open) viewer.showModal();
  };
  const step = (by) => {
    const all = [...document.querySelectorAll(".zoom")].filter((button) => button.offsetParent !== null);
    if (all.length) open(all[(all.indexOf(now) + by + all.length) % all.length]);
  };
  document.addEventListener("click", (event) => { const button = event.target.closest(".zoom"); if (button) open(button); });
  document.getElementById("before").addEventListener("click", () => step(-1));
  document.getElementById("after").addEventListener("click", () => step(1));
  viewer.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
  viewer.addEventListener("close", () => { if (now) now.focus(); });
})();
