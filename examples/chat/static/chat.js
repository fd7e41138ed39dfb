// Connects to the room of the page. Text is set as text, never as HTML.
const [enter, say] = ["enter", "say"].map((id) => document.getElementById(id));
const room = encodeURIComponent(document.body.dataset.room);

function show({ name, text, event, error }) {
  const line = document.createElement("li");
  if (name) line.append(Object.assign(document.createElement("b"), { textContent: name }));
  line.append(text ?? event ?? error);
  line.className = text ? "" : "event";
  document.getElementById("messages").append(line);
  line.scrollIntoView();
}

function connect(name) {
  const address = new URL(`rooms/${room}?name=${encodeURIComponent(name)}`, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  socket.onopen = () => {
    enter.hidden = true;
    say.hidden = false;
    say.text.focus();
    say.onsubmit = (submitted) => {
      submitted.preventDefault();
      socket.send(JSON.stringify({ text: say.text.value }));
      say.reset();
    };
  };
  socket.onmessage = ({ data }) => show(JSON.parse(data));
  socket.onclose = ({ code }) => {
    show({ event: "the connection is closed" });
    // 1012: the service restarts; 1006: it is gone. All come back, but not at the same moment.
    if (code === 1012 || code === 1006) setTimeout(connect, 1000 + 2000 * Math.random(), name);
  };
}

enter.onsubmit = (submitted) => {
  submitted.preventDefault();
  connect(enter.name.value);
};
