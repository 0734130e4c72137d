// The page works without this; it adds the colour switch, the map's pictures, and open details in print.
"use strict";

const root = document.documentElement;
document.getElementById("theme").addEventListener("click", () => {
  const dark = getComputedStyle(root).colorScheme === "dark"
    || (root.style.colorScheme === "" && matchMedia("(prefers-color-scheme: dark)").matches);
  root.style.colorScheme = dark ? "light" : "dark";
});

addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});

const links = new Map();
for (const link of document.querySelectorAll("nav li a")) links.set(link.hash.slice(1), link);
const inView = new Set();
const here = new IntersectionObserver((entries) => {
  for (const entry of entries) entry.isIntersecting ? inView.add(entry.target.id) : inView.delete(entry.target.id);
  const first = [...links.keys()].find((id) => inView.has(id));
  for (const [id, link] of links) link.classList.toggle("here", id === first);
}, { rootMargin: "-15% 0px -60% 0px" });
for (const section of document.querySelectorAll("section[id]")) here.observe(section);

const svg = document.querySelector(".map svg");
if (svg) {
  const peek = document.querySelector(".peek");
  const [tile, words] = peek.children;
  const across = Number(svg.dataset.across);
  const show = (point) => {
    const n = Number(point.dataset.tile);
    tile.style.backgroundPosition = `${-96 * (n % across)}px ${-96 * Math.floor(n / across)}px`;
    words.textContent = point.querySelector("title").textContent;
    const box = point.getBoundingClientRect();
    peek.style.display = "block";
    peek.style.left = `${Math.min(box.right + 8, innerWidth - 124)}px`;
    peek.style.top = `${Math.max(8, Math.min(box.top - 40, innerHeight - 190))}px`;
  };
  svg.addEventListener("pointerover", (event) => {
    if (event.target.tagName === "circle") show(event.target);
    else peek.style.display = "none";
  });
  svg.addEventListener("pointerleave", () => { peek.style.display = "none"; });
  for (const button of document.querySelectorAll(".map .legend button")) {
    button.addEventListener("click", () => {
      button.classList.toggle("chosen");
      svg.querySelector(`#${button.dataset.group}`).classList.toggle("chosen");
      svg.classList.toggle("filtered", svg.querySelector("g.chosen") !== null);
    });
  }
}
