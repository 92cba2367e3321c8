// Keeps the files behind the cells that run in a page, so that they are there without the network the next time.
// It is asked for by the first press of a Run button, and answers for these files alone.

const VERSION = "VERSION"; // a hash of the files, filled in at the build
const FILES = "FILES";
const HOME = new URL("./", self.location).href;
const KEPT = `live-cells ${HOME} `;
const ADDRESSES = new Set(FILES.map((file) => new URL(file, HOME).href));

self.addEventListener("install", (event) => {
  const fresh = [...ADDRESSES].map((address) => new Request(address, { cache: "reload" }));
  event.waitUntil(
    caches.open(KEPT + VERSION)
      .then((cache) => cache.addAll(fresh))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    const old = (await caches.keys()).filter((name) => name.startsWith(KEPT) && name !== KEPT + VERSION);
    await Promise.all(old.map((name) => caches.delete(name)));
    await self.clients.claim();
  })());
});

self.addEventListener("fetch", (event) => {
  const { url, method } = event.request;
  if (method !== "GET" || !ADDRESSES.has(url.split(/[?#]/)[0])) return;
  event.respondWith((async () => {
    const cache = await caches.open(KEPT + VERSION);
    return (await cache.match(url, { ignoreSearch: true })) ?? fetch(event.request);
  })());
});
