// Runs inside the report or the index, which has no tabs, viewer or tables to sort: acts as a reader would, and writes what it
// found into <pre id="found">.
addEventListener("load", async () => {
  const found = { errors: window.found_errors };
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const press = (target, key) => target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));

  // tabs, by mouse and keyboard
  const tabs = [...document.querySelectorAll('[role="tab"]')];
  const shown = () => [...document.querySelectorAll('[role="tabpanel"]')].filter((panel) => !panel.hidden).map((panel) => panel.id);
  if (tabs.length) {
    found.tabs = [shown()];
    tabs[1].click();
    found.tabs.push(shown());
    tabs[1].focus();
    press(tabs[1], "ArrowLeft");
    found.tabs.push(shown());
    found.focused = document.activeElement.id;

    // a link to a figure behind a tab
    location.hash = "figure-closure_VR1";
    await wait(50);
    found.linked = shown();
    tabs[0].click();
  }

  // a figure enlarges, the arrows go on, the focus comes back
  const zoom = [...document.querySelectorAll(".zoom")].filter((button) => button.offsetParent !== null);
  const viewer = document.getElementById("viewer");
  const large = document.getElementById("large");
  if (viewer) {
    zoom[0].focus();
    zoom[0].click();
    found.opened = viewer.open && large.alt === zoom[0].querySelector("img").alt;
    press(viewer, "ArrowRight");
    found.stepped = large.alt === zoom[1].querySelector("img").alt;
    viewer.close();
    await wait(50);
    found.returned = document.activeElement === zoom[1];
  }

  // a table sorts, numbers as numbers
  const table = document.querySelector(".sortable");
  const column = (at) => [...table.tBodies[0].rows].map((row) => Number(row.cells[at].dataset.value));
  if (table) {
    table.tHead.rows[0].cells[1].querySelector("button").click();
    found.falling = column(1);
    table.tHead.rows[0].cells[1].querySelector("button").click();
    found.rising = column(1);
  }

  // both colour schemes have contrast enough
  const parse = (text) => { const n = text.match(/[\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1]; };
  const luminance = ([r, g, b]) => { const f = (c) => ((c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4); return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
  const background = (element) => { for (let e = element; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] > 0.99) return c; } return [255, 255, 255, 1]; };
  const contrast = () => {
    let worst = { ratio: 99 };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      if (!walker.currentNode.textContent.trim() || !element.offsetParent || ["SCRIPT", "STYLE"].includes(element.tagName)) continue;
      const [a, b] = [luminance(parse(getComputedStyle(element).color)), luminance(background(element))].sort((x, y) => y - x);
      const ratio = (a + 0.05) / (b + 0.05);
      if (ratio < worst.ratio) worst = { ratio, text: walker.currentNode.textContent.trim().slice(0, 40) };
    }
    return worst;
  };
  document.getElementById("sources")?.click();
  found.contrast = [];
  for (let i = 0; i < 2; i++) { document.getElementById("theme").click(); await wait(50); found.contrast.push(contrast()); }

  // no room is wanted beyond the window, in frames of three widths
  found.widths = [];
  for (const width of [360, 800, 1600]) {
    const frame = document.createElement("iframe");
    frame.style.cssText = `width:${width}px;height:900px;border:0`;
    frame.srcdoc = window.found_page;
    document.body.append(frame);
    await new Promise((done) => frame.addEventListener("load", done));
    const page = frame.contentDocument.documentElement;
    found.widths.push([width, page.clientWidth, page.scrollWidth]);
    frame.remove();
  }
  const out = document.createElement("pre");
  out.id = "found";
  out.textContent = JSON.stringify(found);
  document.body.replaceChildren(out);
});
