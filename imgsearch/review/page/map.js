// The map: all images as points; zoom, pan, hover, colour by a column, a lasso that names what is in it.
import { html, useEffect, useMemo, useRef, useState } from "/assets/vendor/preact-htm.js";
import { get } from "/assets/api.js";
import { Message, NameField, Picture, count, plural } from "/assets/parts.js";

const PALETTE = ["#1b9e77", "#d95f02", "#7570b3", "#e7298a", "#66a61e", "#e6ab02", "#a6761d", "#1f78b4", "#b2182b", "#35978f", "#8c6bb1", "#525252"];
const OTHER = "#a8b0ac";
const GRID = 64; // cells a side, for finding the nearest point
const LASSO_IMAGES = 10000;

let kept = null; // points, while the page is open

export function MapPage({ summary, act, edition }) {
  const [points, setPoints] = useState(kept);
  const [error, setError] = useState(null);
  const [by, setBy] = useState("label");
  const [colours, setColours] = useState(null);
  useEffect(() => {
    if (points) return undefined;
    let timer;
    const ask = () => get("/api/map").then(
      (value) => { if (value.ready) { kept = value; setPoints(value); } else if (value.problem) setError(value.problem); else timer = setTimeout(ask, 1500); },
      (e) => setError(e.message),
    );
    ask();
    return () => clearTimeout(timer);
  }, []);
  useEffect(() => {
    if (points) get("/api/map/colours", { by }).then(setColours, (e) => setError(e.message));
  }, [points, by, edition]);
  if (error) return html`<${Message} error=${error} />`;
  if (!points) return html`<p class="loading">The map is being made, once: about half a minute …</p>`;
  return html`<${Canvas} ...${{ points, colours, by, setBy, summary, act }} />`;
}

function Canvas({ points, colours, by, setBy, summary, act }) {
  const canvas = useRef(null);
  const view = useRef({ x: middle(points.x), y: middle(points.y), scale: 0.94 }); // the middle of what is seen, and the magnification
  const [, redrawn] = useState(0);
  const [hover, setHover] = useState(null);
  const [tool, setTool] = useState("move");
  const [lasso, setLasso] = useState([]);
  const [selected, setSelected] = useState([]);
  const drag = useRef(null);
  const grid = useMemo(() => gridOf(points), [points]);
  const frame = useRef(0);
  const draw = () => {
    cancelAnimationFrame(frame.current);
    frame.current = requestAnimationFrame(() => paint(canvas.current, points, colours, view.current, lasso, selected));
  };
  useEffect(draw, [points, colours, lasso, selected, tool]);
  useEffect(() => {
    addEventListener("resize", draw);
    return () => removeEventListener("resize", draw);
  });
  const at = (event) => {
    const r = canvas.current.getBoundingClientRect();
    return toMap(event.clientX - r.left, event.clientY - r.top, r.width, r.height, view.current);
  };
  const wheel = (event) => {
    event.preventDefault();
    const v = view.current, p = at(event), factor = Math.exp(-event.deltaY * 0.0015);
    const scale = Math.min(60, Math.max(0.7, v.scale * factor)), f = v.scale / scale;
    view.current = { scale, x: p.x + (v.x - p.x) * f, y: p.y + (v.y - p.y) * f };
    setHover(null); draw();
  };
  useEffect(() => {
    const c = canvas.current;
    c.addEventListener("wheel", wheel, { passive: false });
    return () => c.removeEventListener("wheel", wheel);
  });
  const down = (event) => {
    canvas.current.setPointerCapture(event.pointerId);
    drag.current = { lasso: tool === "lasso" || event.shiftKey, from: at(event), moved: false };
    if (drag.current.lasso) { setSelected([]); setLasso([at(event)]); }
  };
  const move = (event) => {
    const d = drag.current, p = at(event);
    if (!d) { setHover(nearest(points, grid, p, 14 / side(canvas.current, view.current))); return; }
    d.moved = true;
    if (d.lasso) setLasso((before) => [...before, p]);
    else { view.current.x -= p.x - d.from.x; view.current.y -= p.y - d.from.y; setHover(null); draw(); }
  };
  const up = (event) => {
    const d = drag.current;
    drag.current = null;
    if (d && d.lasso) { setSelected(lasso.length > 2 ? inside(points, lasso) : []); setLasso([]); setTool("move"); }
    else if (d && !d.moved) { const i = nearest(points, grid, at(event), 14 / side(canvas.current, view.current)); if (i !== null) location.hash = `#/image/${points.ids[i]}`; }
  };
  const name = async (label) => {
    if (!label) return;
    if (await act({ kind: "image", action: "name", image_ids: selected.map((i) => points.ids[i]), label })) setSelected([]);
  };
  const zoom = (factor) => { view.current.scale = Math.min(60, Math.max(0.7, view.current.scale * factor)); draw(); redrawn((n) => n + 1); };
  const shown = selected.length ? selected.slice(0, 12) : hover !== null ? [hover] : [];
  return html`<div class="map">
    <div class="bar"><label>colour by <select value=${by} onChange=${(e) => setBy(e.target.value)}>${points.columns.map((c) => html`<option key=${c} value=${c}>${c}</option>`)}</select></label>
      <button aria-pressed=${tool === "lasso"} onClick=${() => setTool(tool === "lasso" ? "move" : "lasso")}>lasso</button>
      <button onClick=${() => zoom(1.5)} aria-label="zoom in">+</button><button onClick=${() => zoom(1 / 1.5)} aria-label="zoom out">−</button>
      <span class="hint">Wheel zooms, dragging moves, Shift and dragging draws a lasso, a click opens the image. ${points.ids.length < points.n ? `${count(points.ids.length)} of ${count(points.n)} images are drawn.` : ""}</span></div>
    ${selected.length > 0 && html`<div class="selection"><b>${plural(selected.length, "image")} in the lasso</b>
      ${selected.length > LASSO_IMAGES ? html`<span>At most ${count(LASSO_IMAGES)} can be named at once.</span>`
        : html`<${NameField} names=${summary.names} near=${[]} focusKey="lasso" label="Name of these images" placeholder="name these images" onConfirm=${name} />`}
      <button onClick=${() => setSelected([])}>clear</button></div>`}
    <div class="ground">
      <canvas ref=${canvas} class=${tool} onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerLeave=${() => setHover(null)} aria-label="map of the images" />
      <div class="side"><div class="legend">${colours && colours.values.map((v, i) => html`<div key=${v.value}><svg viewBox="0 0 10 10"><circle cx="5" cy="5" r="5" fill=${PALETTE[i]} /></svg> ${v.value} <b>${count(v.n)}</b></div>`)}
        <div><svg viewBox="0 0 10 10"><circle cx="5" cy="5" r="5" fill=${OTHER} /></svg> ${colours && colours.values.length ? "others, or none" : "no value yet"}</div></div>
        <div class="peek">${shown.map((i) => html`<a key=${i} href=${`#/image/${points.ids[i]}`}><${Picture} id=${points.ids[i]} /></a>`)}</div></div>
    </div></div>`;
}

