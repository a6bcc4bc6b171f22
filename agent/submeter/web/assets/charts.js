// Numbers in, drawings on a canvas out. Colours are the style sheet's.

const WINDOW_MS = 60000;
const BEHIND_MS = 2200; // what is shown is so old, so that a line grows evenly though events come in batches
const KEEP = 12000; // values: a minute at 100 Hz, and some
const GAP_MS = 5000;
const ANEW_MS = 5000; // so far back no reading is late any more: it is of another clock, or of a minute told again
const FONT = "11px system-ui, sans-serif";

const colours = new Map(); // asking the style sheet sixty times a second would cost more than drawing
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => colours.clear());

export function colour(name) {
  if (!colours.has(name)) {
    const style = getComputedStyle(document.documentElement);
    colours.set(name, style.getPropertyValue(`--${name}`).trim());
  }
  return colours.get(name);
}

function sized(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) target.seen = isIntersecting;
});

const watts = (value) => `${Math.round(value).toLocaleString("en")} W`;

// The largest round number of thirds that leaves at most three lines.
function roundStep(most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 1)));
  return [0.5, 1, 2, 5].map((each) => each * power).find((each) => most / each <= 3) ?? power;
}

// A minute of power at the rate of the sensor. It is drawn anew when it has moved by a pixel.
export class Trace {
  constructor(canvas) {
    this.canvas = canvas;
    this.limit = 0;
    this.offset = null; // of the browser's clock from the agent's
    this.top = 0;
    this.most = 1;
    this.drawn = "";
    this.clear();
    seen.observe(canvas);
  }

  // Whether a value of that moment is news: later by so much, or the agent's clock began anew.
  wants(at, grain = 0) {
    const last = this.times.at(-1);
    return last === undefined || at < last - ANEW_MS || (at > last && at >= last + grain);
  }

  add(at, value) {
    if (!this.wants(at)) return;
    if (at < this.times.at(-1)) this.clear();
    this.times.push(at);
    this.watts.push(value);
    this.most = Math.max(this.most * 0.9995, value);
    if (this.times.length > KEEP) {
      this.times.splice(0, KEEP / 4);
      this.watts.splice(0, KEEP / 4);
    }
  }

  // What came just now is of now: the least delay there was counts, and drifts are followed.
  heard(at) {
    const offset = performance.now() - at;
    const jumped = this.offset === null || Math.abs(offset - this.offset) > 5000;
    this.offset = jumped || offset < this.offset ? offset : this.offset + 0.1;
  }

  clear() {
    this.times = [];
    this.watts = [];
    this.offset = null;
  }

  end() {
    seen.unobserve(this.canvas);
  }

  draw(now) {
    if (this.canvas.seen === false) return;
    const end = this.offset === null ? 0 : now - this.offset - BEHIND_MS;
    const wide = this.canvas.clientWidth * (window.devicePixelRatio || 1);
    const most = Math.max(this.limit, this.most) * 1.05;
    this.top += (most - this.top) * (this.top ? 0.2 : 1);
    const state = [Math.floor((end / WINDOW_MS) * wide), Math.round(this.top), wide, this.limit,
      this.times.length > 0, colour("blue")].join();
    if (state === this.drawn) return;
    this.drawn = state;
    const { pen, width, height } = sized(this.canvas);
    const bottom = height - 13;
    const y = (value) => bottom - (value / this.top) * (bottom - 4);
    pen.font = FONT;
    const labels = this.scale(pen, width, height, y);
    if (!this.times.length) {
      pen.fillStyle = colour("quiet");
      pen.fillText("waiting for the sensors…", 6, height / 2);
      return;
    }
    this.line(pen, end, y, (at) => width - ((end - at) / WINDOW_MS) * width, bottom);
    for (const [text, place] of labels) halo(pen, text, 2, place);
  }

  // A value is what was since the one before: a staircase, and a gap where none came for long. What
  // falls on one pixel is one stroke from its lowest to its highest.
  line(pen, end, y, x, bottom) {
    const { times, watts: values } = this;
    let at = times.length - 1;
    while (at > 0 && times[at] > end - WINDOW_MS) at -= 1;
    const path = new Path2D();
    const below = new Path2D();
    let begun = x(times[at]);
    let pixel = begun;
    let last = values[at];
    path.moveTo(pixel, y(last));
    below.moveTo(pixel, bottom);
    below.lineTo(pixel, y(last));
    for (at += 1; at < times.length && times[at] <= end; at += 1) {
      const here = x(times[at]);
      const level = y(values[at]);
      if (times[at] - times[at - 1] > GAP_MS) {
        below.lineTo(pixel, bottom);
        below.lineTo(here, bottom);
        path.moveTo(here, level);
        below.lineTo(here, level);
        begun = here;
      } else if (here - pixel >= 0.5 || here === begun) {
        path.lineTo(here, y(last));
        path.lineTo(here, level);
        below.lineTo(here, y(last));
        below.lineTo(here, level);
      } else {
        path.lineTo(pixel, level);
        last = values[at];
        continue;
      }
      pixel = here;
      last = values[at];
    }
    below.lineTo(pixel, bottom);
    pen.globalAlpha = 0.13;
    pen.fillStyle = colour("blue");
    pen.fill(below);
    pen.globalAlpha = 1;
    pen.strokeStyle = colour("blue");
    pen.lineWidth = 1.5;
    pen.stroke(path);
  }

