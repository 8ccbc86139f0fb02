// Requests to the server: JSON in, JSON out; an error is an Error with the server's sentence.

async function answer(response) {
  const kind = response.headers.get("content-type") || "";
  if (kind.startsWith("application/json")) {
    const value = await response.json();
    if (!response.ok) throw new Error(value.error || response.statusText);
    return value;
  }
  throw new Error((await response.text()) || response.statusText);
}

async function send(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer. Was it ended? Nothing that it confirmed is lost.");
  }
  return answer(response);
}

export const who = {
  get: () => localStorage.getItem("reviewer") || "",
  set: (name) => (name ? localStorage.setItem("reviewer", name) : localStorage.removeItem("reviewer")),
};

export const get = (path, values = {}) => {
  const query = new URLSearchParams(Object.entries(values).filter(([, v]) => v !== undefined && v !== null));
  return send(`${path}${query.size ? `?${query}` : ""}`);
};

export const post = (path, values) =>
  send(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ who: who.get() || undefined, ...values }),
  });

export const upload = (file, box) => {
  const query = box ? `?${new URLSearchParams({ x: box.x, y: box.y, w: box.w, h: box.h })}` : "";
  return send(`/api/search${query}`, { method: "POST", body: file });
};

export const thumb = (id) => `/picture/thumb/${encodeURIComponent(id)}`;
export const large = (id) => `/picture/large/${encodeURIComponent(id)}`;
export const picture = (id) => `/picture/picture/${encodeURIComponent(id)}`;
