"use strict";
// Verdicts live in localStorage under the id of this queue, and leave as a CSV for `curate decide`.
(() => {
  document.body.classList.add("scripted");
  const page = "curate-review-" + document.body.dataset.page;
  const cards = [...document.querySelectorAll(".card")];
  const classes = new Set([...document.querySelectorAll("#classes option")].map((option) => option.value));
  const $ = (id) => document.getElementById(id);
  if (!cards.length) return;

  // A browser may forbid storage; then verdicts last as long as the page.
  const store = {
    get(key) { try { return localStorage.getItem(key); } catch { return null; } },
    set(key, value) { try { localStorage.setItem(key, value); } catch { /* kept in memory */ } },
  };
  const verdicts = new Map(JSON.parse(store.get(page) || "[]"));
  const keyOf = (tile) => JSON.stringify([tile.dataset.sample, tile.dataset.issue]);

  function decide(tile, action, label) {
    if (action === "undo") verdicts.delete(keyOf(tile));
    else verdicts.set(keyOf(tile), { action, label: action === "relabel" ? label : "" });
  }

  function act(card, tiles, action, label) {
    for (const tile of tiles) {
      const taken = action === "accept" ? tile.dataset.proposed : action;
      decide(tile, taken, label || tile.dataset.suggested);
    }
    store.set(page, JSON.stringify([...verdicts]));
    show(card);
    count();
  }

  function show(card) {
    const said = new Set();
    const tiles = [...card.querySelectorAll(".tile")];
    for (const tile of tiles) {
      const verdict = verdicts.get(keyOf(tile));
      if (verdict) tile.dataset.verdict = verdict.action;
      else delete tile.dataset.verdict;
      if (verdict) said.add(verdict.action === "relabel" ? "relabel: " + verdict.label : verdict.action);
    }
    const decided = tiles.every((tile) => tile.dataset.verdict);
    card.classList.toggle("decided", decided);
    card.classList.toggle("started", said.size > 0);
    card.querySelector(".verdict").textContent = [...said].join(", ") + (said.size && !decided ? " …" : "");
  }

  function count() {
    $("done").textContent = cards.filter((card) => card.classList.contains("decided")).length;
    $("download").disabled = $("clear").disabled = !verdicts.size;
  }

  // As in curate.text.for_csv: a cell that a spreadsheet would run, or a reader would trim, gets an apostrophe.
  const guarded = (cell) => (/^[=+\-@' \t\r\n]|[ \t\r\n]$/.test(cell) ? "'" + cell : cell);
  const quoted = (cell) => '"' + guarded(String(cell)).replaceAll('"', '""') + '"';

  function csv() {
    const head = ["sample_id", "issue", "action", "label", "reviewer", "given_label", "probability", "score", "sha256"];
    const rows = [...document.querySelectorAll(".tile")].filter((tile) => verdicts.has(keyOf(tile))).map((tile) => {
      const { action, label } = verdicts.get(keyOf(tile));
      const { sample, issue, given, probability, score, sha256 } = tile.dataset;
      return [sample, issue, action, label, $("reviewer").value.trim(), given, probability, score, sha256];
    });
    return [head, ...rows].map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n";
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-do]");
    if (!button) return;
    const card = button.closest(".card");
    const tile = button.closest(".tile");
    act(card, tile ? [tile] : [...card.querySelectorAll(".tile")], button.dataset.do);
  });

  document.addEventListener("change", (event) => {
    if (!event.target.matches("input.other")) return;
    const label = event.target.value.trim();
    event.target.classList.toggle("wrong", label !== "" && !classes.has(label));
    const card = event.target.closest(".card");
    if (classes.has(label)) act(card, [...card.querySelectorAll(".tile")], "relabel", label);
  });

  for (const filter of document.querySelectorAll(".filter")) {
    filter.addEventListener("click", () => {
      const on = filter.getAttribute("aria-pressed") !== "true";
      filter.setAttribute("aria-pressed", on);
      for (const card of cards) if (card.dataset.issue === filter.dataset.filter) card.hidden = !on;
    });
  }

  $("reviewer").value = store.get("curate-reviewer") || "";
  $("reviewer").addEventListener("change", () => store.set("curate-reviewer", $("reviewer").value.trim()));

  $("download").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff", csv()], { type: "text/csv" }));
    link.download = "decisions.csv";
    link.click();
    URL.revokeObjectURL(link.href);
  });

  $("clear").addEventListener("click", () => {
    if (!confirm("Forget all verdicts on this page?")) return;
    verdicts.clear();
    store.set(page, "[]");
    cards.forEach(show);
    count();
  });

  cards.forEach(show);
  count();
})();
