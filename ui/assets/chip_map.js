// All chips as one picture on a canvas: a cell per chip, a tile per slice, a block per tier.
//
// `data` holds rows, columns, values (row by row, in thousandths; −1: unknown, −2: no chip here),
// tiles ({name, top, left, side, hosts: [[name, chips, reason, first chip's number]…]}), blocks
// ({row, name}: its first row), scale (colours from 0 to 1), unknown (colour), metric, name and
// height (of all cells at most). Titles stand between the blocks, as high as they are read at any
// width: they take no row of the picture.

const UNKNOWN = -1;
const NOTHING = -2;
const TITLE = 20; // pixels above each block
const LOW = 3; // pixels that a row has at least, however narrow the window
const instances = new WeakMap();

class ChipMap {
  constructor(root) {
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.tip = root.querySelector(".tip");
    this.cell = null;
    this.resize = new ResizeObserver(() => this.draw());
    this.resize.observe(root);
    this.canvas.onmousemove = (event) => this.point(this.under(event));
    this.canvas.onmouseleave = this.canvas.onblur = () => this.point(null);
    this.canvas.onkeydown = (event) => this.key(event);
  }

  destroy() {
    this.resize.disconnect();
  }

  show(data) {
    this.data = data;
    this.root.dataset.cells = String(data.values.filter((v) => v !== NOTHING).length);
    this.canvas.setAttribute("aria-label", data.name);
    this.root.style.setProperty("--unknown", data.unknown);
    this.root.style.setProperty("--ramp", `linear-gradient(90deg, ${data.scale.join(", ")})`);
    this.ramp = ramp(data.scale);
    this.homes = homes(data);
    this.width = null;
    this.draw();
    if (this.cell !== null) this.point(this.cell);
  }

  // Cells that fill the width: square, or higher where they would be too low to be seen.
  draw() {
    const width = this.root.clientWidth;
    if (!this.data || !width || width === this.width) return;
    this.width = width;
    const { rows, columns, values, blocks, unknown } = this.data;
    const ratio = devicePixelRatio;
    const square = Math.min(this.data.height, Math.round((rows * width) / columns));
    const cells = Math.max(square, LOW * rows);
    const height = cells + TITLE * blocks.length;
    this.canvas.style.height = `${height}px`;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.across = this.canvas.width / columns;
    this.down = (cells * ratio) / rows;
    const above = (row) => blocks.filter((block) => block.row <= row).length * TITLE * ratio;
    this.tops = Array.from({ length: rows }, (_, row) => above(row) + row * this.down);
    const gap = this.across > 8 * ratio ? ratio : 0.4 * ratio;
    const context = this.canvas.getContext("2d");
    values.forEach((value, i) => {
      if (value === NOTHING) return;
      context.fillStyle = value === UNKNOWN ? unknown : this.ramp[Math.round(value / 10)];
      const [x, y] = [(i % columns) * this.across, this.tops[Math.floor(i / columns)]];
      context.fillRect(x, y, this.across - gap, this.down - gap);
    });
    const style = getComputedStyle(this.root);
    context.fillStyle = style.color;
    context.font = `${11 * ratio}px ${style.fontFamily}`;
    context.textBaseline = "bottom";
    for (const block of blocks) {
      context.fillText(block.name, 1, this.tops[block.row] - 3 * ratio, this.canvas.width - 2);
    }
  }

  under(event) {
    const box = this.canvas.getBoundingClientRect();
    const { columns } = this.data;
    const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
    const y = ((event.clientY - box.top) / box.height) * this.canvas.height;
    const row = this.tops.findLastIndex((top) => top <= y);
    const inside = row >= 0 && y < this.tops[row] + this.down;
    return inside ? row * columns + column : null;
  }

  point(cell) {
    const tile = cell === null ? undefined : this.homes[cell];
    this.cell = tile ? cell : null;
    this.tip.hidden = !tile;
    if (!tile) return;
    const { columns, values, metric } = this.data;
    const [row, column] = [Math.floor(cell / columns), cell % columns];
    this.tip.replaceChildren(tile.name, document.createElement("br"));
    this.tip.append(this.chip(tile, (row - tile.top) * tile.side + column - tile.left));
    const figure = document.createElement("b");
    figure.textContent = values[cell] === UNKNOWN ? "unknown" : `${values[cell] / 10}%`;
    this.tip.append(document.createElement("br"), `${metric} `, figure);
    const box = this.canvas.getBoundingClientRect();
    const x = (column + 1) * (box.width / columns) + 8;
    const wide = this.tip.offsetWidth;
    this.tip.style.left = `${x + wide > box.width ? Math.max(0, x - wide - 24) : x}px`;
    const bottom = ((this.tops[row] + this.down) / this.canvas.height) * box.height;
    this.tip.style.top = `${this.canvas.offsetTop + bottom}px`;
  }

  // Which chip of which host the tile's i-th cell is.
  chip(tile, i) {
    let before = 0;
    for (const [name, chips, reason] of tile.hosts) {
      if (i < before + chips) return `${name} chip ${i - before}${reason ? `: ${reason}` : ""}`;
      before += chips;
    }
    return "the cloud shows no host";
  }

  key(event) {
    const moves = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.data.columns, ArrowDown: this.data.columns,
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    let cell = this.cell ?? this.data.values.findIndex((v) => v !== NOTHING) - moves[event.key];
    do cell += moves[event.key];
    while (cell >= 0 && cell < this.data.values.length && !this.homes[cell]);
    if (this.homes[cell]) this.point(cell);
  }
}

// 101 colours, one per percent, between those of the scale.
function ramp(scale) {
  const rgb = scale.map((c) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16)));
  return Array.from({ length: 101 }, (_, percent) => {
    const at = (percent / 100) * (rgb.length - 1);
    const low = Math.min(Math.floor(at), rgb.length - 2);
    const mixed = rgb[low].map((c, i) => Math.round(c + (rgb[low + 1][i] - c) * (at - low)));
    return `rgb(${mixed.join(",")})`;
  });
}

// The tile of every cell that holds a chip.
function homes({ tiles, columns, values }) {
  const found = new Array(values.length);
  for (const tile of tiles) {
    for (let i = 0; i < tile.chips; i++) {
      const row = tile.top + Math.floor(i / tile.side);
      found[row * columns + tile.left + (i % tile.side)] = tile;
    }
  }
  return found;
}

export default function draw({ data, parentElement }) {
  const root = parentElement.querySelector(".map");
  if (!instances.has(root)) instances.set(root, new ChipMap(root));
  instances.get(root).show(data);
  return () => {
    instances.get(root)?.destroy();
    instances.delete(root);
  };
}
