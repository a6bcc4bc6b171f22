// Keeps the page's state up to date while somebody can see it: figures every two seconds and power
// as the sensors give it from /events, the past from /api/v1/history.
// Whatever comes from outside is only ever text or a number here, never markup of ours.
import { areas, Trace } from "./charts.js";
import { showPast } from "./past.js";

const PERIOD_MS = 2000;
const PATIENCE_MS = 5000;
const EVENTS = "/events?form=page";
const NODE_GRAIN_MS = 100;
const AGAIN_MS = 4000; // after a refusal, then twice as long each time
const AGAIN_MOST_MS = 32000;
const live = document.getElementById("live");
const lost = document.getElementById("lost");
const refused = document.getElementById("refused");
const version = document.getElementById("version")?.textContent;

// ---- figures ---------------------------------------------------------------------------------

// Makes `old` what `fresh` is, keeping every node that stays: focus, open details, drawings.
function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || old.id !== fresh.id) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.isEqualNode(fresh)) return; // most of it; the browser knows that sooner than a walk
  if (old.classList.contains("throttle")) noteThrottling(old, fresh);
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old.hasAttribute("data-own")) return; // its content is the script's
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  morphChildren(old, [...fresh.childNodes]);
}

// What has an id is moved to where it belongs; anything else is told by its place.
function morphChildren(old, wanted) {
  wanted.forEach((node, at) => {
    let mine = old.childNodes[at] ?? null;
    if (node.id) {
      const same = [...old.children].find((child) => child.id === node.id);
      if (same && same !== mine) old.insertBefore(same, mine);
      mine = same ?? null;
    } else if (mine?.id) {
      mine = null;
    }
    if (mine) morph(mine, node);
    else old.insertBefore(node, old.childNodes[at] ?? null);
  });
  while (old.childNodes.length > wanted.length) old.lastChild.remove();
}

// Blanks between elements are other ones in the page and in what renews it.
function dense(element) {
  for (const child of [...element.childNodes]) {
    if (child.nodeType === Node.TEXT_NODE) child.remove();
  }
  return element;
}

const throttled = new Map(); // GPU's card → until when it counts as throttling
const THROTTLE_MS = 15000; // the driver's counts are read every ten seconds

function noteThrottling(old, fresh) {
  const card = old.closest(".card").id;
  if (Number(fresh.dataset.ns) > Number(old.dataset.ns)) {
    throttled.set(card, performance.now() + THROTTLE_MS);
  }
  if (performance.now() < (throttled.get(card) ?? 0)) fresh.classList.add("now");
}

function renew(html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  if (version && parsed.getElementById("version")?.textContent !== version) location.reload();
  const fresh = document.createElement("main");
  fresh.id = "live";
  fresh.append(...parsed.body.childNodes);
  morph(live, dense(document.adoptNode(fresh)));
  lost.hidden = true;
  prepare();
}

// Where no events come, because the agent reads nothing, follows too many, or is gone.
async function refresh() {
  if (!document.hidden && performance.now() - heard > PERIOD_MS * 2) {
    try {
      const answer = await fetch("/live", { signal: AbortSignal.timeout(PATIENCE_MS) });
      if (!answer.ok) throw new Error(answer.statusText);
      renew(await answer.text());
    } catch {
      lost.hidden = false;
    }
  }
  // In step with every other page, so that the agent makes each state once for all of them.
  setTimeout(refresh, PERIOD_MS - (Date.now() % PERIOD_MS));
}

// ---- power as it comes -----------------------------------------------------------------------

const traces = new Map(); // canvas → Trace
const byUuid = new Map(); // GPU's UUID → its trace, and what it drew last
let node = null; // the trace of all GPUs together
let events = null;
let heard = performance.now(); // when a state came as an event
let again = 0; // when refused: the timer, and how long it is
let pause = AGAIN_MS;

function prepare() {
  for (const [canvas, trace] of traces) {
    if (!canvas.isConnected) {
      trace.end();
      traces.delete(canvas);
    }
  }
  const uuids = new Set();
  for (const canvas of live.querySelectorAll("canvas.trace")) {
    if (!traces.has(canvas)) traces.set(canvas, new Trace(canvas));
    const trace = traces.get(canvas);
    trace.limit = Number(canvas.dataset.limit);
    if (canvas.dataset.gpu === "all") {
      node = trace;
      continue;
    }
    const uuid = canvas.closest(".card").querySelector(".uuid").textContent;
    uuids.add(uuid);
    if (byUuid.get(uuid)?.trace !== trace) byUuid.set(uuid, { trace, watts: null });
  }
  for (const uuid of byUuid.keys()) if (!uuids.has(uuid)) byUuid.delete(uuid);
}

// {t0_ms, watts: {uuid: [ms after t0_ms, W, …]}}: what the sensors said since the event before.
function take(event) {
  const { t0_ms: begin, watts } = JSON.parse(event.data);
  const sums = [];
  for (const [uuid, pairs] of Object.entries(watts)) {
    const gpu = byUuid.get(uuid);
    if (!gpu) continue;
    for (let at = 0; at < pairs.length; at += 2) {
      gpu.trace.add(begin + pairs[at], pairs[at + 1]);
      sums.push([begin + pairs[at], gpu, pairs[at + 1]]);
    }
    if (pairs.length) gpu.trace.heard(begin + pairs.at(-2));
  }
  sums.sort((a, b) => a[0] - b[0]);
  sums.forEach(([at, gpu, value], nth) => {
    gpu.watts = value;
    if (sums[nth + 1]?.[0] !== at) addToNode(at);
  });
  if (sums.length) node?.heard(sums.at(-1)[0]);
}

function addToNode(at) {
  if (!node?.wants(at, NODE_GRAIN_MS)) return;
  let sum = 0;
  for (const each of byUuid.values()) {
    if (each.watts === null) return; // a partial sum is no sum
    sum += each.watts;
  }
  node.add(at, sum);
}

// A hidden page costs nothing, and holds none of a browser's few connections to one host.
function listen() {
  clearTimeout(again);
  if (document.hidden) {
    events?.close();
    events = null;
    heard = -Infinity;
  } else if (!events) {
    events = new EventSource(EVENTS);
    events.addEventListener("open", () => {
      refused.hidden = true;
      pause = AGAIN_MS;
    });
    events.addEventListener("power", take);
    events.addEventListener("error", wait);
    events.addEventListener("live", (event) => {
      heard = performance.now();
      renew(event.data);
    });
  }
}

// What is cut off is taken up again by the browser, what is refused isn't: the agent has room for so
// many who follow, and those who are one too many come at different times.
function wait() {
  heard = -Infinity;
  if (events?.readyState !== EventSource.CLOSED) return;
  events = null;
  refused.hidden = false;
  again = setTimeout(listen, pause * (0.75 + Math.random() / 2));
  pause = Math.min(2 * pause, AGAIN_MOST_MS);
}

function draw(now) {
  for (const trace of traces.values()) trace.draw(now);
  requestAnimationFrame(draw);
}

function start() {
  dense(live);
  prepare();
  listen();
  document.addEventListener("visibilitychange", listen);
  requestAnimationFrame(draw);
  setTimeout(refresh, PERIOD_MS - (Date.now() % PERIOD_MS));
  showPast(document.getElementById("past"), areas);
}

// What stands there is painted first.
requestAnimationFrame(() => setTimeout(start));
