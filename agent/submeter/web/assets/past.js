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
  const point = section.querySelector("#past-point");
  let past = null;
  let timer = 0;
  let stepAt = () => -1;
  let pointed = -1;
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
    const again = past?.step_s ? past.step_s * 500 : AGAIN_MS;
    timer = setTimeout(ask, Math.min(Math.max(again, AGAIN_MS), LONG_AGAIN_MS));
  }

  function show() {
    if (!past) return;
    const at = section.querySelector("#past-at");
    if (past.error || !past.series.length) {
      at.textContent = past.error ?? "Nothing was metered in this time.";
      canvas.hidden = point.hidden = true;
      section.querySelector("#past-table").replaceChildren();
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
    const total = shown(whole);
    if (pointed >= total.length) pointed = -1;
    stepAt = areas(canvas, drawn, total, [clock(begin), clock(past.until_s)], pointed);
    point.hidden = pointed < 0;
    if (pointed >= 0) point.textContent = said(drawn, total, begin, pointed);
    at.textContent = `${clock(past.since_s)} to ${clock(past.until_s)}, in steps of `
      + `${past.step_s >= 60 ? `${past.step_s / 60} min` : `${past.step_s} s`}. `
      + "The line is the GPUs' own counter; the areas below it are who used it.";
    section.querySelector("#past-table").replaceChildren(table(past, layers, by), sure(past));
  }

  function said(layers, total, begin, step) {
    const parts = layers.filter((layer) => layer.values[step] > 0)
      .map((layer) => `${layer.name} ${layer.values[step].toFixed(1)} W`);
    const sum = total[step] === null ? "not metered" : `${total[step].toFixed(1)} W`;
    return `${clock(begin + step * past.step_s)}: ${sum}${parts.length ? ` = ${parts.join(" + ")}` : ""}`;
  }

  canvas.addEventListener("pointermove", (event) => {
    const step = stepAt(event.offsetX);
    if (step !== pointed) {
      pointed = step;
      show();
    }
  });
  canvas.addEventListener("pointerleave", () => {
    pointed = -1;
    show();
  });
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
    if (!sums.has(name)) {
      const known = by === "phase" ? past.open_joules_by_phase[each.phase] : 0;
      const open = known === undefined ? 0 : known; // null: not known yet; nothing: nothing was split
      const none = past.metered_s.map(() => 0);
      sums.set(name, { name, phase: each.phase, joules: 0, exact: 0n, open, steps: none });
    }
    const layer = sums.get(name);
    layer.joules += Number(each.joules);
    layer.exact += micro(each.joules);
    if (by !== "phase") layer.open = plus(layer.open, each.open_joules);
    each.joules_by_step.forEach((joules, step) => { layer.steps[step] += Number(joules); });
  }
  const order = Object.keys(COLOURS);
  const found = [...sums.values()].sort((a, b) => (by === "phase"
    ? order.indexOf(a.phase) - order.indexOf(b.phase) : b.joules - a.joules));
  return found.map((layer, at) => ({
    ...layer,
    exact: decimal(layer.exact),
    open: layer.open === null ? null : Number(layer.open),
    paint: by === "phase" ? COLOURS[layer.phase] : PALETTE[at % PALETTE.length],
    colour: colour(by === "phase" ? COLOURS[layer.phase] : PALETTE[at % PALETTE.length]),
    alpha: by === "phase" || at < PALETTE.length ? 1 : 0.55,
    values: layer.steps.map((joules, step) => power(past, joules, step) ?? 0),
  }));
}

function plus(one, other) {
  return one === null || other === null ? null : Number(one) + Number(other);
}

// Energies are exact: whole microjoules.
function micro(joules) {
  const [whole, rest = ""] = joules.replace("-", "").split(".");
  const amount = BigInt(whole) * 1000000n + BigInt(rest.padEnd(6, "0"));
  return joules.startsWith("-") ? -amount : amount;
}

function decimal(amount) {
  const digits = String(amount < 0n ? -amount : amount).padStart(7, "0");
  const text = `${digits.slice(0, -6)}.${digits.slice(-6)}`.replace(/\.?0+$/, "");
  return amount < 0n ? `-${text}` : text;
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
    const share = total ? percent(layer.joules, total) : "–";
    const who = make("th", [mark, layer.name]);
    who.scope = "row";
    const open = make("td", layer.open === null ? "not known yet" : `±${short(layer.open, unit)}`);
    return make("tr", [who, exact(make("td", figure(shown[at])), layer.exact), open, make("td", share)]);
  });
  const heads = [by, "energy", "±", "share"].map((text) => {
    const head = make("th", text);
    head.scope = "col";
    return head;
  });
  const sum = make("th", "= the counter");
  sum.scope = "row";
  const whole = exact(make("td", figure(shown.reduce((a, b) => a + b, 0))), past.joules);
  const foot = make("tr", [sum, whole, make("td", "±0"), make("td", "100 %")]);
  const made = make("table", [make("thead", [make("tr", heads)]), make("tbody", rows), make("tfoot", [foot])], "sums");
  made.setAttribute("aria-label", `Energy by ${by}`);
  return made;
}

function exact(cell, joules) {
  const data = document.createElement("data");
  data.value = joules;
  data.append(...cell.childNodes);
  cell.append(data);
  return cell;
}

// What was used is never 0, and what isn't all never 100.
function percent(part, whole) {
  const share = (100 * part) / whole;
  if (share > 0 && share < 0.05) return "< 0.1 %";
  if (share < 100 && share >= 99.95) return "> 99.9 %";
  return `${share.toFixed(1)} %`;
}

// What an energy may be off by, in the unit of the energy, to two digits.
function short(joules, [size, unit]) {
  const value = joules / size;
  if (value === 0) return "0";
  if (value < 0.001) return `< 0.001 ${unit}`;
  const text = value < 100 ? String(Number(value.toPrecision(2))) : Math.round(value).toLocaleString("en");
  return `${text} ${unit}`;
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
    .map(([method, joules]) => `${percent(Number(joules), total)} ${method}`);
  const asked = past.metered_gpu_s.reduce((a, b) => a + b, 0);
  const tip = make("span", [
    make("span", "The sum is the counter's, to the microjoule; the sensor itself is good for about ±5 %."),
    make("span", `How it was split: ${lines.join(", ") || "nothing yet"}.`),
    make("span", "± of splitting: two standard errors of what was shared between several (the truth is within in 90 to 99 % of cases), at the rate known since the agent started; ±0 where nothing had to be split."),
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
