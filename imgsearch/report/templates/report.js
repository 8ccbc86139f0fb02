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
  let strip = [], at = 0;
  const open = (index) => {
    const [path, thumbnail, facts, id, about] = page.pictures[index];
    const image = viewer.querySelector("img");
    show(image, thumbnail);
    image.alt = tail(path);
    viewer.querySelector(".where bdi").textContent = path;
    viewer.querySelector(".about bdi").textContent = about;
    viewer.querySelector(".facts").textContent = facts;
    viewer.querySelector(".id").textContent = id;
    $("previous").disabled = at <= 0;
    $("next").disabled = at >= strip.length - 1;
    if (!viewer.open) viewer.showModal();
  };
  const step = (by) => {
    if (at + by < 0 || at + by >= strip.length) return;
    at += by;
    open(strip[at]);
  };
  document.addEventListener("click", (event) => {
    const picture = event.target.closest(".pic");
    if (picture) {
      const row = picture.closest(".search, .look, .smalls, .cluster:not(.smaller)");
      strip = [...row.querySelectorAll(".pic")].map((p) => Number(p.dataset.i));
      at = [...row.querySelectorAll(".pic")].indexOf(picture);
      open(strip[at]);
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
    const whole = { x: 0, y: 0, w: svg.viewBox.baseVal.width, h: svg.viewBox.baseVal.height };
    const names = [...plot.querySelectorAll(".map-name")];
    const clusters = [...svg.querySelectorAll("path")];
    let box = { ...whole }, held = null, near = null, drag = null, colours = null, drawn_at = whole.w;
    const forward = (attribute, value) => {
      plot.classList.toggle("dimmed", value !== null);
      for (const part of plot.querySelectorAll(`[data-${attribute}]`))
        part.classList.toggle("front", value !== null && part.dataset[attribute] === value);
    };
    const bring = (cluster) => forward("cluster", cluster);
    const place = (event) => {
      const frame = svg.getBoundingClientRect();
      return {
        x: box.x + (event.clientX - frame.left) * box.w / frame.width,
        y: box.y + (event.clientY - frame.top) * box.h / frame.height, unit: box.w / frame.width,
      };
    };
    const nearest = (event) => {
      const { x, y, unit } = place(event), reach = 18 * unit;
      let best = null, least = reach * reach;
      for (const point of page.points) {
        if (held !== null && String(point[3]) !== held) continue;
        const d = (point[0] - x) ** 2 + (point[1] - y) ** 2;
        if (d < least) { least = d; best = point; }
      }
      return best;
    };
    const lose = () => {
      near = null;
      tip.hidden = true;
      ring.setAttribute("hidden", "");
    };
    const hover = (event) => {
      near = nearest(event);
      tip.hidden = near === null;
      ring.toggleAttribute("hidden", near === null);
      plot.classList.toggle("over", near !== null);
      if (!near) return;
      const [path, thumbnail, , , about] = page.pictures[near[2]];
      const left = (near[0] - box.x) / box.w, top = (near[1] - box.y) / box.h;
      show(tip.querySelector("img"), thumbnail);
      tip.querySelector("b").textContent = near[3] === null ? "no cluster" : page.names[near[3]];
      tip.querySelector("span").textContent = about || tail(path);
      ring.setAttribute("cx", near[0]);
      ring.setAttribute("cy", near[1]);
      ring.setAttribute("r", 11 * box.w / whole.w);
      tip.style.left = 100 * left + "%";
      tip.style.top = 100 * top + "%";
      tip.classList.toggle("west", left > 0.5);
      tip.classList.toggle("north", top > 0.5);
    };

    // Marks are drawn anew at each zoom: larger, but less than the distances between them.
    const radius = Math.min(Math.max(190 / Math.sqrt(Math.max(page.points.length, 1)), 3.2), 6.5);
    const f = (value) => value.toFixed(2);
    const outlines = [
      (x, y, r) => `M${f(x - r)} ${f(y)}a${f(r)} ${f(r)} 0 1 0 ${f(2 * r)} 0a${f(r)} ${f(r)} 0 1 0 ${f(-2 * r)} 0z`,
      (x, y, r) => { const a = r * 0.886; return `M${f(x - a)} ${f(y - a)}h${f(2 * a)}v${f(2 * a)}h${f(-2 * a)}z`; },
      (x, y, r) => { const a = r * 1.2; return `M${f(x)} ${f(y - a * 1.1)}l${f(a)} ${f(a * 1.85)}h${f(-2 * a)}z`; },
      (x, y, r) => { const a = r * 1.253; return `M${f(x)} ${f(y - a)}l${f(a)} ${f(a)}l${f(-a)} ${f(a)}l${f(-a)} ${f(-a)}z`; },
    ];
    const members = new Map(clusters.map((path) => [path, []]));
    const path_of = new Map(clusters.map((path) => [path.dataset.cluster, path]));
    for (const point of page.points) (members.get(path_of.get(String(point[3]))) || members.get(path_of.get("")) || []).push(point);
    const mark = (path, points) => {
      const r = radius * (box.w / whole.w) ** 0.75, outline = outlines[path.dataset.shape || 0];
      path.setAttribute("d", points.map((p) => outline(p[0], p[1], r)).join(""));
      path.style.strokeWidth = 0.7 * box.w / whole.w;
    };
    const redraw = () => { for (const [path, points] of members) if (!path.hasAttribute("hidden")) mark(path, points); };

    // Zoom: the view box shrinks; names stay readable.
    const look = (next) => {
      const w = Math.min(whole.w, Math.max(whole.w / 24, next.w)), h = whole.h * w / whole.w;
      box = { w, h, x: Math.min(whole.w - w, Math.max(0, next.x)), y: Math.min(whole.h - h, Math.max(0, next.y)) };
      svg.setAttribute("viewBox", `${box.x} ${box.y} ${box.w} ${box.h}`);
      for (const name of names) {
        const left = (name.dataset.x - box.x) / box.w, top = (name.dataset.y - box.y) / box.h;
        name.style.left = 100 * left + "%";
        name.style.top = 100 * top + "%";
        name.hidden = colours !== null || left < 0 || left > 1 || top < 0 || top > 1;
      }
      plot.style.touchAction = w < whole.w ? "none" : "pan-y";
      if (w !== drawn_at) { drawn_at = w; redraw(); }
      lose();
    };
    const zoom = (factor, x = box.x + box.w / 2, y = box.y + box.h / 2) => {
      const w = Math.min(whole.w, Math.max(whole.w / 24, box.w * factor)), f = w / box.w;
      look({ w, x: x - (x - box.x) * f, y: y - (y - box.y) * f });
    };
    $("map-tools").hidden = false;
    $("closer").addEventListener("click", () => zoom(1 / 1.6));
    $("wider").addEventListener("click", () => zoom(1.6));
    $("whole").addEventListener("click", () => look(whole));
    plot.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const p = place(event);
      zoom(Math.exp(event.deltaY * 0.0025), p.x, p.y);
    }, { passive: false });
    plot.addEventListener("pointermove", (event) => {
      if (!drag) { hover(event); return; }
      if (Math.abs(event.clientX - drag.px) + Math.abs(event.clientY - drag.py) < 4 && !drag.moved) return;
      drag.moved = true;
      plot.classList.add("moving");
      const p = place(event);
      look({ w: box.w, x: box.x + drag.x - p.x, y: box.y + drag.y - p.y });
    });
    plot.addEventListener("pointerdown", (event) => {
      hover(event);
      if (box.w < whole.w) drag = { ...place(event), px: event.clientX, py: event.clientY, moved: false };
    });
    addEventListener("pointerup", () => {
      plot.classList.remove("moving");
      if (drag && !drag.moved) drag = null; else setTimeout(() => { drag = null; });
    });
    plot.addEventListener("pointerleave", lose);
    plot.addEventListener("click", () => {
      if (!near || (drag && drag.moved)) return;
      strip = page.points.filter((p) => p[3] === near[3]).map((p) => p[2]);
      at = strip.indexOf(near[2]);
      open(near[2]);
    });

    // Colours by another column: the clusters' marks give way to marks by value.
    const drawn = (name, attributes) => {
      const element = document.createElementNS(svg.namespaceURI, name);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      return element;
    };
    const entry = (kind, text, value) => {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.value = value;
      const glyph = drawn("svg", { class: `glyph ${kind}`, viewBox: "-6 -6 12 12", "aria-hidden": "true" });
      glyph.append(drawn("path", { d: outlines[0](0, 0, 4) }));
      button.append(glyph, text);
      button.addEventListener("mouseenter", () => forward("value", String(value)));
      button.addEventListener("mouseleave", () => forward("value", null));
      return button;
    };
    const recolour = () => {
      colours = $("colour").value === "" ? null : page.colours[Number($("colour").value)];
      for (const old of svg.querySelectorAll("path.value")) { members.delete(old); old.remove(); }
      for (const path of clusters) path.toggleAttribute("hidden", colours !== null);
      $("legend").hidden = colours !== null;
      $("colours").hidden = colours === null;
      held = null;
      bring(null);
      if (colours) {
        const n = colours.values.length, parts = Array.from({ length: n + 1 }, () => []);
        page.points.forEach((p, i) => parts[colours.codes[i]].push(p));
        const entries = [];
        for (let code = n; code >= 0; code -= 1) {
          const kind = code === n ? "none" : (colours.is_ranges ? "r" : "c") + code;
          const path = drawn("path", { class: `value ${kind}`, "data-value": code });
          members.set(path, parts[code]);
          svg.insertBefore(path, ring);
          if (code < n) entries.unshift(entry(kind, `${colours.values[code]} (${colours.counts[code]})`, code));
          else if (parts[code].length) entries.push(entry("", "others, or none", code));
        }
        $("colours").replaceChildren(...entries);
      }
      redraw();
      look(box);
    };
    page.colours.forEach((c, i) => {
      const option = document.createElement("option");
      option.value = i;
      option.textContent = c.column;
      $("colour").append(option);
    });
    $("colour").parentElement.hidden = !page.colours.length;
    $("colour").addEventListener("change", recolour);

    const entries = [...$("legend").querySelectorAll("button")];
    for (const button of entries) {
      button.addEventListener("mouseenter", () => held === null && bring(button.dataset.cluster));
      button.addEventListener("mouseleave", () => held === null && bring(null));
      button.addEventListener("click", () => {
        held = held === button.dataset.cluster ? null : button.dataset.cluster;
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
    const everything = [...all, ...document.querySelectorAll(".smaller")].map((cluster) => {
      const pictures = [...cluster.querySelectorAll(".pic")].map((picture) => {
        const [path, , , , about] = page.pictures[picture.dataset.i];
        return [picture, `${path} ${about}`.toLowerCase()];
      });
      return { cluster, pictures, text: [cluster.dataset.text, ...pictures.map((p) => p[1])].join(" ") };
    });
    const apply = () => {
      const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
      const holds = (text) => words.every((word) => text.includes(word));
      let n = 0;
      for (const { cluster, pictures, text } of everything) {
        cluster.hidden = !holds(text);
        n += cluster.hidden ? 0 : 1;
        const named = (about) => holds(`${cluster.dataset.name} ${about}`.toLowerCase());
        const some = pictures.some(([, about]) => named(about));
        for (const [picture, about] of pictures) picture.classList.toggle("off", some && !named(about));
      }
      if (words.length && $("small")) $("small").open = true;
      $("shown").textContent = n === everything.length ? "" : n + " of " + everything.length;
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
