// Alt + a letter decides on the selected tiles, or on the open sample; where FiftyOne shows its arrows, the next one follows.
// FiftyOne has no Python API for keys; window.__foo__ is its operators module.
(() => {
  const KEYS = {
    KeyA: "accept", KeyK: "keep", KeyR: "relabel", KeyD: "drop", KeyU: "unsure", KeyZ: "undo",
    KeyO: "keep_one", KeyL: "keep_all", KeyC: "labels_conflict", KeyS: "settle", KeyN: "next_batch",
  };
  const FORMS = new Set(["relabel", "labels_conflict", "settle"]);
  const STAYS = new Set(["undo", "next_batch", ...FORMS]);
  const uri = (name) => `@curate/review/${name}`;
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const opened = () => new URLSearchParams(location.search).get("id");

  // Before FiftyOne has loaded the operators a key does nothing, and says so in the console.
  const run = (name) =>
    new Promise((resolve, reject) => {
      const [operator, params] = FORMS.has(name) ? [uri("ask"), { verdict: name }] : [uri(name), {}];
      window.__foo__.executeOperator(operator, params, { callback: resolve }).catch(reject);
      setTimeout(resolve, 5000); // an answer that never comes must not block the keys
    });

  // The next sample is open once the address says so: an earlier key would decide on the old one.
  const advance = async () => {
    const before = opened();
    const button = document.querySelector('[data-cy="nav-right-button"]');
    const arrow = { key: "ArrowRight", code: "ArrowRight", bubbles: true };
    if (button) button.click();
    else document.dispatchEvent(new KeyboardEvent("keydown", arrow));
    for (let waited = 0; opened() === before && waited < 1000; waited += 20) await pause(20);
  };

  // While a sample is open the grid behind it is left alone; it is read anew once the sample is closed.
  const isOpen = () => document.querySelector('[data-cy="modal"]') !== null;
  let outdated = false;
  setInterval(() => {
    if (!outdated || isOpen() || !window.__foo__) return;
    outdated = false;
    window.__foo__.executeOperator("@voxel51/operators/reload_dataset", {});
  }, 500);

  const press = async (name) => {
    const inModal = isOpen();
    outdated ||= inModal;
    const result = await run(name);
    if (inModal && !STAYS.has(name) && !result?.error) await advance();
  };

  let queue = Promise.resolve(); // one after the other, however fast they are pressed
  document.addEventListener(
    "keydown",
    (event) => {
      const name = event.altKey && !event.ctrlKey && !event.metaKey ? KEYS[event.code] : undefined;
      if (!name || event.repeat || !window.__foo__) return;
      event.preventDefault();
      event.stopPropagation();
      queue = queue.then(() => press(name)).catch((error) => console.error("curate:", error));
    },
    true,
  );
})();
