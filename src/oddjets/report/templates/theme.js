"use strict";
(() => {
  const root = document.documentElement;
  const remember = (key, value) => { try { localStorage.setItem(key, value); } catch { /* a file may have no storage */ } };
  const recall = (key) => { try { return localStorage.getItem(key); } catch { return null; } };

  // light and dark: the system's choice until the reader makes one
  const theme = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const name = () => { theme.textContent = dark() ? "Light" : "Dark"; theme.setAttribute("aria-label", `Switch to ${dark() ? "light" : "dark"} colours`); };
  if (["light", "dark"].includes(recall("oddjets-theme"))) root.dataset.theme = recall("oddjets-theme");
  theme.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; remember("oddjets-theme", root.dataset.theme); name(); });
  system.addEventListener("change", name);
  name();
})();
