// Keeps the page up to date with the server's events, and opens the dialog for operating a breaker.
// All texts are made on the server; here they are only put in their places, as text and never as HTML.

const SHORTLY = 3_000; // milliseconds for which a stream may be away without a word: each one ends after a while
const SILENCE = 12_000; // milliseconds without an event after which the page is not live, whatever the browser says
const LINES = 30;

const $ = (id) => document.getElementById(id);
const live = $("live");
const cards = $("cards");

// Filling places with texts

function fill(root, texts) {
  for (const place of root.querySelectorAll("[data-text]")) {
    const text = texts[place.dataset.text];
    if (text !== undefined && place.textContent !== text) place.textContent = text;
  }
  for (const path of root.querySelectorAll("[data-path]")) path.setAttribute("d", texts[path.dataset.path]);
  for (const link of root.querySelectorAll("[data-link]")) link.href = `breaker?name=${texts.key}`;
  for (const link of root.querySelectorAll("[data-group]")) link.href = `./?group=${texts.key}`;
  for (const name of ["key", "state", "control", "number", "kind"]) if (name in texts) root.dataset[name] = texts[name];
  if ("iso" in texts) root.querySelector("time").dateTime = texts.iso;
}

function made(template, texts) {
  const item = $(template).content.firstElementChild.cloneNode(true);
  fill(item, texts);
  for (const button of item.querySelectorAll(".operate")) button.hidden = false;
  return item;
}

// Brings a list to the given order of keys, moving as little as possible and leaving the focus where it is.
function arrange(list, order, known) {
  const wanted = new Set(order);
  for (const item of [...list.children]) if (!wanted.has(item.dataset.key)) item.remove();
  const focused = document.activeElement;
  order.forEach((key, index) => {
    const item = known.get(key);
    if (item && list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null);
  });
  if (list.contains(focused) && document.activeElement !== focused) focused.focus({ preventScroll: true });
}

function update(list, template, items, order) {
  const known = new Map([...list.children].map((item) => [item.dataset.key, item]));
  for (const texts of items) {
    const item = known.get(texts.key);
    if (item) fill(item, texts);
    else if ($(template)) known.set(texts.key, made(template, texts));
  }
  if (order) arrange(list, order, known);
}

function mark(list) {
  for (const item of list.children) item.toggleAttribute("data-some", item.querySelector("b").textContent !== "0");
}

// Events

function take(event) {
  document.title = event.title;
  for (const [name, text] of Object.entries(event.page)) {
    for (const place of document.querySelectorAll(`[data-text="${name}"]`)) place.textContent = text;
  }
  mark(document.querySelector(".totals"));
  update(cards, "card-template", event.cards, event.order);
  if ($("empty")) $("empty").hidden = cards.childElementCount > 0;
  if (event.groups && $("group-list")) {
    update($("group-list"), "group-template", event.groups, event.groups.map((group) => group.key));
  }
  const lines = event.lines.map((texts) => made("line-template", texts));
  if (event.first) $("lines").replaceChildren(...lines);
  else $("lines").prepend(...lines);
  while ($("lines").childElementCount > LINES) $("lines").lastElementChild.remove();
  if (!event.first) announce(event.lines);
}

function announce(lines) {
  if (!lines.length) return;
  const news = lines.slice(0, 3).map((line) => `${line.name} ${line.what}`);
  if (lines.length > 3) news.push(`and ${lines.length - 3} more changes`);
  $("news").textContent = news.join(", ");
}

// The stream

// The page of one breaker is also what a form is answered with that was refused, at an address without its name.
const only = cards.matches(".single") ? `?name=${cards.firstElementChild.dataset.key}` : null;
let source;
let away; // a timer: the stream has ended or failed
let silence; // a timer: nothing has come for a long time
let pause = 1_000; // milliseconds before a new attempt after the server has refused one

function show(state, word) {
  if (live.dataset.live === state) return;
  live.dataset.live = state;
  $("live-word").textContent = word;
}

function lost() {
  show("lost", "Not live, trying to reconnect. As");
  $("news").textContent = "The page is not live any more, trying to reconnect";
}

function heard() {
  clearTimeout(away);
  clearTimeout(silence);
  away = undefined;
  silence = setTimeout(lost, SILENCE);
}

function connect() {
  source?.close();
  if (document.hidden) return; // it is called again when the page is looked at
  source = new EventSource(`events${only ?? location.search}`);
  source.onopen = () => { pause = 1_000; };
  source.onmessage = (message) => {
    heard();
    take(JSON.parse(message.data));
    show("on", "Live");
  };
  source.onerror = () => {
    away ??= setTimeout(lost, SHORTLY);
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(connect, pause);
      pause = Math.min(2 * pause, 30_000);
    }
  };
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(away);
  clearTimeout(silence);
  away = undefined;
  connect();
});

// The filter

const filter = document.querySelector(".filter");
if (filter) {
  let typing;
  const apply = () => {
    const query = new URLSearchParams([...new FormData(filter)].filter(([, value]) => value));
    history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
    connect();
  };
  filter.querySelector(".apply").hidden = true;
  filter.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(apply, 150);
  });
  filter.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(typing);
    apply();
  });
}

// Operating

const dialog = $("dialog");
if (dialog) {
  const form = dialog.querySelector("form");
  let opener;
  for (const button of document.querySelectorAll("#cards .operate")) button.hidden = false;
  form.querySelector(".cancel").hidden = false;

  cards.addEventListener("click", (event) => {
    const button = event.target.closest(".operate");
    if (!button) return;
    const card = button.closest(".card");
    const token = form.elements.token?.value;
    form.reset();
    if (token) form.elements.token.value = token; // until the page is left, it need not be typed again
    form.elements.key.value = card.dataset.key;
    for (const place of dialog.querySelectorAll('[data-text="name"]')) {
      place.textContent = card.querySelector('[data-text="name"]').textContent;
    }
    $("problem").textContent = "";
    opener = card.dataset.key;
    dialog.showModal();
  });

  form.querySelector(".cancel").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    const card = [...cards.children].find((item) => item.dataset.key === opener);
    card?.querySelector(".operate").focus();
  });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector(".primary");
    button.disabled = true;
    $("problem").textContent = "";
    try {
      const response = await operate(form.elements);
      if (response.ok) dialog.close();
      else $("problem").textContent = (await response.json()).detail ?? `The server said ${response.status}.`;
    } catch {
      $("problem").textContent = "The server cannot be reached. Nothing may have been done: try again.";
    } finally {
      button.disabled = false;
    }
  });
}

function operate(fields) {
  const headers = { "content-type": "application/json" };
  if (fields.token) headers.authorization = `Bearer ${fields.token.value}`;
  const order = {
    key: fields.key.value,
    operation: fields.operation.value,
    reason: fields.reason.value,
  };
  return fetch("api/control", { method: "POST", headers, body: JSON.stringify(order) });
}

mark(document.querySelector(".totals"));
connect();
