// Python in a worker, so that the page answers while it runs, and can end it.

let runner;

async function start({ home, distribution }) {
  const pyodide = `${home}_static/pyodide/`;
  importScripts(`${pyodide}pyodide.js`);
  const python = await loadPyodide({
    indexURL: pyodide,
    ...(distribution ? { packageBaseUrl: distribution } : {}),
  });
  const answer = await fetch(`${home}_static/live/package.zip`);
  if (!answer.ok) throw new Error(`${answer.status} ${answer.url}`);
  python.FS.writeFile("/package.zip", new Uint8Array(await answer.arrayBuffer()));
  python.runPython("import sys; sys.path.insert(0, '/package.zip')");
  runner = { python, run: python.pyimport("live_runner").run };
}

self.addEventListener("message", async ({ data }) => {
  try {
    if (data.start) {
      await start(data.start);
      postMessage({ ready: true });
    } else {
      if (data.packages.length) await runner.python.loadPackage(data.packages);
      const began = performance.now();
      const error = runner.run(data.before, data.source, (text) => postMessage({ text }));
      postMessage({ done: true, error, seconds: (performance.now() - began) / 1000 });
    }
  } catch (error) {
    postMessage({ broken: String(error?.message ?? error) });
  }
});
