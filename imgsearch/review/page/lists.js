// Lists: all clusters, what was refused, who decided what, the keys.
import { html, useEffect, useState } from "/assets/vendor/preact-htm.js";
import { get } from "/assets/api.js";
import { Message, More, Picture, Status, Thumb, count, plural } from "/assets/parts.js";
import { sentence } from "/assets/queue.js";

function usePages(path, values, key, deps) {
  const [state, setState] = useState({ rows: [] });
  const load = async (before) => {
    try {
      const page = await get(path, { ...values, offset: before.length });
      setState({ page, rows: [...before, ...page[key]] });
    } catch (error) { setState({ rows: [], error: error.message }); }
  };
  useEffect(() => { load([]); }, deps);
  return [state, () => load(state.rows)];
}

export function Clusters({ edition, summary }) {
  const [status, setStatus] = useState("");
  const [state, more] = usePages("/api/queue", { status: status || undefined }, "clusters", [status, edition]);
  if (state.error) return html`<${Message} error=${state.error} />`;
  const n = { ...summary.statuses, again: summary.again };
  const kinds = [["", "all"], ["open", "open"], ["again", "look again"], ["named", "named"], ["mixed", "mixed"], ["junk", "junk"], ["same_as", "waiting"]];
  return html`<div class="bar">${kinds.map(([s, text]) => html`<button key=${s} aria-pressed=${s === status} onClick=${() => setStatus(s)}>${text}${s ? ` ${count(n[s] || 0)}` : ""}</button>`)}</div>
    <div class="grid all">${state.rows.map((c) => html`<figure class="thumb" key=${c.id}><a class="frame" href=${`#/queue/${c.id}`}>${c.pictures.map((p) => html`<${Picture} key=${p} id=${p} />`)}</a>
      <figcaption><b>${c.label || `#${c.id}`}</b> ${plural(c.size, "image")} <${Status} card=${c} /></figcaption></figure>`)}</div>
    ${state.page && state.page.n === 0 && html`<${Message}>None.<//>`}
    ${state.page && html`<${More} shown=${state.rows.length} n=${state.page.n} onMore=${more} />`}`;
}

export function Refused() {
  const [reason, setReason] = useState("");
  const [state, more] = usePages("/api/refused", { reason: reason || undefined }, "rows", [reason]);
  if (state.error) return html`<${Message} error=${state.error} />`;
  if (!state.page) return html`<p class="loading">Loading …</p>`;
  const all = state.page.reasons.reduce((sum, r) => sum + r.n, 0);
  if (!all) return html`<${Message}>Every file could be used.<//>`;
  return html`<h1>${plural(all, "file")} could not be used</h1>
    <div class="bar"><button aria-pressed=${reason === ""} onClick=${() => setReason("")}>all</button>
      ${state.page.reasons.map((r) => html`<button key=${r.reason} aria-pressed=${r.reason === reason} onClick=${() => setReason(r.reason)}>${r.reason} ${count(r.n)}</button>`)}</div>
    <div class="scroll"><table class="rows"><thead><tr><th>reason</th><th>file</th><th>at</th><th>what was wrong</th></tr></thead>
      <tbody>${state.rows.map((r) => html`<tr key=${r.path + r.stage}><td>${r.reason}</td><td class="path">${r.path}</td><td>${r.stage}</td><td>${r.detail}</td></tr>`)}</tbody></table></div>
    <${More} shown=${state.rows.length} n=${state.page.n} onMore=${more} />`;
}

export function Copies({ act, edition }) {
  const [state, more] = usePages("/api/copies", {}, "groups", [edition]);
  const notSame = (file, files) => {
    const others = [...new Set(files.map((f) => f.id))].filter((id) => id !== file.id);
    return act({ kind: "copies", action: "not_same", image_ids: [file.id, ...others] });
  };
  if (state.error) return html`<${Message} error=${state.error} />`;
  if (!state.page) return html`<p class="loading">Loading …</p>`;
  if (!state.page.n) return html`<${Message}>${state.page.exists ? "There are no copies." : "Copies were not looked for yet: run ./spark-submit.sh dedup, and start the page again."}<//>`;
  return html`<div class="head"><h1>${plural(state.page.n, "group")} of copies</h1><a class="steps" href="/copies.csv" download>Export copies.csv</a></div>
    <p class="hint">The best of a group stands first: most pixels, then sharpest. <b>not the same</b> takes a picture out of its group, for the next run of dedup too; undo brings it back. The file says which one of each group to keep.</p>
    ${state.rows.map(({ files }) => html`<div class="grid all copies" key=${files.length && files[0].path}>${files.map((f, k) => html`<div key=${f.path}><${Thumb} image=${f}>${" "}<b>${k === 0 ? "best" : { near: "near", edited: "edited" }[f.kind] || "copy"}</b> ${f.width}×${f.height}<//>
      ${files.some((other) => other.id !== f.id) && html`<button class="part" onClick=${() => notSame(f, files)}>not the same</button>`}</div>`)}</div>`)}
    <${More} shown=${state.rows.length} n=${state.page.n} onMore=${more} />`;
}

export function History({ edition, undo }) {
  const [state, more] = usePages("/api/history", {}, "decisions", [edition]);
  if (state.error) return html`<${Message} error=${state.error} />`;
  if (!state.page) return html`<p class="loading">Loading …</p>`;
  if (!state.page.n) return html`<${Message}>Nothing was decided yet.<//>`;
  return html`<div class="head"><h1>${plural(state.page.n, "decision")}</h1><span class="steps"><a href="/labels.csv" download>Export labels.csv</a> <a href="/tags/coco.json" download>COCO</a> <a href="/tags/label-studio.json" download>Label Studio</a></span></div><div class="scroll"><table class="rows"><tbody>
    ${state.rows.map((d) => html`<tr key=${d.id} class=${d.stands ? "" : "undone"}>
      <td>${d.cluster !== null && html`<a href=${`#/queue/${d.cluster}`}>#${d.cluster}</a>`}${d.kind !== "cluster" && d.images.map((i) => html`<a key=${i} href=${`#/image/${i}`}><span class="tiny"><${Picture} id=${i} /></span></a>`)}</td>
      <td>${d.action === "undo" ? `took something back: ${d.by}, ${new Date(d.at).toLocaleString()}` : sentence(d)}</td><td>${d.n_images !== null && plural(d.n_images, "image")}</td>
      <td>${d.stands ? html`<button onClick=${() => undo(d.id)}>${d.action === "undo" ? "redo" : "undo"}</button>` : "taken back"}</td></tr>`)}</tbody></table></div>
    <${More} shown=${state.rows.length} n=${state.page.n} onMore=${more} />`;
}

const KEYS = [
  ["letters", "type the name"], ["Enter", "confirm the name and go on; with an empty field, go on"], ["Tab", "complete the name"], ["Esc", "empty the field; with an empty field, back from an image"],
  ["1 – 5", "the same as that neighbour"], ["-", "mixed: several things"], ["Del", "junk: nothing worth a name"], ["+", "all images, to split some off"],
  ["← →", "previous and next cluster (Page Up, Page Down always)"], ["Space", "look at the medoid"], ["/", "search by a picture"],
  ["Ctrl Z", "undo"], ["Ctrl Y", "redo (also Ctrl Shift Z)"], ["?", "this list"],
];

export function Keys() {
  return html`<h1>Keys</h1><p class="hint">All but letters, Enter, Tab and the page keys work while the name field is empty.</p>
    <table class="facts">${KEYS.map(([key, what]) => html`<tr key=${key}><th><kbd>${key}</kbd></th><td>${what}</td></tr>`)}</table>`;
}
