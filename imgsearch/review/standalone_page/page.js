"use strict";
// The queue without a server: names stay in this browser until they are exported as labels.csv.
(() => {
  const $ = (id) => document.getElementById(id);
  const page = JSON.parse($("payload").textContent);
  const key = `imgsearch-review-${page.id}`;
  const at = new Map(page.clusters.map((cluster, i) => [cluster.id, i]));
  const count = (n) => n.toLocaleString("en");
  let steps = [], here = 0, undone = [];

  const trouble = (text) => { $("trouble").textContent = text; $("trouble").hidden = !text; };
  try { steps = JSON.parse(localStorage.getItem(key) || "[]"); }
  catch { trouble("This browser does not keep what you type here: export labels.csv before you close the page."); }
  const keep = () => {
    try { localStorage.setItem(key, JSON.stringify(steps)); }
    catch { trouble("This browser does not keep what you type here: export labels.csv before you close the page."); }
  };

  const given = () => new Map(steps); // the last name of each cluster wins
  const name_of = (cluster, names = given()) => names.get(cluster.id) ?? cluster.label;

  const element = (tag, text, attributes = {}) => {
    const made = document.createElement(tag);
    if (text !== null) made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const picture = ([file, under], large) => {
    const figure = element("figure", null, { class: large ? "thumb medoid" : "thumb" });
    const frame = element("span", null, { class: "frame" });
    frame.append(file ? element("img", null, { src: file, alt: under, loading: "lazy" }) : element("span", "no picture", { class: "gone" }));
    const caption = element("figcaption", null, { title: under });
    caption.append(element("bdi", under));
    figure.append(frame, caption);
    return figure;
  };
  const title = (cluster, names) => name_of(cluster, names) || `#${cluster.id}`;

  const show = (place) => {
    here = (place + page.clusters.length) % page.clusters.length;
    const cluster = page.clusters[here], names = given();
    $("title").replaceChildren(name_of(cluster, names) ? element("bdi", name_of(cluster, names)) : element("i", `Cluster #${cluster.id}`));
    $("size").textContent = `${count(cluster.size)} image${cluster.size === 1 ? "" : "s"}${name_of(cluster, names) ? ` · #${cluster.id}` : ""}`;
    $("mixed").hidden = !cluster.mixed;
    $("place").textContent = `${count(here + 1)} of ${count(page.clusters.length)}`;
    $("said").textContent = names.has(cluster.id) ? "named here, not exported to the warehouse yet" : cluster.label ? "its name in the warehouse" : "";
    $("name").value = "";
    $("name").placeholder = name_of(cluster, names) ? "another name, then Enter" : "type what this is, then Enter";
    $("central").replaceChildren(...cluster.central.map((p, i) => picture(p, i === 0)));
    $("border").hidden = !cluster.borderline.length;
    $("borderline").replaceChildren(...cluster.borderline.map((p) => picture(p)));
    $("neighbours").replaceChildren(...cluster.neighbours.map((id, i) => {
      const other = page.clusters[at.get(id)], box = element("div", null, { class: "neighbour" });
      const button = element("button", null, { class: "same", title: "take its name" });
      button.append(element("kbd", i + 1), element("b", title(other, names)), element("span", count(other.size)));
      button.addEventListener("click", () => same(i));
      const strip = element("div", null, { class: "strip" });
      strip.append(...other.central.map(([file]) => file).filter(Boolean).slice(0, 6).map((file) => element("img", null, { src: file, alt: "", loading: "lazy" })));
      strip.addEventListener("click", () => show(at.get(id)));
      box.append(button, strip);
      return box;
    }));
    progress();
    $("name").focus({ preventScroll: true });
  };

  const progress = () => {
    const names = given(), named = page.clusters.filter((cluster) => name_of(cluster, names));
    const images = named.reduce((sum, cluster) => sum + cluster.size, 0), all = page.clusters.reduce((sum, cluster) => sum + cluster.size, 0);
    $("bar").max = all || 1;
    $("bar").value = images;
    const percent = (part, whole) => (whole ? Math.round((100 * part) / whole) : 0);
    $("done").textContent = `named ${percent(named.length, page.clusters.length)} % of clusters = ${percent(images, all)} % of images`;
    $("export").disabled = !names.size;
    const known = [...new Set([...names.values(), ...page.clusters.map((cluster) => cluster.label)].filter(Boolean))].sort();
    $("names").replaceChildren(...known.map((name) => element("option", null, { value: name })));
    list(names);
  };

  const list = (names) => {
    const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const only = $("open").getAttribute("aria-pressed") === "true";
    const shown = page.clusters.filter((cluster) => !(only && name_of(cluster, names)) && words.every((word) => title(cluster, names).toLowerCase().includes(word)));
    $("all-title").textContent = `${count(shown.length)} clusters`;
    $("all").replaceChildren(...shown.map((cluster) => {
      const tile = element("button", null, { class: name_of(cluster, names) ? "named" : "", "data-id": cluster.id });
      if (cluster.central.length && cluster.central[0][0]) tile.append(element("img", null, { src: cluster.central[0][0], alt: "", loading: "lazy" }));
      tile.append(element("span", `${title(cluster, names)} · ${count(cluster.size)}`));
      tile.addEventListener("click", () => { show(at.get(cluster.id)); scrollTo(0, 0); });
      return tile;
    }));
  };

  const onward = () => {
    const names = given();
    for (let step = 1; step <= page.clusters.length; step += 1) {
      const place = (here + step) % page.clusters.length;
      if (!name_of(page.clusters[place], names) && !page.clusters[place].settled) { show(place); return; }
    }
    show(here + 1);
  };
  const decide = (name) => {
    steps.push([page.clusters[here].id, name]);
    undone = [];
    keep();
    onward();
  };
  const same = (i) => {
    const id = page.clusters[here].neighbours[i];
    const name = id === undefined ? undefined : name_of(page.clusters[at.get(id)]);
    if (name) decide(name); else if (id !== undefined) $("said").textContent = `#${id} has no name yet`;
  };
  const take_back = (from, to) => {
    const step = from.pop();
    if (!step) return;
    to.push(step);
    keep();
    show(at.get(step[0]));
  };

  $("name").addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const field = $("name"), text = field.value.trim().replace(/\s+/g, " "), command = event.ctrlKey || event.metaKey;
    const letter = event.key.toLowerCase();
    if (event.key === "Enter") { event.preventDefault(); if (text) decide(text); else show(here + 1); }
    else if (event.key === "Escape") field.value = "";
    else if (event.key === "PageDown" || (text === "" && event.key === "ArrowRight")) { event.preventDefault(); show(here + 1); }
    else if (event.key === "PageUp" || (text === "" && event.key === "ArrowLeft")) { event.preventDefault(); show(here - 1); }
    else if (text === "" && command && letter === "z") { event.preventDefault(); event.shiftKey ? take_back(undone, steps) : take_back(steps, undone); }
    else if (text === "" && command && letter === "y") { event.preventDefault(); take_back(undone, steps); }
    else if (text === "" && !command && /^[1-5]$/.test(event.key)) { event.preventDefault(); same(Number(event.key) - 1); }
  });
  $("previous").addEventListener("click", () => show(here - 1));
  $("next").addEventListener("click", () => show(here + 1));
  $("filter").addEventListener("input", () => list(given()));
  $("open").addEventListener("click", () => {
    $("open").setAttribute("aria-pressed", String($("open").getAttribute("aria-pressed") !== "true"));
    list(given());
  });
  $("export").addEventListener("click", () => {
    const cell = (text) => `"${String(text).replaceAll('"', '""')}"`;
    const lines = [...given()].map(([id, name]) => `${id},${cell(name)}`);
    const file = new Blob([`cluster_id,label\r\n${lines.join("\r\n")}\r\n`], { type: "text/csv" });
    const link = element("a", "", { href: URL.createObjectURL(file), download: "labels.csv" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });

  if (page.clusters.length) show(0); else { trouble("There are no clusters with images."); document.querySelector(".queue").hidden = true; }
})();
