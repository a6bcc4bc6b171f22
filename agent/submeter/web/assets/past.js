// The past: a range and a key picked, the areas and the table that has their figures out.

import { colour } from "./charts.js";

const PATIENCE_MS = 20000;
const AGAIN_MS = 10000; // the ledger's own grain
const LONG_AGAIN_MS = 60000;
const COLOURS = {
  training: "blue", inference: "orange", other: "green", unknown: "pink", idle: "grey",
  unattributed: "dark",
};
const PALETTE = ["blue", "orange", "green", "pink", "sky", "dark", "grey"];

export function showPast(section, areas) {
  if (!section) {
    setTimeout(() => showPast(document.getElementById("past"), areas), AGAIN_MS / 5);
    return;
  }
  const form = section.querySelector("form");
  const canvas = section.querySelector("canvas");
  let past = null;
  let timer = 0;
  form.hidden = false;

  async function ask() {
    clearTimeout(timer);
    const range = form.elements.range.value;
    if (!document.hidden) {
      try {
        const answer = await fetch(`/api/v1/history?range=${range}`,
          { signal: AbortSignal.timeout(PATIENCE_MS) });
        if (!answer.ok) throw new Error(answer.statusText);
        past = await answer.json();
        show();
      } catch {
        section.querySelector("#past-at").textContent = "The ledger doesn't answer.";
      }
    }
    timer = setTimeout(ask, past && past.step_s > 60 ? LONG_AGAIN_MS : AGAIN_MS);
  }

  function show() {
    if (!past) return;
    const at = section.querySelector("#past-at");
    if (past.error) {
      at.textContent = past.error;
      return;
    }
    const by = form.elements.by.value;
    const layers = layersOf(past, by);
    const first = Math.max(0, past.metered_s.findIndex((each) => each > 0));
    const last = Math.max(0, past.metered_s.findLastIndex((each) => each > 0));
    const shown = (values) => values.slice(first, last + 1);
    const whole = past.metered_s.map((_, step) => power(past, sumAt(past, step), step));
    canvas.hidden = false;
    const drawn = layers.map((layer) => ({ ...layer, values: shown(layer.values) }));
    const begin = past.since_s + first * past.step_s;
    areas(canvas, drawn, shown(whole), [clock(begin), clock(past.until_s)]);
    at.textContent = `${clock(past.since_s)} to ${clock(past.until_s)}, in steps of `
      + `${past.step_s >= 60 ? `${past.step_s / 60} min` : `${past.step_s} s`}. `
      + "The line is the GPUs' own counter; the areas below it are who used it.";
    section.querySelector("#past-table").replaceChildren(table(past, layers, by), sure(past));
  }

  form.addEventListener("change", ask);
  form.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("resize", show);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  ask();
}

function sumAt(past, step) {
  return past.series.reduce((sum, each) => sum + Number(each.joules_by_step[step]), 0);
}

// Mean power of a step: its joules over the time that is accounted for in it, of the GPU that has
// most: one that was lost for a while leaves a dent, and what its counter held when it came back is
// spread over the time that it was away.
function power(past, joules, step) {
  if (past.metered_s[step] === 0 && joules === 0) return null;
  return joules / Math.max(past.accounted_s[step], 1);
}

function layersOf(past, by) {
  const sums = new Map();
  for (const each of past.series) {
    const name = by === "phase" ? each.phase : each.workload || `(${each.phase})`;
    if (!sums.has(name)) sums.set(name, { name, phase: each.phase, joules: 0, steps: past.metered_s.map(() => 0) });
    const layer = sums.get(name);
    layer.joules += Number(each.joules);
    each.joules_by_step.forEach((joules, step) => { layer.steps[step] += Number(joules); });
  }
  const order = Object.keys(COLOURS);
  const found = [...sums.values()].sort((a, b) => (by === "phase"
    ? order.indexOf(a.phase) - order.indexOf(b.phase) : b.joules - a.joules));
  return found.map((layer, at) => ({
    ...layer,
    paint: by === "phase" ? COLOURS[layer.phase] : PALETTE[at % PALETTE.length],
    colour: colour(by === "phase" ? COLOURS[layer.phase] : PALETTE[at % PALETTE.length]),
    alpha: by === "phase" || at < PALETTE.length ? 1 : 0.55,
    values: layer.steps.map((joules, step) => power(past, joules, step) ?? 0),
  }));
}

function make(name, content, ...classes) {
  const element = document.createElement(name);
  if (typeof content === "string") element.textContent = content;
  else if (content) element.append(...content);
  element.classList.add(...classes);
  return element;
}

function table(past, layers, by) {
  const total = Number(past.joules);
  const unit = total >= 3.6e9 ? [3.6e9, "MWh"] : total >= 3.6e6 ? [3.6e6, "kWh"] : total >= 3600 ? [3600, "Wh"] : [1, "J"];
  // Thousandths by largest remainder, so that what is shown adds up to the sum that is shown.
  const parts = layers.map((layer) => (layer.joules / unit[0]) * 1000);
  const shown = parts.map(Math.floor);
  const missing = Math.round((total / unit[0]) * 1000) - shown.reduce((a, b) => a + b, 0);
  parts.map((part, at) => [part - Math.floor(part), at]).sort((a, b) => b[0] - a[0])
    .slice(0, Math.max(0, missing)).forEach(([, at]) => { shown[at] += 1; });
  const figure = (value) => `${(value / 1000).toLocaleString("en", { minimumFractionDigits: 3 })} ${unit[1]}`;
  const rows = layers.map((layer, at) => {
    const mark = make("i", null, `paint-${layer.paint}`);
    const share = total ? `${((100 * layer.joules) / total).toFixed(1)} %` : "–";
    const who = make("th", [mark, layer.name]);
    who.scope = "row";
    return make("tr", [who, make("td", figure(shown[at])), make("td", share)]);
  });
  const heads = [by, "energy", "share"].map((text) => {
    const head = make("th", text);
    head.scope = "col";
    return head;
  });
  const sum = make("th", "= the counter");
  sum.scope = "row";
  const foot = make("tr", [sum, make("td", figure(shown.reduce((a, b) => a + b, 0))), make("td", "100 %")]);
  const made = make("table", [make("thead", [make("tr", heads)]), make("tbody", rows), make("tfoot", [foot])], "sums");
  made.setAttribute("aria-label", `Energy by ${by}`);
  return made;
}

// How sure that is: pointed at, or with the focus.
function sure(past) {
  const total = Number(past.joules) || 1;
  const button = make("button", "how sure?");
  button.type = "button";
  button.setAttribute("aria-describedby", "past-sure");
  const lines = Object.entries(past.joules_by_method)
    .filter(([, joules]) => Number(joules) > 0)
    .sort((a, b) => Number(b[1]) - Number(a[1]))
    .map(([method, joules]) => `${((100 * Number(joules)) / total).toFixed(1)} % ${method}`);
  const asked = past.metered_gpu_s.reduce((a, b) => a + b, 0);
  const tip = make("span", [
    make("span", "The sum is the counter's, to the microjoule; the sensor itself is good for about ±5 %."),
    make("span", `How it was split: ${lines.join(", ") || "nothing yet"}.`),
    make("span", `Metered: ${(asked / 3600).toFixed(2)} GPU hours on ${past.gpus} GPUs.`),
  ]);
  tip.id = "past-sure";
  tip.setAttribute("role", "tooltip");
  return make("p", [make("span", [button, tip], "hint")]);
}

function clock(seconds) {
  return new Date(seconds * 1000).toLocaleString("en-GB", {
    day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit",
  });
}
