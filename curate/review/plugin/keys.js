// Alt + a letter decides on the selected tiles, or on the open sample.
// FiftyOne has no Python API for keys; window.__foo__ is its operators module.
(() => {
  const KEYS = {
    KeyA: "accept", KeyK: "keep", KeyR: "relabel", KeyD: "drop", KeyU: "unsure", KeyZ: "undo",
    KeyO: "keep_one", KeyL: "keep_all", KeyC: "labels_conflict", KeyS: "settle", KeyN: "next_batch",
  };
  const FORMS = new Set(["relabel", "labels_conflict", "settle"]);
  const uri = (name) => `@curate/review/${name}`;

  // Before FiftyOne has loaded the operators a key does nothing, and says so in the console.
  const run = (name) =>
    new Promise((resolve, reject) => {
      const [operator, params] = FORMS.has(name) ? [uri("ask"), { verdict: name }] : [uri(name), {}];
      window.__foo__.executeOperator(operator, params, { callback: resolve }).catch(reject);
      setTimeout(resolve, 5000); // an answer that never comes must not block the keys
    });

  // While a sample is open the grid behind it is left alone; it is read anew once the sample is closed.
  const isOpen = () => document.querySelector('[data-cy="modal"]') !== null;
  let outdated = false;
  setInterval(() => {
    if (!outdated || isOpen() || !window.__foo__) return;
    outdated = false;
    window.__foo__.executeOperator("@voxel51/operators/reload_dataset", {});
  }, 500);

  const press = async (name) => {
    outdated ||= isOpen();
    await run(name);
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
