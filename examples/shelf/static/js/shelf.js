// Shelf works without this file. What is nicer with it: changing a book in place, by the JSON API.
"use strict";

const toast = document.querySelector(".toast");

function say(text) {
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { toast.hidden = true; }, 3000);
}

// Errors come as {"code": 40400, "message": "not found", "more_info": "no such book"}.
async function api(url, method = "GET", data = undefined) {
  const headers = { Accept: "application/json" };
  if (data) headers["Content-Type"] = "application/json";
  const answer = await fetch(url, { method, headers, body: data && JSON.stringify(data) });
  const text = await answer.text();
  const result = text ? JSON.parse(text) : {};
  if (!answer.ok) throw new Error(result.more_info || result.message);
  return result;
}

function press(group, value) {
  const upTo = group.dataset.field === "rating";
  for (const button of group.querySelectorAll("button")) {
    const on = upTo ? Number(button.value) <= Number(value) : button.value === value;
    button.setAttribute("aria-pressed", String(on));
  }
  const select = document.querySelector(`.book-form [name=${group.dataset.field}]`);
  if (select) select.value = value;
}

const book = document.querySelector("article.book");
if (book) {
  for (const group of book.querySelectorAll("[data-field]")) {
    group.addEventListener("click", async (event) => {
      const value = event.target.value;
      if (!value) return;
      try {
        const changed = await api(book.dataset.api, "PATCH", { [group.dataset.field]: value });
        press(group, changed[group.dataset.field]);
        say("Saved");
      } catch (error) {
        say(error.message);
      }
    });
  }
  book.querySelector(".remove").addEventListener("click", async () => {
    if (!confirm("Remove this book?")) return;
    try {
      await api(book.dataset.api, "DELETE");
      location.href = book.dataset.home;
    } catch (error) {
      say(error.message);
    }
  });
}

const clock = document.querySelector("[data-clock]");
if (clock) {
  clock.textContent = "…";
  api(clock.dataset.clock).then(
    (now) => { clock.textContent = `${now.time}, from ${now.thread} of worker ${now.worker}`; },
    (error) => { clock.textContent = error.message; },
  );
}

// The reading room: one socket for as long as the page is open. The server closes it when it
// restarts; then it is opened again.
const room = document.querySelector("[data-room]");
if (room) {
  const [enter, talk] = room.querySelectorAll("form");
  const said = room.querySelector(".said");
  let socket;

  function show({ who, text, event, error }) {
    if (error) return say(error);
    const line = document.createElement("li");
    const name = document.createElement("strong");
    line.classList.toggle("event", Boolean(event));
    name.textContent = who;
    line.append(name, " ", text);
    said.append(line);
    line.scrollIntoView({ block: "nearest" });
  }

  function connect(pause) {
    const url = new URL(room.dataset.room, location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    url.search = new URLSearchParams({ name: enter.elements.name.value });
    socket = new WebSocket(url);
    socket.onopen = () => { pause = 500; };
    socket.onmessage = (message) => show(JSON.parse(message.data));
    socket.onclose = () => setTimeout(connect, pause, Math.min(2 * pause, 30000));
  }

  enter.addEventListener("submit", (event) => {
    event.preventDefault();
    enter.hidden = true;
    said.hidden = talk.hidden = false;
    talk.elements.text.focus();
    connect(500);
  });
  talk.addEventListener("submit", (event) => {
    event.preventDefault();
    if (socket.readyState !== WebSocket.OPEN) return say("One moment, the room is being opened");
    socket.send(JSON.stringify({ text: talk.elements.text.value }));
    talk.reset();
  });
}

// "/" jumps to the search field.
const search = document.querySelector("input[type=search]");
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  if (search && event.key === "/" && !typing) {
    event.preventDefault();
    search.focus();
  }
});
