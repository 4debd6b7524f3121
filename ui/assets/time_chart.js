// A chart over time on uPlot: what `ui/charts.py` describes, drawn on one canvas.
//
// `data` holds x (Unix seconds), lines ({name, colour, dash, width, y}), unit ({title, kind,
// written}), range ([from, to]), span (length of the chosen time range), marks ({at, tint, text}),
// limit ({value, name, colour}), near (the axis need not begin at zero), name and file. Charts of a
// page share their cursor, their hidden lines and their zoom; these outlive a refresh of the data.

const SYNC = "heartwood";
const DAY = 86400;
const PREFIXES = [[1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]];
const instances = new WeakMap();
// Each chart's script is a module of its own, so what all charts share hangs on the window.
const shared = (window.heartwoodCharts ??= {
  zoom: null, span: null, hidden: new Set(), all: new Set(),
});

const two = (n) => String(n).padStart(2, "0");
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const clock = (d) => `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}`;
const day = (d) => `${two(d.getUTCDate())} ${MONTHS[d.getUTCMonth()]}`;
const utc = (seconds) => new Date(seconds * 1000);

function plain(value, digits) {
  return String(Number(value.toPrecision(digits)));
}

// A value in the chart's unit, as ticks (few digits) and the tooltip (three) write it.
function written(value, unit, digits = 3) {
  if (value === null || value === undefined) return "unknown";
  if (unit.kind === "percent") return `${plain(value * 100, digits)}%`;
  if (unit.kind === "seconds") {
    return Math.abs(value) < 1 && value !== 0
      ? `${plain(value * 1000, digits)} ms` : `${plain(value, digits)} s`;
  }
  const size = Math.abs(value);
  const [factor, prefix] = PREFIXES.find(([f]) => size >= f) ?? [1, ""];
  return `${unit.kind === "dollars" ? "$" : ""}${plain(value / factor, digits)}${prefix}`;
}

function timeTicks(plot, splits) {
  const step = splits.length > 1 ? splits[1] - splits[0] : 0;
  let before = null;
  return splits.map((at) => {
    const moment = utc(at);
    const changed = day(moment) !== before;
    before = day(moment);
    if (step >= DAY) return day(moment);
    return changed && moment.getUTCHours() === 0 && moment.getUTCMinutes() === 0
      ? day(moment) : clock(moment);
  });
}

function element(tag, className, parent, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  parent?.append(made);
  return made;
}

function theme(host) {
  const style = getComputedStyle(host);
  const pick = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
  return {
    text: pick("--st-text-color", "#333"),
    line: pick("--st-border-color", "#ddd"),
    font: `11px ${pick("--st-font", "sans-serif")}`,
  };
}

class TimeChart {
  constructor(root) {
    this.root = root;
    this.unit = root.querySelector(".unit");
    this.legend = root.querySelector(".legend");
    this.body = root.querySelector(".body");
    this.tip = root.querySelector(".tip");
    this.reset = root.querySelector(".reset");
    this.save = root.querySelector(".save");
    this.resize = new ResizeObserver(() => this.fit());
    this.resize.observe(this.body);
    this.body.onkeydown = (event) => this.key(event);
    this.body.onblur = () => this.hide();
    this.reset.onclick = () => this.zoom(null);
    this.save.onclick = () => this.download();
    shared.all.add(this);
  }

  destroy() {
    this.resize.disconnect();
    this.plot?.destroy();
    shared.all.delete(this);
    if (shared.all.size === 0) shared.zoom = null;
  }

  // Draw `data`; a plot of the same lines keeps its state and only takes the new figures.
  show(data) {
    this.data = data;
    this.root.style.setProperty("--height", `${data.height}px`);
    this.colours = theme(this.root);
    if (shared.span !== data.span) Object.assign(shared, { span: data.span, zoom: null });
    this.unit.textContent = data.unit.title;
    const columns = [data.x, ...data.lines.map((line) => line.y)];
    const looks = JSON.stringify([
      data.lines.map((l) => [l.name, l.colour, l.dash]), data.unit, this.colours,
    ]);
    this.body.setAttribute("aria-label", data.name);
    this.root.dataset.points = String(data.x.length);
    this.root.dataset.marks = data.marks.map((mark) => mark.text).join("\n");
    if (this.plot && looks === this.looks) {
      this.plot.batch(() => {
        this.plot.setData(columns, false);
        this.apply();
      });
      return;
    }
    this.looks = looks;
    this.plot?.destroy();
    this.plot = new uPlot(this.options(), columns, this.body);
    this.drawLegend();
    this.apply();
  }

  get range() {
    return shared.zoom ?? this.data.range;
  }

  apply() {
    const [min, max] = this.range;
    this.reset.hidden = shared.zoom === null;
    this.plot.setScale("x", { min, max });
  }

