// Keeps a page up to date. Everything on it is rendered by the service and works without this script: when something
// has happened, the same page is fetched again, and those of its parts that have changed are put in.
"use strict";

(() => {
  const SETTLE = 250; // milliseconds: changes that come together are one change
  const APART = 1000; // milliseconds between two fetches, however much happens
  const LOOK_ANYWAY = 30000; // milliseconds: what no event tells of, such as a backlog that grows
  const RECONNECT = [1000, 2000, 5000, 10000, 20000];

  const clock = new Intl.DateTimeFormat(undefined, {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
    hourCycle: "h23",
  });

  // Times: the reader's own, with UTC to be seen on hovering. `age` in condition.py says the same.
  const age = (seconds) => {
    const past = Math.max(0, seconds);
    if (past < 60) return `${Math.floor(past)} s`;
    if (past < 3600) return `${Math.floor(past / 60)} min`;
    if (past < 86400) return `${Math.floor(past / 3600)} h`;
    return `${Math.floor(past / 86400)} d`;
  };

  const offset = { milliseconds: 0 }; // of the service's clock from the reader's

  const tellTimes = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      const utc = (time.dataset.utc ??= time.title);
      if (time.classList.contains("ago")) {
        time.textContent = age((Date.now() + offset.milliseconds - at) / 1000);
        time.title = `${clock.format(at)} (${utc})`;
      } else {
        time.textContent = clock.format(at);
        time.title = utc;
      }
    }
  };

  const say = (text) => {
    document.getElementById("said").textContent = text;
  };

  // The parts of the page that are kept up to date, as the service last sent them.
  const sent = new Map();
  const parts = (root) => root.querySelectorAll("[data-live][id]");
  for (const part of parts(document)) sent.set(part.id, part.innerHTML);

  const isTypedInto = (part) =>
    part.matches("[data-keep]") || // the service has put in again what was typed before
    [...part.querySelectorAll("input, textarea")].some(
      (field) => field.type !== "hidden" && field.value !== field.defaultValue,
    ) || part.contains(document.activeElement?.closest("select, input, textarea") ?? null);

  const put = (part, fresh) => {
    const known = new Set([...part.querySelectorAll("[data-id]")].map((row) => row.dataset.id));
    const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
    const opened = [...part.querySelectorAll("details[open][id]")].map((details) => details.id);
    part.replaceChildren(...document.adoptNode(fresh).childNodes);
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    const news = [...part.querySelectorAll("[data-id]")].filter((row) => !known.has(row.dataset.id));
    for (const row of news) row.classList.add("is-new");
    if (news.length === 1) say(`New incident: ${news[0].dataset.title}`);
    if (news.length > 1) say(`${news.length} new incidents`);
  };

  const replaceParts = (fresh) => {
    if (!fresh.getElementById("main")) return;
    const error = fresh.getElementById("error");
    if (Boolean(error) !== Boolean(document.getElementById("error"))) {
      // The database has gone or is back. What somebody has typed stays to be seen.
      const main = document.getElementById("main");
      const isKept = main.querySelector("[data-keep]") || [...main.querySelectorAll("form[method=post]")].some(isTypedInto);
      if (!isKept) {
        main.replaceChildren(...document.adoptNode(fresh.getElementById("main")).childNodes);
        for (const part of parts(main)) sent.set(part.id, part.innerHTML);
      }
    }
    for (const part of [...parts(fresh)]) {
      const here = document.getElementById(part.id);
      const text = part.innerHTML;
      if (!here || sent.get(part.id) === text || isTypedInto(here)) continue;
      sent.set(part.id, text);
      put(here, part);
    }
    if (document.title !== fresh.title) document.title = fresh.title;
    tellTimes(document);
  };

  let refreshing = false;
  let again = false;
  let isLeaving = false; // a form was sent, and its answer takes the place of this page
  const refresh = async () => {
    if (isLeaving) return;
    if (refreshing) {
      again = true;
      return;
    }
    refreshing = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (isLeaving) return;
      if (answer.redirected && new URL(answer.url).pathname === "/login") {
        location.reload(); // the session is over
        return;
      }
      if ((answer.headers.get("content-type") ?? "").startsWith("text/html")) {
        offset.milliseconds = new Date(answer.headers.get("date") ?? Date.now()) - Date.now();
        replaceParts(new DOMParser().parseFromString(await answer.text(), "text/html"));
      }
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // a TypeError is the network's: the next event or look tries again
    } finally {
      refreshing = false;
      if (again) {
        again = false;
        soon();
      }
    }
  };

  let timer = 0;
  let last = 0;
  const soon = () => {
    timer ||= setTimeout(() => {
      timer = 0;
      last = Date.now();
      refresh();
    }, Math.max(SETTLE, last + APART - Date.now()));
  };

  // The stream of changes. A tab in the background lets go of it: browsers allow few connections to one server.
  const light = document.getElementById("live");
  const tellLight = (isOn) => {
    light.hidden = false;
    light.classList.toggle("is-off", !isOn);
    light.textContent = isOn ? "Live" : "Not live: connecting";
  };

  let stream = null;
  let failures = 0;
  let retry = 0;
  const close = () => {
    clearTimeout(retry);
    stream?.close();
    stream = null;
  };
  const open = () => {
    close();
    stream = new EventSource(document.body.dataset.stream);
    // `joined` comes a moment after the connection is there: what has happened in between is told by no other event.
    for (const name of ["joined", "incident.opened", "incident.changed", "incident.resolved", "circuit_breaker"]) {
      stream.addEventListener(name, soon);
    }
    stream.addEventListener("open", () => {
      failures = 0;
      tellLight(true);
      soon(); // what happened before
    });
    stream.addEventListener("error", () => {
      // An EventSource gives up for good when it is refused, and its own pauses do not grow.
      tellLight(false);
      close();
      retry = setTimeout(open, RECONNECT[Math.min(failures, RECONNECT.length - 1)]);
      failures += 1;
      soon();
    });
  };

  // One press is one change, however often a button is pressed.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
    isLeaving = true;
    form.querySelector("button")?.setAttribute("aria-disabled", "true");
  });
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    isLeaving = false;
    for (const form of document.querySelectorAll("form[data-sent]")) {
      delete form.dataset.sent;
      form.querySelector("button")?.removeAttribute("aria-disabled");
    }
    if (document.body.dataset.stream) open();
  });

  // The choice of the list takes effect at once.
  document.addEventListener("change", (event) => {
    if (event.target.matches(".filter select")) event.target.form.requestSubmit();
  });

  // What was said after a change is not said again after a reload.
  const here = new URL(location.href);
  if (here.searchParams.has("done")) {
    here.searchParams.delete("done");
    history.replaceState(null, "", here);
  }

  tellTimes(document);
  if (document.body.dataset.stream) {
    if (!document.hidden) open();
    setInterval(() => tellTimes(document), 10000);
    setInterval(() => document.hidden || refresh(), LOOK_ANYWAY);
    document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
    addEventListener("pagehide", close);
  }
})();