  scale(pen, width, height, y) {
    pen.strokeStyle = colour("line");
    pen.fillStyle = colour("quiet");
    pen.lineWidth = 1;
    const step = roundStep(this.top);
    const levels = [0];
    const labels = [];
    for (let value = step; value < this.top; value += step) {
      const nearLimit = this.limit && Math.abs(y(value) - y(this.limit)) < 14;
      if (!nearLimit && y(value) > 10) levels.push(value);
    }
    if (this.limit) levels.push(this.limit);
    for (const value of levels) {
      const isLimit = value === this.limit && value > 0;
      pen.setLineDash(isLimit ? [5, 4] : []);
      pen.beginPath();
      pen.moveTo(0, Math.round(y(value)) + 0.5);
      pen.lineTo(width, Math.round(y(value)) + 0.5);
      pen.stroke();
      if (value) labels.push([isLimit ? `${watts(value)} limit` : watts(value), y(value) + 11]);
    }
    pen.setLineDash([]);
    pen.fillText("1 min ago", 2, height - 2);
    pen.textAlign = "right";
    pen.fillText("now", width - 2, height - 2);
    pen.textAlign = "left";
    return labels;
  }
}

// Readable on what is drawn.
function halo(pen, text, x, y) {
  pen.strokeStyle = colour("card");
  pen.fillStyle = colour("quiet");
  pen.lineWidth = 3;
  pen.lineJoin = "round";
  pen.strokeText(text, x, y);
  pen.fillText(text, x, y);
}

const STRIPES = 4;

// Areas on top of each other; `layers` are { name, colour, values }, a value is a mean power in W or
// null where nothing was metered. `whole` is what they must add up to: the counter, drawn as a line.
// `at`: the step that is pointed at, or -1. Gives which step is at a place of the canvas.
export function areas(canvas, layers, whole, labels, at = -1) {
  const { pen, width, height } = sized(canvas);
  const left = 58;
  const bottom = 18;
  const most = Math.max(...whole.map((each) => each ?? 0), 1);
  const step = [1, 2, 5].flatMap((each) => [each, each * 10, each * 100, each * 1e3, each * 1e4])
    .sort((a, b) => a - b).find((each) => each * STRIPES >= most) ?? most;
  const top = Math.ceil(most / step) * step;
  const y = (value) => height - bottom - (value / top) * (height - bottom - 8);
  const x = (step) => left + (step / whole.length) * (width - left);
  pen.font = FONT;
  pen.fillStyle = colour("quiet");
  pen.strokeStyle = colour("line");
  pen.textAlign = "right";
  for (let value = 0; value <= top; value += step) {
    pen.fillText(watts(value), left - 6, y(value) + 4);
    pen.beginPath();
    pen.moveTo(left, Math.round(y(value)) + 0.5);
    pen.lineTo(width, Math.round(y(value)) + 0.5);
    pen.stroke();
  }
  const base = whole.map(() => 0);
  for (const layer of layers) {
    pen.fillStyle = layer.colour;
    pen.globalAlpha = layer.alpha ?? 1;
    layer.values.forEach((value, step) => {
      if (!value) return;
      const foot = y(base[step]);
      base[step] += value;
      pen.fillRect(x(step), y(base[step]), x(step + 1) - x(step) + 0.4, foot - y(base[step]));
    });
  }
  pen.globalAlpha = 1;
  pen.strokeStyle = colour("ink");
  pen.lineWidth = 1.5;
  pen.beginPath();
  let drawn = false;
  whole.forEach((value, step) => {
    if (value === null) {
      drawn = false;
      return;
    }
    if (drawn) pen.lineTo(x(step), y(value));
    else pen.moveTo(x(step), y(value));
    pen.lineTo(x(step + 1), y(value));
    drawn = true;
  });
  pen.stroke();
  pen.lineWidth = 1;
  if (at >= 0) {
    pen.strokeRect(x(at) + 0.5, 4.5, Math.max(1, x(at + 1) - x(at) - 1), height - bottom - 5);
  }
  pen.fillStyle = colour("quiet");
  pen.textAlign = "left";
  pen.fillText(labels[0], left, height - 4);
  pen.textAlign = "right";
  pen.fillText(labels[1], width, height - 4);
  return (place) => {
    const step = Math.floor(((place - left) / (width - left)) * whole.length);
    return step >= 0 && step < whole.length ? step : -1;
  };
}
