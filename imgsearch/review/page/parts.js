// What several views share. All text goes through preact, which escapes it.
import { html, useEffect, useRef, useState } from "/assets/vendor/preact-htm.js";
import { large as largeThumb, thumb } from "/assets/api.js";

export const count = (n) => Number(n).toLocaleString("en");
export const percent = (part, whole) => (whole ? Math.round((100 * part) / whole) : 0);
export const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;

export function useLoad(load, deps) {
  const [state, setState] = useState({});
  useEffect(() => {
    let current = true;
    setState((before) => ({ value: before.value, loading: true }));
    load().then(
      (value) => current && setState({ value }),
      (error) => current && setState({ error: error.message }),
    );
    return () => { current = false; };
  }, deps);
  return state;
}

export function Picture({ id, alt, large }) {
  const [gone, setGone] = useState(false);
  useEffect(() => setGone(false), [id]);
  if (gone) return html`<span class="gone">picture<br />not there</span>`;
  return html`<img src=${large || thumb(id)} alt=${alt || ""} loading="lazy" decoding="async" onError=${() => setGone(true)} />`;
}

export function Thumb({ image, children, selected, onSelect, large, className = "" }) {
  const under = [image.site && image.site.split("/").pop(), image.date].filter(Boolean).join(" · ");
  const body = html`<${Picture} id=${image.id} alt=${image.name} large=${large && largeThumb(image.id)} />
    ${image.score !== undefined && html`<b class="score">${image.score.toFixed(3)}</b>`}
    ${image.own && html`<b class="own" title=${`${image.own}: ${image.label || "no name"}`}>${OWN[image.own]}</b>`}`;
  return html`<figure class=${`thumb ${className} ${selected ? "selected" : ""}`} title=${[image.name, image.site, image.date].filter(Boolean).join("\n")}>
    ${onSelect
      ? html`<button class="frame" aria-pressed=${!!selected} onClick=${onSelect}>${body}</button>`
      : html`<a class="frame" href=${`#/image/${image.id}`}>${body}</a>`}
    <figcaption>${under || image.name}${children}</figcaption>
  </figure>`;
}

export const OWN = { name: "✎", split: "✂", drop: "✕" };

export function Status({ card }) {
  const marks = [];
  if (card.again) marks.push(["again", "look again"]);
  if (card.mixed && card.status === "open") marks.push(["maybe", "looks mixed"]);
  if (card.status === "same_as") marks.push(["same", `same as #${card.same_as}, which has no name yet`]);
  else if (card.status !== "open" && card.status !== "named") marks.push([card.status, card.status]);
  return html`${marks.map(([kind, text]) => html`<span class=${`mark ${kind}`} key=${kind}>${text}</span>`)}`;
}

export function More({ shown, n, onMore }) {
  if (shown >= n) return null;
  return html`<button class="more" onClick=${onMore}>Show more (${count(n - shown)} left)</button>`;
}

export function Message({ error, children }) {
  return html`<p class=${error ? "message error" : "message"} role=${error ? "alert" : "status"}>${error || children}</p>`;
}

// A text field that completes from names: Tab takes the shown completion.
export function NameField({ names, near, onConfirm, onKey, onEscape, placeholder, focusKey, label }) {
  const [text, setText] = useState("");
  const field = useRef(null);
  useEffect(() => { setText(""); field.current && field.current.focus({ preventScroll: true }); }, [focusKey]);
  const low = text.trim().toLowerCase();
  const order = [...new Set([...near, ...names.map((n) => n.label)])];
  const starts = order.filter((n) => n.toLowerCase().startsWith(low) && n !== text);
  const holds = order.filter((n) => !n.toLowerCase().startsWith(low) && n.toLowerCase().includes(low));
  const options = [...starts, ...holds].slice(0, 6);
  const best = low ? starts[0] : undefined;
  const keys = (event) => {
    if (event.isComposing) return;
    if (event.key === "Enter") { event.preventDefault(); onConfirm(text.trim()); }
    else if (event.key === "Tab" && !event.shiftKey && best) { event.preventDefault(); setText(best); }
    else if (event.key === "Escape") { if (text === "" && onEscape) onEscape(); setText(""); }
    else if (onKey) onKey(event, text);
  };
  return html`<div class="name">
    <label><span class="hidden">${label}</span><input ref=${field} value=${text} placeholder=${placeholder} maxlength="200" autocomplete="off"
      spellcheck="false" onInput=${(e) => setText(e.target.value)} onKeyDown=${keys} /></label>
    <div class="options">${options.map((n) => html`<button key=${n} tabindex="-1" class=${n === best ? "best" : ""} onClick=${() => onConfirm(n)}>${n}${n === best ? html` <kbd>Tab</kbd>` : ""}</button>`)}</div>
  </div>`;
}
