// Python in a worker, so that the page answers while it runs, and can end it.

let home, python, run;

// Lays a zip of modules before all others, and forgets what was imported before it.
async function use(name) {
  const answer = await fetch(`${home}_static/live/${name}`);
  if (!answer.ok) throw new Error(`${answer.status} ${answer.url}`);
  python.FS.writeFile(`/${name}`, new Uint8Array(await answer.arrayBuffer()));
  python.globals.set("zip_file", `/${name}`);
  python.runPython(`
import sys
sys.path.insert(0, zip_file)
for module in [each for each in sys.modules if each.split(".")[0] == "scaling_transformers"]:
    del sys.modules[module]
`);
  run = python.pyimport("live_runner").run;
}

async function start(options) {
  home = options.home;
  const pyodide = `${home}_static/pyodide/`;
  importScripts(`${pyodide}pyodide.js`);
  python = await loadPyodide({
    indexURL: pyodide,
    env: { HOME: "/home/pyodide", MPLBACKEND: "agg" },
    ...(options.distribution ? { packageBaseUrl: options.distribution } : {}),
  });
  await use("package.zip");
}

let loaded = "";
async function load(packages) {
  if (packages.every((name) => loaded.includes(name))) return;
  const failed = [];
  await python.loadPackage(packages, { messageCallback() {}, errorCallback: (words) => failed.push(words) });
  if (failed.length) throw new Error(failed.join("\n"));
  if (!loaded) await use("numpy.zip");
  loaded = packages.join(" ");
}

self.addEventListener("message", async ({ data }) => {
  try {
    if (data.start) {
      await start(data.start);
      postMessage({ ready: true });
    } else {
      if (data.packages.length) await load(data.packages);
      const began = performance.now();
      const error = run(
        data.before, data.source, (text) => postMessage({ text }), (html) => postMessage({ html }),
      );
      postMessage({ done: true, error, seconds: (performance.now() - began) / 1000 });
    }
  } catch (error) {
    postMessage({ broken: String(error?.message ?? error) });
  }
});
