// Search by a picture: dropped, pasted or picked; a box on it searches for that part.
import { html, useEffect, useRef, useState } from "/assets/vendor/preact-htm.js";
import { upload } from "/assets/api.js";
import { Message, Thumb, count } from "/assets/parts.js";

let kept = null; // the last search, while the page is open

export function SearchPage() {
  const [state, setState] = useState(kept || {});
  const input = useRef(null);
  const keep = (next) => { kept = next; setState(next); };
  const search = async (file, box) => {
    if (!file) return;
    const url = state.file === file ? state.url : URL.createObjectURL(file);
    keep({ file, url, box, busy: true });
    try { keep({ file, url, box, found: await upload(file, box) }); }
    catch (error) { keep({ file, url, box, error: error.message }); }
  };
  useEffect(() => {
    const pasted = (event) => {
      const file = [...(event.clipboardData ? event.clipboardData.files : [])][0];
      if (file) { event.preventDefault(); search(file); }
    };
    addEventListener("paste", pasted);
    return () => removeEventListener("paste", pasted);
  });
  const dropped = (event) => { event.preventDefault(); search(event.dataTransfer.files[0]); };
  const seconds = state.found && state.found.seconds;
  return html`<div class="search" onDragOver=${(e) => e.preventDefault()} onDrop=${dropped}>
    <section class="query">
      <h1>Where have we seen this before?</h1>
      <p class=${state.url ? "hint" : "dropzone"}>Drop a picture here, paste one, or <button onClick=${() => input.current.click()}>choose a file</button></p>
      <input ref=${input} class="hidden" type="file" accept="image/*" aria-label="picture to search for" onChange=${(e) => search(e.target.files[0])} />
      ${state.url && html`<${Boxed} url=${state.url} box=${state.box} onBox=${(box) => search(state.file, box)} />
        <p class="hint">${state.box ? html`Only the box is searched for. <button onClick=${() => search(state.file)}>the whole picture</button>` : "Draw a box to search for a part of it."}</p>`}
      ${state.busy && html`<p class="loading">Searching …</p>`}
      ${state.error && html`<${Message} error=${state.error} />`}
      ${seconds && html`<p class="hint">${count(state.found.gallery)} images searched in ${Math.max(1, Math.round(1000 * seconds.search))} ms, the network took ${Math.round(1000 * seconds.embed)} ms.</p>`}
    </section>
    <section class="wide">${state.found && html`<${Matches} found=${state.found} />`}</section>
  </div>`;
}

function Boxed({ url, box, onBox }) {
  const frame = useRef(null);
  const [drawn, setDrawn] = useState(null);
  const [broken, setBroken] = useState(false);
  useEffect(() => setBroken(false), [url]);
  const place = (event) => {
    const r = frame.current.getBoundingClientRect();
    const share = (v, low, size) => Math.min(1, Math.max(0, (v - low) / size));
    return { x: share(event.clientX, r.left, r.width), y: share(event.clientY, r.top, r.height) };
  };
  const area = (a, b) => ({ x: Math.min(a.x, b.x), y: Math.min(a.y, b.y), w: Math.abs(a.x - b.x), h: Math.abs(a.y - b.y) });
  const down = (event) => { event.preventDefault(); frame.current.setPointerCapture(event.pointerId); setDrawn({ from: place(event), box: null }); };
  const move = (event) => drawn && setDrawn({ from: drawn.from, box: area(drawn.from, place(event)) });
  const up = () => { const b = drawn && drawn.box; setDrawn(null); if (b && b.w > 0.02 && b.h > 0.02) onBox(b); };
  const shown = drawn ? drawn.box : box;
  if (broken) return html`<p class="hint">The browser cannot show this kind of file; the server may read it all the same.</p>`;
  return html`<div class="boxed" ref=${frame} onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${() => setDrawn(null)}>
    <img src=${url} alt="the picture to search for" draggable=${false} onError=${() => setBroken(true)} />
    ${shown && html`<span class="box" style=${{ left: `${100 * shown.x}%`, top: `${100 * shown.y}%`, width: `${100 * shown.w}%`, height: `${100 * shown.h}%` }} />`}
  </div>`;
}

export function Matches({ found }) {
  const [by, setBy] = useState("");
  const columns = found.matches.length ? Object.keys(found.matches[0].values) : [];
  const groups = new Map();
  for (const m of found.matches) { // best first, so groups come by their best
    const key = by ? m.values[by] ?? "no value" : "";
    if (groups.has(key)) groups.get(key).push(m); else groups.set(key, [m]);
  }
  return html`<div class="matches">
    ${found.facets.length > 0 && html`<aside class="facets">${found.facets.map((f) => html`<details key=${f.column} open=${f.values[0].n > found.matches.length / 4}><summary>${f.column}</summary>
      ${f.values.map((v) => html`<div key=${v.value}><meter min="0" max=${found.matches.length} value=${v.n}></meter> ${v.value} <b>${v.n}</b></div>`)}
      ${f.more > 0 && html`<div class="hint">${count(f.more)} more</div>`}</details>`)}</aside>`}
    ${columns.length > 0 && html`<label class="hint">group by <select value=${by} onChange=${(e) => setBy(e.target.value)}><option value="">nothing</option>${columns.map((c) => html`<option key=${c} value=${c}>${c}</option>`)}</select></label>`}
    ${[...groups].map(([key, matches]) => html`<section key=${key}>${by && html`<h2>${key} · ${count(matches.length)}</h2>`}
      <div class="grid all">${matches.map((m) => html`<${Thumb} key=${m.id} image=${m}>${m.label ? html` <b>${m.label}</b>` : ""}<//>`)}</div></section>`)}
  </div>`;
}
