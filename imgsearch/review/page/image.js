// One image: the picture, what is carried with it, why it has its label, what is like it.
import { html } from "/assets/vendor/preact-htm.js";
import { get, picture } from "/assets/api.js";
import { Message, NameField, Picture, Thumb, count, useLoad } from "/assets/parts.js";
import { sentence } from "/assets/queue.js";
import { Matches } from "/assets/search.js";

export function ImagePage({ id, summary, act, edition }) {
  const { value: image, error } = useLoad(() => get(`/api/image/${id}`), [id, edition]);
  if (error) return html`<${Message} error=${error} />`;
  if (!image || image.id !== id) return html`<p class="loading">Loading …</p>`;
  const name = (label) => label && act({ kind: "image", action: "name", image_ids: [id], label });
  const facts = Object.entries(image.metadata).filter(([, value]) => value !== null);
  return html`<div class="image">
    <div class="whole"><${Picture} id=${id} alt=${image.name} large=${picture(id)} /></div>
    <section>
      <h1>${image.name}</h1>
      <p class="label">${image.label ? html`<b>${image.label}</b>` : "no name"} ${image.cluster !== null && html`· <a href=${`#/queue/${image.cluster}`}>cluster #${image.cluster}</a>`}</p>
      <${Why} image=${image} />
      <${NameField} names=${summary.names} near=${[]} focusKey=${id} label="Name of the image" placeholder="name this image alone" onConfirm=${name} onEscape=${() => history.back()} />
      ${image.cluster !== null && image.own !== "drop" && html`<button onClick=${() => act({ kind: "image", action: "drop", image_ids: [id] })}>does not belong to its cluster</button>`}
      <table class="facts">${facts.map(([key, value]) => html`<tr key=${key}><th>${key}</th><td>${value}</td></tr>`)}
        ${image.paths.map((path) => html`<tr key=${path}><th>path</th><td>${path}</td></tr>`)}</table>
      ${image.copies.length > 0 && html`<h2>Copies</h2><table class="facts">${image.copies.map((c) => html`<tr key=${c.path}><th>${c.kind}</th>
        <td>${c.known ? html`<a href=${`#/image/${c.image_id}`}>${c.path}</a>` : c.path} (${c.score.toFixed(3)})</td></tr>`)}</table>`}
    </section>
    <section class="wide"><h2>Most like it</h2><${Matches} found=${image.similar} /></section>
  </div>`;
}

function Why({ image }) {
  const { decision, by, voters } = image.why;
  return html`<p class="decision">${decision ? `${by === "image" ? "This image was " : "Its cluster was "}${sentence(decision)}.` : "Nobody has said what it is."}</p>
    ${voters.length > 0 && html`<p class="decision">Named images nearest to it:</p>
      <div class="strip voters">${voters.map((v) => html`<${Thumb} key=${v.id} image=${v}> ${v.label}<//>`)}</div>`}
    ${image.n_paths > 1 && html`<p class="decision">${count(image.n_paths)} files have these bytes.</p>`}`;
}
