// Lets a page follow what is saved; the service sends it under --devel only.
(() => {
  "use strict";
  const script = document.currentScript;
  if (!script || window.skitaiRefresh) return;
  try {
    // A frame is loaded anew with the page around it.
    if (window.top !== window && window.top.skitaiRefresh) return;
  } catch { /* a page of somebody else is around */ }
  window.skitaiRefresh = true;

  const MOST_RELOADS = 6; // in a row, for the same state: another service answers, then
  const events = new URL("refresh", script.src).href;
  const name = "skitai-devel " + events;
  const posted = "posted" in script.dataset;
  const others = "BroadcastChannel" in window ? new BroadcastChannel(name) : null;
  let state = script.dataset.state;
  let source = null, leads = false, pause = 0, latest = null, leaving = false, overlay = null;

  // What is told

  function hear(event) {
    latest = event;
    const order = compare(event.state);
    if (order < 0) return retry(200); // a worker that is about to end
    if (order > 0) {
      if (event.kind === "style" && isNext(event.state) && swapStyles()) state = event.state;
      else return reload(event.state);
    }
    remember(null);
    if (event.failure) show(event.failure);
    else hide();
  }

  function compare(other) {
    if (other === state) return 0;
    const [service, ...numbers] = other.split("."), [mine, ...own] = state.split(".");
    if (service !== mine) return 1;
    const at = numbers.findIndex((number, index) => number !== own[index]);
    return numbers[at] - own[at];
  }

  function isNext(other) {
    const [service, generation, count] = state.split(".");
    return other === `${service}.${generation}.${+count + 1}`;
  }

  function reload(wanted) {
    if (leaving) return;
    if (posted) return show({ title: "The code has changed", note: true });
    const count = remember(wanted);
    if (count > MOST_RELOADS) {
      console.warn("skitai: this page stays out of date, another service answers at", events);
      return;
    }
    leaving = true;
    setTimeout(() => location.reload(), count > 1 ? 50 * 2 ** count : 0);
  }

  // How often this page was loaded anew for a state; null: it has it.
  function remember(wanted) {
    const key = name + " " + location.pathname;
    try {
      if (wanted === null) return void sessionStorage.removeItem(key);
      const [before, count] = (sessionStorage.getItem(key) || " 0").split(" ");
      const next = before === wanted ? +count + 1 : 1;
      sessionStorage.setItem(key, wanted + " " + next);
      return next;
    } catch {
      return 2; // no storage: never at once
    }
  }

  // Styles

  function swapStyles() {
    const links = [...document.querySelectorAll("link[rel~=stylesheet][href]")].filter(
      (link) => new URL(link.href).origin === location.origin);
    if (!links.length) return false;
    // Also what styles import has to come from the service and not from the cache.
    const known = performance.getEntriesByType("resource").map((entry) => entry.name.split("#")[0])
      .filter((url) => new URL(url).origin === location.origin && /\.css($|\?)/.test(url));
    const fresh = [...new Set(known)].map((url) => fetch(url, { cache: "reload" }).catch(() => 0));
    Promise.all(fresh).then(() => links.forEach(swap));
    return true;
  }

  function swap(link) {
    if (!link.isConnected) return;
    const url = new URL(link.href), next = link.cloneNode();
    url.searchParams.set("skitai-devel", state);
    next.href = url.href;
    next.onload = next.onerror = () => link.remove();
    link.after(next);
  }

  // The connection: one page of a browser has it and tells the others

  function connect() {
    if (source || leaving || !(leads || !document.hidden)) return;
    source = new EventSource(events);
    source.onmessage = ({ data }) => {
      pause = 0;
      const event = JSON.parse(data);
      if (others) others.postMessage(event);
      hear(event);
    };
    source.onerror = () => retry((pause = Math.min(2000, pause * 1.5 + 30)));
  }

  function disconnect() {
    if (source) source.close();
    source = null;
  }

  function retry(delay) {
    if (!source) return;
    disconnect();
    setTimeout(connect, delay);
  }

  if (others) {
    others.onmessage = ({ data }) => {
      if (data !== "?") hear(data);
      else if (source && latest) others.postMessage(latest);
    };
  }
  if (navigator.locks && others) {
    others.postMessage("?");
    navigator.locks.request(name, () => {
      leads = true;
      connect();
      return new Promise(() => {}); // for as long as the page is there
    }).catch(() => 0);
  } else {
    // Browsers have few connections for a service: only pages that are seen take one.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) disconnect();
      else connect();
    });
    connect();
  }
  addEventListener("pagehide", () => { leaving = true; disconnect(); });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  // The overlay

  const LOOK = `
    :host { all: initial }
    section { position: fixed; inset: 0; z-index: 2147483647; overflow: auto; padding: 4vh 1rem;
      background: rgb(20 20 22 / 72%); font: 15px/1.5 system-ui, sans-serif; color: #222 }
    article { max-width: 62rem; margin: auto; padding: 1.2rem 1.5rem; background: #fff;
      border-top: 5px solid #c33; border-radius: 6px; overflow-wrap: anywhere }
    h1 { font-size: 1.1rem; margin: 0 2rem .4rem 0; color: #a11; white-space: pre-wrap }
    p { margin: .4rem 0; color: #666 }
    pre { background: #f4f4f2; padding: .6rem .8rem; overflow-x: auto; border-radius: 6px;
      font: 13px/1.5 ui-monospace, monospace; margin: .4rem 0 }
    pre span { display: block } pre .here { background: #fde3df }
    button { float: right; font: inherit; border: 0; background: none; cursor: pointer }
    .note { position: fixed; inset: auto 1rem 1rem auto; padding: 0; background: none }
    @media (prefers-color-scheme: dark) { article { background: #181818; color: #ddd }
      pre { background: #242424 } pre .here { background: #532c28 } h1 { color: #ff9c8f }
      p { color: #999 } button { color: #ddd } }`;

  function make(tag, text, kind) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (kind) element.className = kind;
    return element;
  }

  function show(failure) {
    hide();
    overlay = make("skitai-devel");
    const root = overlay.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet(); // a policy of the page may forbid <style>
    sheet.replaceSync(LOOK);
    root.adoptedStyleSheets = [sheet];
    const section = make("section", undefined, failure.note ? "note" : ""), article = make("article");
    section.setAttribute("role", "alert");
    const close = make("button", "\u2715");
    close.setAttribute("aria-label", "Close");
    close.onclick = hide;
    article.append(close, make("h1", failure.title));
    if (failure.note) article.append(make("p", "This page shows the answer to a form: load it anew."));
    else fill(article, failure);
    section.append(article);
    root.append(section);
    document.documentElement.append(overlay);
    addEventListener("keydown", escape);
  }

  function fill(article, failure) {
    if (failure.file) article.append(make("p", `${failure.file}, line ${failure.line}`, "place"));
    if (failure.excerpt.length) {
      const source = make("pre", undefined, "excerpt");
      for (const [number, text] of failure.excerpt) {
        const here = number === failure.line ? "here" : "";
        source.append(make("span", `${String(number).padStart(5)}  ${text}`, here));
      }
      article.append(source);
    }
    article.append(make("pre", failure.trace, "trace"));
    article.append(make("p", "The code from before goes on. This goes away when a save mends it."));
  }

  function hide() {
    if (overlay) overlay.remove();
    overlay = null;
    removeEventListener("keydown", escape);
  }

  function escape(event) {
    if (event.key === "Escape") hide();
  }
})();
