"use strict";
// Comfort only: the page is complete without it. Texts enter as textContent, never as markup.
(() => {
  const root = document.documentElement;

  function storedTheme() {
    const asked = new URLSearchParams(location.search).get("theme");
    if (asked === "dark" || asked === "light") return asked;
    try { return localStorage.getItem("luban-theme"); } catch { return null; } // storage may be forbidden
  }

  function isDark() {
    return root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function addToggle() {
    const button = document.getElementById("theme");
    const name = () => { button.textContent = isDark() ? "Light" : "Dark"; };
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      try { localStorage.setItem("luban-theme", root.dataset.theme); } catch { /* shown, though not kept */ }
      name();
    });
    name();
  }

  const brief = (value) => (Math.abs(value) >= 1e-3 || value === 0 ? String(+value.toPrecision(4)) : value.toExponential(2));

  function readCurve(line, toX, toY) {
    const points = line.getAttribute("points").split(" ").map((pair) => pair.split(",").map(Number));
    return { name: line.dataset.name, points, toX, toY };
  }

  function nearest(points, x) {
    return points.reduce((best, p) => (Math.abs(p[0] - x) < Math.abs(best[0] - x) ? p : best));
  }

  function addHover(svg) {
    const [xLow, xHigh, xStart, xEnd] = svg.dataset.x.split(" ").slice(0, 4).map(Number);
    const [yLow, yHigh, yStart, yEnd] = svg.dataset.y.split(" ").map(Number);
    const xName = svg.dataset.x.split(" ").slice(4).join(" ");
    const toX = (px) => xLow + ((px - xStart) / (xEnd - xStart)) * (xHigh - xLow);
    const toY = (px) => yLow + ((px - yStart) / (yEnd - yStart)) * (yHigh - yLow);
    const curves = [...svg.querySelectorAll("polyline[data-name]")].map((line) => readCurve(line, toX, toY));
    const cursor = document.createElementNS(svg.namespaceURI, "line");
    cursor.setAttribute("class", "cursor");
    cursor.setAttribute("y1", yStart);
    cursor.setAttribute("y2", yEnd);
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;
    svg.parentNode.append(tip);

    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const x = (event.clientX - box.left) * (svg.viewBox.baseVal.width / box.width);
      const rows = curves.map((curve) => ({ curve, point: nearest(curve.points, x) }));
      const closest = nearest(rows.map((row) => row.point), x);
      cursor.setAttribute("x1", closest[0]);
      cursor.setAttribute("x2", closest[0]);
      svg.append(cursor);
      tip.textContent = [`${xName} ${brief(toX(closest[0]))}`]
        .concat(rows.map(({ curve, point }) => `${curve.name} ${brief(toY(point[1]))}`)).join("\n");
      tip.hidden = false;
      const frame = svg.parentNode.getBoundingClientRect();
      const left = event.clientX - frame.left;
      tip.style.left = `${left > frame.width / 2 ? left - tip.offsetWidth - 14 : left + 14}px`;
      tip.style.top = `${event.clientY - frame.top - 12}px`;
    });
    svg.addEventListener("pointerleave", () => { tip.hidden = true; cursor.remove(); });
  }

  function openTarget() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.tagName === "DETAILS") target.open = true;
  }

  function markPlace() {
    const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.getAttribute("href").slice(1), a]));
    const watcher = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        links.forEach((a) => a.classList.remove("here"));
        links.get(entry.target.id).classList.add("here");
      }
    }, { rootMargin: "-10% 0px -80% 0px" });
    document.querySelectorAll("section[id]").forEach((section) => watcher.observe(section));
  }

  const theme = storedTheme();
  if (theme) root.dataset.theme = theme; // before the first paint
  document.addEventListener("DOMContentLoaded", () => {
    addToggle();
    document.querySelectorAll("svg.plot").forEach(addHover);
    markPlace();
    openTarget();
    addEventListener("hashchange", openTarget);
  });
})();
