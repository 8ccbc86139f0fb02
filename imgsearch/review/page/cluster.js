// All images of a cluster: select some, then split them off or drop them out.
import { html, useEffect, useState } from "/assets/vendor/preact-htm.js";
import { get } from "/assets/api.js";
import { Message, More, NameField, Status, Thumb, plural } from "/assets/parts.js";

export function ClusterPage({ id, summary, act, edition }) {
  const [sort, setSort] = useState("doubt");
  const [state, setState] = useState({});
  const [selected, setSelected] = useState(new Set());
  const [last, setLast] = useState(null);
  const load = async (offset, before) => {
    try {
      const page = await get(`/api/cluster/${id}/members`, { sort, offset });
      setState({ card: page, images: [...before, ...page.images] });
    } catch (error) { setState({ error: error.message }); }
  };
  useEffect(() => { load(0, []); }, [id, sort, edition]);
  useEffect(() => { setSelected(new Set()); }, [id]);
  if (state.error) return html`<${Message} error=${state.error} />`;
  if (!state.card) return html`<p class="loading">Loading …</p>`;
  const { card, images } = state;
  const toggle = (event, i) => {
    const next = new Set(selected);
    const from = event.shiftKey && last !== null ? Math.min(last, i) : i;
    const to = event.shiftKey && last !== null ? Math.max(last, i) : i;
    const on = !selected.has(images[i].id);
    for (let k = from; k <= to; k += 1) on ? next.add(images[k].id) : next.delete(images[k].id);
    setSelected(next); setLast(i);
  };
  const part = (action, label) => act({ kind: "part", action, cluster_id: id, image_ids: [...selected], label: label || undefined })
    .then((done) => done && setSelected(new Set()));
  return html`<div class="members">
    <div class="head"><h1>${card.label || html`Cluster <i>#${card.id}</i>`}</h1>
      <span class="size">${plural(card.size, "image")}</span> <${Status} card=${card} />
      <nav class="steps"><a href=${`#/queue/${id}`}>back to the queue</a></nav></div>
    <div class="bar"><span>Sorted by</span> ${["doubt", "likeness", "date", "site"].map((s) => html`<button key=${s} aria-pressed=${s === sort} onClick=${() => setSort(s)}>${s}</button>`)}
      <span class="hint">Click pictures to select them; with Shift, all up to there.</span></div>
    ${selected.size > 0 && html`<div class="selection"><b>${plural(selected.size, "image")} selected</b>
      <${NameField} names=${summary.names} near=${[]} focusKey=${id} label="Name of the part" placeholder="split off as … (Enter; may be empty)" onConfirm=${(name) => part("split", name)} />
      <button onClick=${() => part("drop")}>drop out</button><button onClick=${() => setSelected(new Set())}>clear</button></div>`}
    <div class="grid all">${images.map((image, i) => html`<${Thumb} key=${image.id} image=${image} selected=${selected.has(image.id)} onSelect=${(e) => toggle(e, i)}>
      ${" "}<a href=${`#/image/${image.id}`} aria-label="look at it">⤢</a><//>`)}</div>
    <${More} shown=${images.length} n=${card.n} onMore=${() => load(images.length, images)} />
  </div>`;
}
