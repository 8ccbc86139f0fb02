// The queue: one cluster large, its name, and the clusters that are most like it.
import { html, useEffect, useState } from "/assets/vendor/preact-htm.js";
import { get, large, thumb } from "/assets/api.js";
import { Message, NameField, Picture, Status, Thumb, count, plural } from "/assets/parts.js";

const cache = new Map(); // clusters that came with an answer or were fetched ahead: id -> edition and promise

export function offer(cluster, edition) {
  if (cluster) cache.set(cluster.id, { edition, promise: Promise.resolve(cluster) });
}

function fetchCluster(id, edition) {
  const known = cache.get(id);
  if (known && known.edition === edition) return known.promise;
  const promise = get(`/api/cluster/${id}`);
  if (cache.size > 8) cache.clear();
  cache.set(id, { edition, promise });
  promise.catch(() => cache.delete(id));
  return promise;
}

function fetchAhead(id, edition) {
  fetchCluster(id, edition).then((cluster) => {
    for (const image of cluster.central.slice(0, 9)) new Image().src = image === cluster.central[0] ? large(image.id) : thumb(image.id);
  }, () => {});
}

export function Queue({ id, summary, go, act, undo, redo, edition }) {
  const [state, setState] = useState({});
  useEffect(() => {
    if (id == null) return undefined;
    let current = true;
    fetchCluster(id, edition).then(
      (value) => { if (current) { setState({ value }); fetchAhead(value.next, edition); } },
      (error) => current && setState({ error: error.message }),
    );
    return () => { current = false; };
  }, [id, edition]);
  if (id == null) return html`<${Message}>There are no clusters with images.<//>`;
  if (state.error) return html`<${Message} error=${state.error} />`;
  const cluster = state.value;
  if (!cluster || cluster.id !== id) return html`<p class="loading">Loading …</p>`;
  return html`<${Cluster} key=${id} ...${{ cluster, summary, go, act, undo, redo }} />`;
}

function Cluster({ cluster, summary, go, act, undo, redo }) {
  const decide = (action, more = {}) => act({ kind: "cluster", action, cluster_id: cluster.id, ...more }, { follow: true });
  const confirm = (name) => (name ? decide("name", { label: name }) : go(`#/queue/${cluster.next}`));
  const same = (neighbour) => neighbour && decide("same_as", { other_cluster_id: neighbour.id });
  const keys = (event, text) => {
    const command = event.ctrlKey || event.metaKey;
    const actions = {
      ArrowRight: () => go(`#/queue/${cluster.next}`), ArrowLeft: () => go(`#/queue/${cluster.previous}`),
      "-": () => decide("mixed"), Delete: () => decide("junk"), "+": () => go(`#/cluster/${cluster.id}`),
      " ": () => go(`#/image/${cluster.central[0].id}`), "/": () => go("#/search"), "?": () => go("#/keys"),
    };
    let action;
    if (event.key === "PageDown") action = actions.ArrowRight;
    else if (event.key === "PageUp") action = actions.ArrowLeft;
    else if (text === "" && command && event.key.toLowerCase() === "z") action = event.shiftKey ? redo : undo;
    else if (text === "" && command && event.key.toLowerCase() === "y") action = redo;
    else if (text === "" && !command && !event.altKey && /^[1-5]$/.test(event.key)) action = () => same(cluster.neighbours[event.key - 1]);
    else if (text === "" && !command && !event.altKey) action = actions[event.key];
    if (action) { event.preventDefault(); action(); }
  };
  const near = [...cluster.inside, ...cluster.neighbours.map((n) => n.label).filter(Boolean)];
  return html`<div class="queue">
    <section class="cluster" aria-label=${`Cluster ${cluster.id}`}>
      <div class="head">
        <h1>${cluster.label ? cluster.label : html`Cluster <i>#${cluster.id}</i>`}</h1>
        <span class="size">${plural(cluster.size, "image")}${cluster.label ? ` · #${cluster.id}` : ""}</span> <${Status} card=${cluster} />
        <nav class="steps"><a href=${`#/queue/${cluster.previous}`} aria-label="previous">‹</a> ${count(cluster.place)} of ${count(cluster.places)} <a href=${`#/queue/${cluster.next}`} aria-label="next">›</a></nav>
      </div>
      <div class="naming">
        <${NameField} names=${summary.names} near=${near} onConfirm=${confirm} onKey=${keys} focusKey=${cluster.id} label="Name of the cluster"
          placeholder=${cluster.label ? "another name, then Enter" : "type what this is, then Enter"} />
        <div class="actions">
          <button onClick=${() => decide("mixed")} title="several things: no name for the whole">mixed <kbd>-</kbd></button>
          <button onClick=${() => decide("junk")} title="nothing worth a name">junk <kbd>Del</kbd></button>
          <a class="button" href=${`#/cluster/${cluster.id}`}>all ${count(cluster.size)} · split <kbd>+</kbd></a>
        </div>
      </div>
      ${cluster.decision && html`<p class="decision">${sentence(cluster.decision)}</p>`}
      <div class="grid central">${cluster.central.map((image, i) => html`<${Thumb} key=${image.id} image=${image} large=${i === 0} className=${i === 0 ? "medoid" : ""} />`)}</div>
      ${cluster.borderline.length > 0 && html`<h2>Borderline</h2>
        <div class="grid borderline">${cluster.borderline.map((image) => html`<${Thumb} key=${image.id} image=${image} />`)}</div>`}
    </section>
    <aside aria-label="Clusters most like it"><h2>Same as?</h2>
      ${cluster.neighbours.map((n, i) => html`<div class="neighbour" key=${n.id}>
        <button class="same" onClick=${() => same(n)} title="these two are the same thing"><kbd>${i + 1}</kbd> <b>${n.label || `#${n.id}`}</b>
          <span>${count(n.size)} · ${n.score.toFixed(2)}</span></button>
        <a class="strip" href=${`#/queue/${n.id}`}>${n.pictures.map((p) => html`<${Picture} key=${p} id=${p} />`)}</a>
      </div>`)}
    </aside>
  </div>`;
}

export function sentence(d) {
  const when = new Date(d.at).toLocaleString();
  const what = {
    name: `named “${d.label}”`, mixed: "called mixed", junk: "called junk", same_as: `called the same as #${d.other}`,
    split: d.label ? `split off as “${d.label}”` : "split off without a name", drop: "dropped out of its cluster", not_same: `said not to be the same as ${plural(d.n_images - 1, "other image")}`,
  }[d.action] || d.action;
  return `${what} by ${d.by}, ${when}`;
}
