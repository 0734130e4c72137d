// Alt + a letter decides on the selected tiles, or on the open sample, which then gives way to the next one.
// FiftyOne has no Python API for keys; window.__foo__ is its operators module.
(() => {
  const KEYS = {
    KeyA: "accept", KeyK: "keep", KeyR: "relabel", KeyD: "drop", KeyU: "unsure", KeyZ: "undo",
    KeyO: "keep_one", KeyL: "keep_all", KeyC: "labels_conflict", KeyS: "settle", KeyN: "next_batch",
  };
  const FORMS = new Set(["relabel", "labels_conflict", "settle"]);
  const MOVES = new Set(["accept", "keep", "drop", "unsure", "keep_one", "keep_all"]); // at once, to the next sample
  const uri = (name) => `@curate/review/${name}`;

  // Before FiftyOne has loaded the operators a key does nothing, and says so in the console.
  const run = (name) =>
    new Promise((resolve, reject) => {
      const [operator, params] = FORMS.has(name) ? [uri("ask"), { verdict: name }] : [uri(name), {}];
      window.__foo__.executeOperator(operator, params, { callback: resolve }).catch(reject);
      setTimeout(resolve, 5000); // an answer that never comes must not block the keys
    });

  // The address names the sample that is open.
  const open = () => new URLSearchParams(location.search).get("id");
  const moved = async (from, within) => {
    for (let waited = 0; open() === from && waited < within; waited += 20) await new Promise((done) => setTimeout(done, 20));
  };

  // While a sample is open the grid behind it is left alone; it is read anew once the sample is closed.
  let outdated = false;
  setInterval(() => {
    if (!outdated || open() !== null) return;
    outdated = false;
    window.__foo__.executeOperator("@voxel51/operators/reload_dataset", {});
  }, 500);

  // A verdict on an open sample ends with this operator, whether it came from a key, a button or a form.
  class NextSample extends window.__foo__.Operator {
    get config() {
      return new window.__foo__.OperatorConfig({ name: "next_sample", label: "Review: the next sample", unlisted: true });
    }
    async execute() {
      outdated = true;
      document.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", code: "ArrowRight", bubbles: true }));
    }
  }
  window.__foo__.registerOperator(NextSample, "@curate/review");

  const press = async (name) => {
    const from = open();
    outdated ||= from !== null;
    const result = await run(name);
    if (from && MOVES.has(name) && !result?.error) await moved(from, 1000); // or the next key would decide on this one
  };

  let queue = Promise.resolve(); // one after the other, however fast they are pressed
  document.addEventListener(
    "keydown",
    (event) => {
      const name = event.altKey && !event.ctrlKey && !event.metaKey ? KEYS[event.code] : undefined;
      if (!name || event.repeat) return;
      event.preventDefault();
      event.stopPropagation();
      queue = queue.then(() => press(name)).catch((error) => console.error("curate:", error));
    },
    true,
  );
})();