  // Zoom all charts of the page to [from, to]; null: back to the whole range.
  zoom(range) {
    shared.zoom = range;
    for (const chart of shared.all) if (chart.plot) chart.apply();
  }

  fit() {
    const width = this.body.clientWidth;
    const height = this.body.clientHeight;
    if (this.plot && width && (width !== this.plot.width || height !== this.plot.height)) {
      this.plot.setSize({ width, height });
    }
  }

  options() {
    const { data, colours } = this;
    const axis = {
      stroke: colours.text, font: colours.font, labelFont: colours.font,
      grid: { stroke: colours.line, width: 1 }, ticks: { stroke: colours.line, size: 4 },
    };
    return {
      width: this.body.clientWidth || 400,
      height: this.body.clientHeight || 180,
      legend: { show: false },
      padding: [8, 10, 0, 0],
      tzDate: (seconds) => uPlot.tzDate(utc(seconds), "Etc/UTC"),
      cursor: {
        sync: { key: SYNC, setSeries: false },
        drag: { x: true, y: false, setScale: false },
        points: { size: 6 },
        y: false,
      },
      focus: { alpha: 0.25 },
      scales: {
        x: { time: true, range: (plot, min, max) => [min ?? data.range[0], max ?? data.range[1]] },
        y: { range: (plot, min, max) => this.rangeOf(min, max) },
      },
      axes: [
        { ...axis, grid: { show: false }, space: 64, values: timeTicks, size: 26 },
        {
          ...axis, space: 34, size: (plot, values) => this.room(plot, values),
          values: (plot, splits) => splits.map((v) => written(v, data.unit)),
        },
      ],
      series: [{}, ...data.lines.map((line) => this.series(line))],
      hooks: {
        draw: [() => this.drawOver()],
        setCursor: [() => this.hover()],
        setSelect: [(plot) => this.selected(plot)],
        ready: [(plot) => plot.over.addEventListener("dblclick", () => this.zoom(null))],
      },
    };
  }

  series(line) {
    const few = line.y.reduce((n, v) => n + (v !== null), 0) < 3;
    return {
      label: line.name, stroke: line.colour, width: line.width, dash: line.dash,
      spanGaps: false, show: !shared.hidden.has(line.name),
      points: few ? { show: true, size: 5, fill: line.colour } : { size: 4, fill: line.colour },
    };
  }

  // From zero to the greatest value shown, or around what is shown; a limit line is always within.
  rangeOf(min, max) {
    if (this.data.near && max !== null && max !== undefined) {
      const limit = this.data.limit?.value ?? max;
      const [low, high] = [Math.min(min, limit), Math.max(max, limit)];
      const room = Math.max(0.08 * (high - low), 0.005 * Math.abs(high));
      return [low - room, high + room];
    }
    const top = Math.max(max ?? 0, this.data.limit?.value ?? 0);
    return [Math.min(min ?? 0, 0), top > 0 ? top * 1.06 : 1];
  }

  room(plot, values) {
    const longest = (values ?? []).reduce((n, v) => Math.max(n, v.length), 2);
    return 14 + longest * 6.2;
  }

