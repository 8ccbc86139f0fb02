"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const page = JSON.parse($("payload").textContent);
  const show = (image, source) => {
    if (source) image.src = source; else image.removeAttribute("src");
    image.hidden = !source;
  };
  const tail = (path) => path.split("/").filter(Boolean).pop() || path;

  // A click on a picture enlarges it; arrows step through the same strip.
  const viewer = $("viewer");
  let strip = [], place = 0;
  const open = (index) => {
    const [path, thumbnail, facts, id] = page.pictures[index];
    const image = viewer.querySelector("img");
    show(image, thumbnail);
    image.alt = tail(path);
    viewer.querySelector(".where bdi").textContent = path;
    viewer.querySelector(".facts").textContent = facts;
    viewer.querySelector(".id").textContent = id;
    $("previous").disabled = place <= 0;
    $("next").disabled = place >= strip.length - 1;
    if (!viewer.open) viewer.showModal();
  };
  const step = (by) => {
    if (place + by < 0 || place + by >= strip.length) return;
    place += by;
    open(strip[place]);
  };
  document.addEventListener("click", (event) => {
    const picture = event.target.closest(".pic");
    if (picture) {
      const row = picture.closest(".search, .cluster");
      strip = [...row.querySelectorAll(".pic")].map((p) => Number(p.dataset.i));
      place = [...row.querySelectorAll(".pic")].indexOf(picture);
      open(strip[place]);
    } else if (event.target === viewer) viewer.close();
  });
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  viewer.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });

  // The map: the nearest point under the pointer shows its picture; a legend entry brings its cluster forward.
  const plot = $("plot");
  if (plot) {
    const svg = plot.querySelector("svg"), tip = $("tip"), ring = $("ring");
    const box = svg.viewBox.baseVal;
    let held = null, near = null;
    const bring = (cluster) => {
      plot.classList.toggle("dimmed", cluster !== null);
      for (const part of plot.querySelectorAll("[data-cluster]"))
        part.classList.toggle("front", cluster !== null && part.dataset.cluster === cluster);
    };
    const nearest = (event) => {
      const frame = svg.getBoundingClientRect();
      const x = (event.clientX - frame.left) * box.width / frame.width;
      const y = (event.clientY - frame.top) * box.height / frame.height;
      const reach = 18 * box.width / frame.width;
      let best = null, least = reach * reach;
      for (const point of page.points) {
        if (held !== null && String(point[3]) !== held) continue;
        const d = (point[0] - x) ** 2 + (point[1] - y) ** 2;
        if (d < least) { least = d; best = point; }
      }
      return best;
    };
    const hover = (event) => {
      near = nearest(event);
      tip.hidden = near === null;
      ring.toggleAttribute("hidden", near === null);
      plot.classList.toggle("over", near !== null);
      if (!near) return;
      const [path, thumbnail] = page.pictures[near[2]];
      show(tip.querySelector("img"), thumbnail);
      tip.querySelector("b").textContent = near[3] === null ? "no cluster" : page.names[near[3]];
      tip.querySelector("span").textContent = tail(path);
      ring.setAttribute("cx", near[0]);
      ring.setAttribute("cy", near[1]);
      tip.style.left = 100 * near[0] / box.width + "%";
      tip.style.top = 100 * near[1] / box.height + "%";
      tip.classList.toggle("west", near[0] > box.width / 2);
      tip.classList.toggle("north", near[1] > box.height / 2);
    };
    plot.addEventListener("pointermove", hover);
    plot.addEventListener("pointerdown", hover);
    plot.addEventListener("pointerleave", () => {
      near = null;
      tip.hidden = true;
      ring.setAttribute("hidden", "");
    });
    plot.addEventListener("click", () => {
      if (!near) return;
      strip = page.points.filter((p) => p[3] === near[3]).map((p) => p[2]);
      place = strip.indexOf(near[2]);
      open(near[2]);
    });
    const entries = [...document.querySelectorAll(".legend button")];
    for (const entry of entries) {
      entry.addEventListener("mouseenter", () => held === null && bring(entry.dataset.cluster));
      entry.addEventListener("mouseleave", () => held === null && bring(null));
      entry.addEventListener("click", () => {
        held = held === entry.dataset.cluster ? null : entry.dataset.cluster;
        bring(held);
        for (const other of entries) other.setAttribute("aria-pressed", String(other.dataset.cluster === held));
      });
    }
  }

  // Filter and order of the clusters.
  const list = $("cluster-list");
  if (list) {
    const all = [...list.children];
    $("tools").hidden = false;
    const apply = () => {
      const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
      let n = 0;
      for (const cluster of all) {
        cluster.hidden = !words.every((word) => cluster.dataset.text.includes(word));
        n += cluster.hidden ? 0 : 1;
      }
      $("shown").textContent = n === all.length ? "" : n + " of " + all.length;
    };
    const order = () => {
      const key = $("order").value.replace("-", ""), sign = $("order").value.startsWith("-") ? 1 : -1;
      const number = (cluster) => cluster.dataset[key] === "" ? NaN : Number(cluster.dataset[key]);
      const sorted = [...all].sort((a, b) => key === "name"
        ? a.dataset.name.localeCompare(b.dataset.name, undefined, { numeric: true })
        : (isNaN(number(a)) - isNaN(number(b))) || sign * (number(a) - number(b)) || 0);
      list.append(...sorted);
    };
    $("filter").addEventListener("input", apply);
    $("order").addEventListener("change", order);
  }
})();
