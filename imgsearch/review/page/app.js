// The shell: routes in the hash, the summary that every view shares, decisions, and news from other people.
import { html, render, useCallback, useEffect, useRef, useState } from "/assets/vendor/preact-htm.js";
import { get, post, who } from "/assets/api.js";
import { ClusterPage } from "/assets/cluster.js";
import { Doubts } from "/assets/doubts.js";
import { ImagePage } from "/assets/image.js";
import { Clusters, Copies, History, Keys, Refused } from "/assets/lists.js";
import { MapPage } from "/assets/map.js";
import { count, percent } from "/assets/parts.js";
import { Queue, offer } from "/assets/queue.js";
import { SearchPage } from "/assets/search.js";

const POLL_MS = 2500;
const TABS = [["queue", "Queue"], ["clusters", "Clusters"], ["map", "Map"], ["search", "Search"], ["doubts", "Doubts"], ["copies", "Copies"], ["refused", "Refused"], ["history", "History"], ["keys", "?"]];
const go = (hash) => { location.hash = hash; };
const route = () => { const [view, id] = location.hash.replace(/^#\/?/, "").split("/"); return { view: view || "queue", id }; };

function App() {
  const [summary, setSummary] = useState(null);
  const [at, setAt] = useState(route());
  const [note, setNote] = useState(null);
  const paces = useRef([]);
  const since = useRef(Date.now());
  useEffect(() => {
    const moved = () => { setAt(route()); scrollTo(0, 0); };
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  const say = useCallback((text, error) => setNote({ text, error, key: Date.now() }), []);
  const edition = summary ? summary.edition : undefined;
  useEffect(() => {
    const poll = async () => {
      if (document.hidden && summary) return;
      try {
        const news = await get("/api/summary", { edition });
        if (news.progress) setSummary(news);
        else setSummary((before) => (before && before.stale !== news.stale ? { ...before, stale: news.stale } : before));
        setNote((before) => (before && before.lost ? null : before));
      } catch (error) { setNote({ text: error.message, error: true, lost: true, key: 1 }); }
    };
    if (!summary) poll();
    const timer = setInterval(poll, POLL_MS);
    return () => clearInterval(timer);
  }, [edition, !summary]);
  useEffect(() => {
    if (!note || note.error) return undefined;
    const timer = setTimeout(() => setNote(null), 4000);
    return () => clearTimeout(timer);
  }, [note]);

  const jump = (hash) => { history.pushState(null, "", hash); setAt(route()); scrollTo(0, 0); }; // in the same render
  const act = useCallback(async (decision, { follow } = {}) => {
    try {
      const done = await post("/api/decide", decision);
      const first = (before) => (before ? before.first : null);
      setSummary((before) => ({ ...before, ...done.summary, first: done.next ?? first(before) }));
      paces.current = [...paces.current.slice(-19), Date.now() - since.current];
      since.current = Date.now();
      setNote(null);
      if (follow) {
        if (done.next === null) say("Every cluster is decided about.");
        offer(done.cluster, done.summary.edition); // it came with the answer
        jump(done.next === null ? "#/clusters" : `#/queue/${done.next}`);
      }
      return done;
    } catch (error) { say(error.message, true); return null; }
  }, []);
  const takeBack = useCallback(async (path, id) => {
    try {
      const done = await post(path, { id });
      setSummary((before) => ({ ...before, ...done.summary }));
      if (!done.done) say(path.endsWith("redo") ? "There is nothing to redo." : "There is nothing of yours to undo.");
      else if (!id && done.cluster !== null) { say(path.endsWith("redo") ? "Done again." : "Taken back."); go(`#/queue/${done.cluster}`); }
    } catch (error) { say(error.message, true); }
  }, []);
  const undo = useCallback((id) => takeBack("/api/undo", typeof id === "string" ? id : undefined), []);
  const redo = useCallback(() => takeBack("/api/redo"), []);

  useEffect(() => {
    const keys = (event) => {
      if (/^(INPUT|TEXTAREA)$/.test(event.target.tagName)) return;
      const command = event.ctrlKey || event.metaKey;
      if (command && event.key.toLowerCase() === "z") { event.preventDefault(); (event.shiftKey ? redo : undo)(); }
      else if (command && event.key.toLowerCase() === "y") { event.preventDefault(); redo(); }
      else if (!command && event.key === "?") go("#/keys");
      else if (!command && event.key === "/") { event.preventDefault(); go("#/search"); }
      else if (event.key === "Escape") history.back();
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, []);

  // A queue without a number is the first cluster now, and stays there when news arrive.
  const nowhere = at.view === "queue" && at.id === undefined && summary && summary.first !== null;
  useEffect(() => {
    if (nowhere) { history.replaceState(null, "", `#/queue/${summary.first}`); setAt(route()); }
  }, [nowhere]);

  if (!summary || nowhere) return html`${note ? html`<p class="message error" role="alert">${note.text}</p>` : html`<p class="loading">Loading …</p>`}`;
  const number = at.id !== undefined && /^-?\d+$/.test(at.id) ? Number(at.id) : null;
  const shared = { summary, act, edition, go, undo, redo };
  const views = {
    queue: () => html`<${Queue} id=${number} ...${shared} />`,
    cluster: () => html`<${ClusterPage} id=${number} ...${shared} />`,
    image: () => html`<${ImagePage} id=${at.id} ...${shared} />`,
    clusters: () => html`<${Clusters} ...${shared} />`,
    map: () => html`<${MapPage} ...${shared} />`,
    search: () => html`<${SearchPage} />`,
    doubts: () => html`<${Doubts} ...${shared} />`,
    copies: () => html`<${Copies} ...${shared} />`,
    refused: () => html`<${Refused} />`,
    history: () => html`<${History} ...${shared} />`,
    keys: () => html`<${Keys} />`,
  };
  return html`<${Top} summary=${summary} view=${at.view} pace=${paces.current} />
    ${summary.stale && html`<p class="stale" role="status">The clusters were made again, or images came, since this server was started. Names are kept; start it again to see what is new.</p>`}
    ${note && html`<p class=${note.error ? "toast error" : "toast"} role="status" key=${note.key}>${note.text} <button aria-label="close" onClick=${() => setNote(null)}>✕</button></p>`}
    <main>${(views[at.view] || views.queue)()}</main>`;
}

function Top({ summary, view, pace }) {
  const p = summary.progress;
  const sorted = [...pace].sort((a, b) => a - b);
  const left = (p.n_clusters - p.clusters_decided) * (sorted[Math.floor(sorted.length / 2)] || 0);
  const minutes = Math.ceil(left / 60000);
  const [name, setName] = useState(who.get());
  return html`<header>
    <a class="brand" href="#/queue">imgsearch <b>review</b></a>
    <nav>${TABS.map(([v, text]) => html`<a key=${v} href=${`#/${v}`} aria-current=${v === view ? "page" : undefined}>${text}</a>`)}</nav>
    <div class="progress" title=${`${count(p.clusters_decided)} of ${count(p.n_clusters)} clusters decided about`}>
      <progress max=${p.n_images || 1} value=${p.images_named} aria-label="images with a name"></progress>
      <span>named ${percent(p.clusters_named, p.n_clusters)} % of clusters = ${percent(p.images_named, p.n_images)} % of images${pace.length > 2 && minutes > 0 ? `, about ${minutes} min left` : ""}</span>
    </div>
    <label class="who">you are <input value=${name} placeholder=${summary.reviewer} maxlength="80" onInput=${(e) => { setName(e.target.value); who.set(e.target.value.trim()); }} /></label>
  </header>`;
}

render(html`<${App} />`, document.getElementById("app"));