  selected(plot) {
    const { left, width } = plot.select;
    if (width > 4) this.zoom([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  }

  drawOver() {
    const { ctx, bbox } = this.plot;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.lineWidth = ratio;
    for (const mark of this.data.marks) this.drawMark(ctx, bbox, ratio, mark);
    if (this.data.limit) this.drawLimit(ctx, bbox, ratio, this.data.limit);
    ctx.restore();
  }

  drawMark(ctx, bbox, ratio, mark) {
    const x = Math.round(this.plot.valToPos(mark.at, "x", true));
    if (x < bbox.left || x > bbox.left + bbox.width) return;
    ctx.strokeStyle = ctx.fillStyle = mark.tint;
    ctx.globalAlpha = 0.6;
    ctx.setLineDash([2 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.globalAlpha = 1;
    ctx.beginPath();
    ctx.moveTo(x - 4.5 * ratio, bbox.top - 6 * ratio);
    ctx.lineTo(x + 4.5 * ratio, bbox.top - 6 * ratio);
    ctx.lineTo(x, bbox.top + ratio);
    ctx.fill();
  }

  drawLimit(ctx, bbox, ratio, limit) {
    const y = Math.round(this.plot.valToPos(limit.value, "y", true));
    ctx.strokeStyle = ctx.fillStyle = limit.colour;
    ctx.setLineDash([5 * ratio, 4 * ratio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.font = this.colours.font.replace("11px", `${10 * ratio}px`);
    ctx.textAlign = "left";
    ctx.textBaseline = "bottom";
    ctx.fillText(limit.name, bbox.left + 3 * ratio, y - ratio);
  }

  drawLegend() {
    this.legend.replaceChildren();
    if (this.data.lines.length < 2) return;
    this.data.lines.forEach((line, index) => {
      const entry = element("button", "entry", this.legend);
      const swatch = element("span", line.dash.length ? "swatch dashed" : "swatch", entry);
      swatch.style.setProperty("--colour", line.colour);
      element("span", "", entry, line.name);
      entry.title = "Click: hide or show. Alt and click: this one alone.";
      entry.setAttribute("aria-pressed", String(!shared.hidden.has(line.name)));
      entry.onclick = (event) => this.toggle(line.name, event.altKey);
      entry.onmouseenter = () => this.plot.setSeries(index + 1, { focus: true });
      entry.onmouseleave = () => this.plot.setSeries(null, { focus: true });
    });
  }

  // Hide or show the lines of that name on every chart of the page; `alone`: all others go.
  toggle(name, alone) {
    const names = this.data.lines.map((line) => line.name);
    const others = names.filter((other) => other !== name);
    if (alone) {
      const already = !shared.hidden.has(name) && others.every((o) => shared.hidden.has(o));
      others.forEach((other) => shared.hidden[already ? "delete" : "add"](other));
      shared.hidden.delete(name);
    } else if (!shared.hidden.delete(name)) shared.hidden.add(name);
    for (const chart of shared.all) chart.showHidden();
  }

  showHidden() {
    if (!this.plot) return;
    this.plot.batch(() => this.data.lines.forEach((line, index) => {
      const show = !shared.hidden.has(line.name);
      if (this.plot.series[index + 1].show !== show) this.plot.setSeries(index + 1, { show });
    }));
    this.drawLegend();
  }

  hide() {
    this.tip.hidden = true;
  }

  hover() {
    const { left, idx } = this.plot.cursor;
    // The other charts of the page show where the cursor is, and no figures in the way.
    const here = this.root.matches(":hover, :focus-within");
    if (!here || idx === null || idx === undefined || left < 0) return this.hide();
    const at = this.data.x[idx];
    if (at === undefined) return this.hide();
    this.tip.replaceChildren();
    const moment = utc(at);
    element("div", "when", this.tip, `${day(moment)} ${clock(moment)} UTC`);
    this.data.lines.forEach((line) => {
      if (shared.hidden.has(line.name)) return;
      const row = element("div", "row", this.tip);
      element("span", "dot", row).style.background = line.colour;
      element("span", "label", row, line.name);
      element("span", "value", row, written(line.y[idx], this.data.unit));
    });
    const near = this.data.marks.filter(
      (mark) => Math.abs(this.plot.valToPos(mark.at, "x") - left) < 7);
    near.forEach((mark) => element("div", "mark", this.tip, mark.text));
    this.place(left);
  }

  place(left) {
    this.tip.hidden = false;
    const origin = this.plot.over.offsetLeft + this.body.offsetLeft;
    const room = this.root.clientWidth;
    const width = this.tip.offsetWidth;
    const right = origin + left + 12;
    this.tip.style.left = `${Math.max(0, right + width > room ? right - width - 24 : right)}px`;
    this.tip.style.top = `${this.body.offsetTop + 10}px`;
  }

  // Arrows move the cursor, + and − zoom around it, Escape shows everything again.
  key(event) {
    const { plot } = this;
    const [min, max] = this.range;
    const idx = plot.cursor.idx ?? this.data.x.length - 1;
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
    if (event.key in moves) {
      const next = Math.min(Math.max(idx + moves[event.key], 0), this.data.x.length - 1);
      plot.setCursor({ left: plot.valToPos(this.data.x[next], "x"), top: 10 });
    } else if (event.key === "+" || event.key === "-") {
      const middle = this.data.x[idx] ?? (min + max) / 2;
      const half = ((max - min) / 2) * (event.key === "+" ? 0.5 : 2);
      const [from, to] = this.data.range;
      this.zoom(2 * half >= to - from
        ? null : [Math.max(from, middle - half), Math.min(to, middle + half)]);
    } else if (event.key === "Escape") this.zoom(null);
    else return;
    event.preventDefault();
  }

  download() {
    const { data } = this;
    const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
    const unit = data.unit.written ? ` (${data.unit.written})` : "";
    const rows = [["time (UTC)", ...data.lines.map((l) => quoted(l.name + unit))].join(",")];
    data.x.forEach((at, i) => {
      rows.push([utc(at).toISOString(), ...data.lines.map((l) => l.y[i] ?? "")].join(","));
    });
    const url = URL.createObjectURL(new Blob([rows.join("\n")], { type: "text/csv" }));
    const link = element("a", "", null);
    link.href = url;
    link.download = `${data.file}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }
}

export default function draw({ data, parentElement }) {
  const root = parentElement.querySelector(".chart");
  if (!instances.has(root)) instances.set(root, new TimeChart(root));
  instances.get(root).show(data);
  return () => {
    instances.get(root)?.destroy();
    instances.delete(root);
  };
}
