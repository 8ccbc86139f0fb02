// Doubts: names that contradict each other, and what to do about each; and what to name next.
import { html } from "/assets/vendor/preact-htm.js";
import { get } from "/assets/api.js";
import { Message, Picture, Thumb, count, percent, useLoad } from "/assets/parts.js";

export function Doubts({ act, edition }) {
  const { value: doubts, error } = useLoad(() => get("/api/doubts"), [edition]);
  if (error) return html`<${Message} error=${error} />`;
  if (!doubts) return html`<p class="loading">Looking for contradictions …</p>`;
  if (!doubts.clusters.length && !doubts.images.length && !doubts.next.length) return html`<${Message}>No name contradicts another.<//>`;
  const same = (cluster, other) => act({ kind: "cluster", action: "same_as", cluster_id: cluster.id, other_cluster_id: other.id });
  const name = (image, label) => act({ kind: "image", action: "name", image_ids: [image.id], label });
  return html`<div class="doubts">
    ${doubts.clusters.length > 0 && html`<section><h1>One thing under two names?</h1><p class="hint">These clusters are as alike as the images of one of them. Choose the name that both have, or leave them.</p>
      ${doubts.clusters.map(({ pair, score }) => html`<div class="pair" key=${pair.map((c) => c.id).join()}>
        ${pair.map((c, i) => html`<div key=${c.id}><button onClick=${() => same(pair[1 - i], c)} title="both have this name">${c.label}</button> <a href=${`#/queue/${c.id}`}>#${c.id}</a> ${count(c.size)}
          <a class="strip" href=${`#/queue/${c.id}`}>${c.pictures.map((p) => html`<${Picture} key=${p} id=${p} />`)}</a></div>`)}<span class="hint">${score.toFixed(2)}</span></div>`)}</section>`}
    ${doubts.images.length > 0 && html`<section><h1>Wrong here?</h1><p class="hint">Most of the named images nearest to each of these have another name. Say what it is: that settles it.</p>
      <div class="grid all">${doubts.images.map((image) => html`<div class="doubt" key=${image.id}><${Thumb} image=${image} />
        <button onClick=${() => name(image, image.instead)} title=${`${percent(image.share, 1)} % of its neighbours`}>${image.instead}</button>
        <button class="stays" onClick=${() => name(image, image.label)} title="as its cluster says">${image.label}</button></div>`)}</div></section>`}
    ${doubts.next.length > 0 && html`<section><h1>Name next</h1><p class="hint">The names of these would settle most (as of the last run of <code>label</code>). Type what it is and press Enter, or take the guess.</p>
      <div class="grid all">${doubts.next.map((image) => html`<div class="doubt" key=${image.id}><${Thumb} image=${image} />
        <input aria-label="What is it?" placeholder="what is it?" onKeyDown=${(e) => { e.stopPropagation(); const label = e.target.value.trim(); if (e.key === "Enter" && label) name(image, label); }} />
        ${image.guess && html`<button onClick=${() => name(image, image.guess)} title="what the names nearest to it say">${image.guess}</button>`}</div>`)}</div></section>`}
  </div>`;
}