const middle = (values) => (values.length ? values.reduce((most, v) => Math.max(most, v), 0) / 2 : 0.5); // they begin at 0

const side = (c, view) => Math.min(c.clientWidth, c.clientHeight) * view.scale; // pixels that the map's side has

function toMap(px, py, width, height, view) {
  const s = Math.min(width, height) * view.scale;
  return { x: view.x + (px - width / 2) / s, y: view.y - (py - height / 2) / s };
}

function paint(c, points, colours, view, lasso, selected) {
  if (!c) return;
  const ratio = devicePixelRatio || 1, w = c.clientWidth, h = c.clientHeight;
  if (c.width !== Math.round(w * ratio) || c.height !== Math.round(h * ratio)) { c.width = Math.round(w * ratio); c.height = Math.round(h * ratio); }
  const g = c.getContext("2d"), s = side(c, view);
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, w, h);
  const size = Math.min(9, Math.max(2, (220 / Math.sqrt(points.ids.length)) * Math.sqrt(view.scale)));
  const n = colours ? colours.values.length : 0, { x, y } = points;
  for (let code = n; code >= 0; code -= 1) { // others first, so that the named lie on top
    g.fillStyle = code === n ? OTHER : PALETTE[code];
    for (let i = 0; i < x.length; i += 1) {
      if ((colours ? colours.codes[i] : n) !== code) continue;
      const px = w / 2 + (x[i] - view.x) * s, py = h / 2 - (y[i] - view.y) * s;
      if (px > -size && py > -size && px < w + size && py < h + size) g.fillRect(px - size / 2, py - size / 2, size, size);
    }
  }
  g.strokeStyle = "#d33"; g.lineWidth = 2;
  for (const i of selected) g.strokeRect(w / 2 + (x[i] - view.x) * s - size / 2 - 1, h / 2 - (y[i] - view.y) * s - size / 2 - 1, size + 2, size + 2);
  g.beginPath();
  lasso.forEach((p, k) => g[k ? "lineTo" : "moveTo"](w / 2 + (p.x - view.x) * s, h / 2 - (p.y - view.y) * s));
  g.stroke();
}

const cell = (v) => Math.min(GRID - 1, Math.max(0, Math.floor(v * GRID)));

function gridOf({ x, y }) {
  const cells = new Map();
  for (let i = 0; i < x.length; i += 1) {
    const key = cell(x[i]) * GRID + cell(y[i]);
    if (cells.has(key)) cells.get(key).push(i); else cells.set(key, [i]);
  }
  return cells;
}

export function nearest({ x, y }, grid, p, reach) {
  let best = null, least = reach * reach;
  for (let a = cell(p.x - reach); a <= cell(p.x + reach); a += 1) {
    for (let b = cell(p.y - reach); b <= cell(p.y + reach); b += 1) {
      for (const i of grid.get(a * GRID + b) || []) {
        const d = (x[i] - p.x) ** 2 + (y[i] - p.y) ** 2;
        if (d < least) { least = d; best = i; }
      }
    }
  }
  return best;
}

function inside({ x, y }, ring) {
  const rows = [];
  for (let i = 0; i < x.length; i += 1) {
    let is = false;
    for (let a = 0, b = ring.length - 1; a < ring.length; b = a, a += 1) {
      const p = ring[a], q = ring[b];
      if (p.y > y[i] !== q.y > y[i] && x[i] < ((q.x - p.x) * (y[i] - p.y)) / (q.y - p.y) + p.x) is = !is;
    }
    if (is) rows.push(i);
  }
  return rows;
}
