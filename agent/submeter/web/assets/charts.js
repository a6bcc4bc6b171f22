// Numbers in, drawings on a canvas out. Colours are the style sheet's.

const WINDOW_MS = 60000;
const BEHIND_MS = 700; // what is shown is so old, so that a line grows evenly though events come in batches
const KEEP = 12000; // values: a minute at 100 Hz, and some

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

// A minute of power at the rate of the sensor.
export class Trace {
  constructor(canvas) {
    this.canvas = canvas;
    this.limit = 0;
    this.times = [];
    this.watts = [];
    this.offset = null; // of the browser's clock from the agent's
    this.top = 1;
    this.most = 1;
    seen.observe(canvas);
  }

  add(at, watts) {
    const last = this.times.at(-1);
    if (last !== undefined && at < last - 1000) this.clear(); // the agent's clock began anew
    if (last !== undefined && at < last) return;
    this.times.push(at);
    this.watts.push(watts);
    this.most = Math.max(this.most * 0.9995, watts);
    const offset = performance.now() - at;
    this.offset = this.offset === null || offset < this.offset ? offset : this.offset + 0.01;
    if (this.times.length > KEEP) {
      this.times.splice(0, KEEP / 4);
      this.watts.splice(0, KEEP / 4);
    }
  }

  clear() {
    this.times.length = this.watts.length = 0;
    this.offset = null;
  }

  end() {
    seen.unobserve(this.canvas);
  }

  draw() {
    if (this.canvas.seen === false || document.hidden) return;
    const { pen, width, height } = sized(this.canvas);
    const most = Math.max(this.limit, this.most) * 1.05;
    this.top += (most - this.top) * 0.2;
    const y = (watts) => height - 1 - (watts / this.top) * (height - 14);
    pen.font = "11px system-ui, sans-serif";
    this.lines(pen, width, y);
    if (!this.times.length) {
      pen.fillStyle = colour("quiet");
      pen.fillText("waiting for the sensors…", 6, height / 2);
      return;
    }
    const end = performance.now() - this.offset - BEHIND_MS;
    const x = (at) => width - ((end - at) / WINDOW_MS) * width;
    let first = this.times.length - 1;
    while (first > 0 && this.times[first] > end - WINDOW_MS) first -= 1;
    const path = new Path2D();
    path.moveTo(x(this.times[first]), y(this.watts[first]));
    let last = this.watts[first];
    for (let at = first + 1; at < this.times.length && this.times[at] <= end; at += 1) {
      // a value is what was since the one before: a staircase, and a gap where none came for long
      const here = x(this.times[at]);
      if (this.times[at] - this.times[at - 1] > 5000) path.moveTo(here, y(this.watts[at]));
      else path.lineTo(here, y(last));
      path.lineTo(here, y(this.watts[at]));
      last = this.watts[at];
    }
    pen.strokeStyle = colour("blue");
    pen.lineWidth = 1.5;
    pen.stroke(path);
  }

  lines(pen, width, y) {
    pen.strokeStyle = colour("line");
    pen.fillStyle = colour("quiet");
    pen.lineWidth = 1;
    const levels = this.limit ? [0, this.limit] : [0];
    for (const watts of levels) {
      pen.setLineDash(watts ? [5, 4] : []);
      pen.beginPath();
      pen.moveTo(0, Math.round(y(watts)) + 0.5);
      pen.lineTo(width, Math.round(y(watts)) + 0.5);
      pen.stroke();
      if (watts) pen.fillText(`${watts.toLocaleString("en")} W limit`, 4, y(watts) - 3);
    }
    pen.setLineDash([]);
  }
}

const STRIPES = 4;

// Areas on top of each other; `layers` are { name, colour, values }, a value is a mean power in W or
// null where nothing was metered. `whole` is what they must add up to: the counter, drawn as a line.
export function areas(canvas, layers, whole, labels) {
  const { pen, width, height } = sized(canvas);
  const left = 52;
  const bottom = 18;
  const most = Math.max(...whole.map((each) => each ?? 0), 1);
  const step = [1, 2, 5].flatMap((each) => [each, each * 10, each * 100, each * 1e3, each * 1e4])
    .sort((a, b) => a - b).find((each) => each * STRIPES >= most) ?? most;
  const top = Math.ceil(most / step) * step;
  const y = (watts) => height - bottom - (watts / top) * (height - bottom - 8);
  const x = (at) => left + (at / whole.length) * (width - left);
  pen.font = "11px system-ui, sans-serif";
  pen.fillStyle = colour("quiet");
  pen.strokeStyle = colour("line");
  pen.textAlign = "right";
  for (let watts = 0; watts <= top; watts += step) {
    pen.fillText(`${watts.toLocaleString("en")} W`, left - 6, y(watts) + 4);
    pen.beginPath();
    pen.moveTo(left, Math.round(y(watts)) + 0.5);
    pen.lineTo(width, Math.round(y(watts)) + 0.5);
    pen.stroke();
  }
  const base = whole.map(() => 0);
  for (const layer of layers) {
    pen.fillStyle = layer.colour;
    pen.globalAlpha = layer.alpha ?? 1;
    layer.values.forEach((watts, at) => {
      if (!watts) return;
      pen.fillRect(x(at), y(base[at] + watts), x(at + 1) - x(at) + 0.4, y(base[at]) - y(base[at] + watts));
      base[at] += watts;
    });
  }
  pen.globalAlpha = 1;
  pen.strokeStyle = colour("ink");
  pen.lineWidth = 1.5;
  pen.beginPath();
  let drawn = false;
  whole.forEach((watts, at) => {
    if (watts === null) {
      drawn = false;
      return;
    }
    if (drawn) pen.lineTo(x(at), y(watts));
    else pen.moveTo(x(at), y(watts));
    pen.lineTo(x(at + 1), y(watts));
    drawn = true;
  });
  pen.stroke();
  pen.lineWidth = 1;
  pen.fillStyle = colour("quiet");
  pen.textAlign = "left";
  pen.fillText(labels[0], left, height - 4);
  pen.textAlign = "right";
  pen.fillText(labels[1], width, height - 4);
}
