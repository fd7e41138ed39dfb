"use strict";
// Asks for the sums of the service every second, and draws what changed between two answers.

const KEPT = 180, SECOND = 1000;
const source = document.body.dataset.source;
const history = [];
let before = null;

const byId = (id) => document.getElementById(id);

function short(number) {
  if (number >= 1e6) return (number / 1e6).toFixed(1) + " M";
  if (number >= 1e4) return (number / 1e3).toFixed(1) + " k";
  return number >= 100 || Number.isInteger(number) ? number.toFixed(0) : number.toFixed(1);
}

function bytes(number) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let at = 0;
  while (number >= 1024 && at < units.length - 1) { number /= 1024; at++; }
  return (at && number < 100 ? number.toFixed(1) : number.toFixed(0)) + " " + units[at];
}

function time(seconds) {
  const [minute, hour, day] = [60, 3600, 86400];
  if (seconds >= day) return Math.floor(seconds / day) + " d " + Math.floor(seconds % day / hour) + " h";
  if (seconds >= hour) return Math.floor(seconds / hour) + " h " + Math.floor(seconds % hour / minute) + " min";
  if (seconds >= minute) return Math.floor(seconds / minute) + " min " + Math.floor(seconds % minute) + " s";
  return Math.floor(seconds) + " s";
}

function milliseconds(value) {
  if (value === null) return "–";
  return value < 1 ? value.toFixed(1) + " ms" : value < 1000 ? value.toFixed(0) + " ms" : (value / 1000).toFixed(1) + " s";
}

// What part of the requests took so long or less, in milliseconds; within a bucket it is a guess.
function quantile(counts, bounds, part) {
  const all = counts.reduce((sum, count) => sum + count, 0);
  if (!all) return null;
  let seen = 0;
  for (let at = 0; at < counts.length; at++) {
    if (seen + counts[at] >= part * all && counts[at]) {
      const low = at ? bounds[at - 1] : 0, high = at < bounds.length ? bounds[at] : low;
      return 1000 * (low + (high - low) * (part * all - seen) / counts[at]);
    }
    seen += counts[at];
  }
  return null;
}

function point(now) {
  const seconds = Math.max(0.001, now.time - before.time);
  const rate = (name) => Math.max(0, now.statuses[name] - before.statuses[name]) / seconds;
  const latencies = now.latencies.map((count, at) => Math.max(0, count - before.latencies[at]));
  const sum = (field) => now.workers.reduce((total, worker) => total + worker[field], 0);
  return {
    rate: Object.keys(now.statuses).reduce((total, name) => total + rate(name), 0),
    client: rate("4xx"), server: rate("5xx"),
    half: quantile(latencies, now.bounds, 0.5), most: quantile(latencies, now.bounds, 0.95),
    running: sum("running"), waiting: sum("waiting"),
    received: (now.received - before.received) / seconds, sent: (now.sent - before.sent) / seconds,
  };
}

function element(name, text, attributes) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  return made;
}

function drawn(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (text) made.textContent = text;
  return made;
}

function chart(id, fields, format) {
  const svg = byId(id), width = svg.clientWidth || 400, height = 120, top = 12;
  const values = history.flatMap((entry) => fields.map((field) => entry[field] || 0));
  const most = Math.max(...values, 0) || 1;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const parts = [top, (top + height - 2) / 2, height - 2].map(
    (y) => drawn("path", { class: "grid", d: `M0 ${y}H${width}` }));
  parts.push(drawn("text", { x: 2, y: top - 2 }, format(most)));
  fields.forEach((field, index) => {
    let path = "", pen = "M";
    history.forEach((entry, at) => {
      if (entry[field] === null) { pen = "M"; return; }
      const x = width - (history.length - 1 - at) * width / (KEPT - 1);
      const y = height - 2 - entry[field] / most * (height - 2 - top);
      path += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
      pen = "L";
    });
    parts.push(drawn("path", { class: index ? "two" : "one", d: path || "M0 0" }));
  });
  svg.replaceChildren(...parts);
}

function table(id, rows) {
  byId(id).replaceChildren(...rows.map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells.map((cell) => Array.isArray(cell)
      ? element("td", cell[0], { class: cell[1] }) : element("td", cell)));
    return row;
  }));
}

function show(now, last) {
  const count = (object) => Object.values(object).reduce((sum, number) => sum + number, 0);
  const kinds = Object.entries(now.connections).map(([name, number]) => `${number} ${name}`).join(", ");
  const tiles = [
    ["requests", short(count(now.statuses))], ["up", time(now.uptime)],
    ["workers", now.workers.length], ["connections", kinds || "0"],
    ["received / s", bytes(last ? last.received : 0)], ["sent / s", bytes(last ? last.sent : 0)],
    ["workers replaced", now.restarts], ["reloads", now.reloads],
    ["stuck, blocked", `${now.stuck}, ${now.blocked}`],
  ];
  byId("tiles").replaceChildren(...tiles.map(([name, value]) => {
    const tile = element("div", "", { class: "tile", "data-name": name });
    tile.append(element("b", String(value)), element("span", name));
    return tile;
  }));
  table("workers", now.workers.map((worker) => [
    worker.worker + (worker.draining ? " (ending)" : ""), worker.pid, time(now.time - worker.started),
    bytes(worker.memory), worker.running, worker.waiting, `${worker.awake} of ${worker.threads}`,
    count(worker.connections), worker.websockets,
  ]));
  byId("upstream-part").hidden = !now.upstreams.length;
  table("upstreams", now.upstreams.map((member) => [
    member.upstream, member.member, member.up ? "up" : ["down", "bad"], member.busy, member.failures,
  ]));
  byId("job-part").hidden = !now.jobs.length;
  const counted = (number) => number ? [number, "bad"] : number;
  table("jobs", now.jobs.map((job) => [
    job.name, job.when, job.running, job.runs, counted(job.failures), counted(job.timeouts),
    job.skipped, job.restarts,
    job.last_seconds < 10 ? `${job.last_seconds.toFixed(2)} s` : time(job.last_seconds),
    job.last_start ? time(now.time - job.last_start) + " ago" : "",
  ]));
  if (!last) return;
  byId("rate-now").textContent = short(last.rate);
  byId("latency-now").textContent = `${milliseconds(last.half)}, ${milliseconds(last.most)}`;
  byId("errors-now").textContent = `${short(last.client)}, ${short(last.server)}`;
  byId("running-now").textContent = `${last.running}, ${last.waiting}`;
  chart("rate", ["rate"], short);
  chart("latency", ["half", "most"], milliseconds);
  chart("errors", ["client", "server"], short);
  chart("running", ["running", "waiting"], short);
}

function say(text, kind) {
  byId("state").textContent = text;
  byId("state").className = kind;
}

async function ask() {
  try {
    const answer = await fetch(source, { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    const now = await answer.json();
    const last = before && now.time > before.time ? point(now) : null;
    if (last && history.push(last) > KEPT) history.shift();
    before = now;
    show(now, last);
    say("serving", "ok");
  } catch (error) {
    say("no answer since " + new Date().toLocaleTimeString(), "lost");
  }
  setTimeout(ask, SECOND);
}

ask();
