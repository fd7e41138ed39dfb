"""A client of HTTP/2 over a real socket, whose protocol is that of the library h2."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

if TYPE_CHECKING:
    from serving import Client, Serving


@dataclass
class Answer:
    """What came on one stream."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    interim: list[int] = field(default_factory=list)
    ended: bool = False
    reset: int | None = None


class Http2Client:
    """Speaks HTTP/2 with prior knowledge.

    Parameters:
        serving: the server.
        window: bytes that the server may send on a stream at once.
        acknowledge: give the server back at once what it has sent.

    Attributes:
        order: stream numbers of the DATA frames that came.
        goaways: (last stream, error code) of those that came.
        over: the server has closed.
    """

    def __init__(self, serving: Serving, window: int = 65535, acknowledge: bool = True) -> None:
        self.raw: Client = serving.connect()
        self.socket = self.raw.socket
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.window = window
        self.answers: dict[int, Answer] = {}
        self.order: list[int] = []
        self.goaways: list[tuple[int, int]] = []
        self.settings: dict[int, int] = {}
        self.acks = 0
        self.over = False
        self.acknowledge = acknowledge
        self.authority = "a"

    def __enter__(self) -> Http2Client:
        self.h2.initiate_connection()
        if self.window != 65535:
            self.h2.update_settings(
                {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: self.window}
            )  # fmt: skip
        self.h2.increment_flow_control_window(2**24)
        self.flush()
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    # -- sending

    def flush(self) -> None:
        """Send what h2 wants to send."""
        self.socket.sendall(self.h2.data_to_send())

    def request(
        self, path: str, *headers: tuple[str, str], method: str = "GET", ended: bool = True,
        protocol: str = "",
    ) -> int:  # fmt: skip
        """Send the head of a request; returns its stream."""
        stream = self.h2.get_next_available_stream_id()
        pseudo = [
            (":method", method), (":scheme", "http"), (":authority", self.authority),
            (":path", path),
        ]  # fmt: skip
        if protocol:
            pseudo.append((":protocol", protocol))
        self.h2.send_headers(stream, [*pseudo, *headers], end_stream=ended)
        self.answers[stream] = Answer()
        self.flush()
        return stream

    def send_data(self, stream: int, data: bytes, ended: bool = False) -> None:
        """Send a body, or a piece of it, as fast as the server allows."""
        at = 0
        while at < len(data):
            room = min(
                self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size
            )  # fmt: skip
            if room <= 0:
                self.receive()
                continue
            self.h2.send_data(stream, data[at : at + room])
            self.flush()
            at += room
        if ended:
            self.h2.end_stream(stream)
        self.flush()

    def get(self, path: str, *headers: tuple[str, str]) -> Answer:
        """GET, and wait for the answer."""
        return self.read(self.request(path, *headers))

    def post(self, path: str, body: bytes, *headers: tuple[str, str]) -> Answer:
        """POST, and wait for the answer."""
        stream = self.request(path, *headers, method="POST", ended=False)
        self.send_data(stream, body, ended=True)
        return self.read(stream)

    def reset(self, stream: int, code: int = 8) -> None:
        """Break a stream off."""
        self.h2.reset_stream(stream, code)
        self.flush()

    # -- receiving

    def read(self, stream: int) -> Answer:
        """The answer on a stream, when it is complete or was reset."""
        answer = self.answers[stream]
        while not answer.ended and answer.reset is None:
            self.receive()
        return answer

    def read_some(self, stream: int, size: int) -> bytes:
        """Wait for that many bytes of an answer, and take them."""
        answer = self.answers[stream]
        while len(answer.body) < size:
            self.receive()
        data, answer.body = answer.body[:size], answer.body[size:]
        return data

    def read_head(self, stream: int) -> Answer:
        """Wait for the head of an answer."""
        while not self.answers[stream].status:
            self.receive()
        return self.answers[stream]

    def receive(self) -> None:
        """Wait for more from the server."""
        data = self.socket.recv(1 << 20)
        if not data:
            self.over = True
            raise ConnectionError("the server closed the connection")
        for event in self.h2.receive_data(data):
            self._take(event)
        self.flush()

    def read_to_the_end(self) -> None:
        """Everything until the server closes."""
        try:
            while True:
                self.receive()
        except ConnectionError:
            pass

    def _give_back(self, stream: int, size: int) -> None:
        """Allow as much as has come; h2 by itself waits for more than a small window holds."""
        if size:
            self.h2.increment_flow_control_window(size)
            try:
                self.h2.increment_flow_control_window(size, stream)
            except (KeyError, h2.exceptions.ProtocolError):
                pass  # the stream is over

    def _take(self, event: Any) -> None:
        answer = self.answers.get(getattr(event, "stream_id", None) or 0, Answer())
        if isinstance(event, h2.events.ResponseReceived):
            answer.fields = [(str(name), str(text)) for name, text in event.headers]
            answer.headers = dict(answer.fields)
            answer.status = int(answer.headers.pop(":status"))
        elif isinstance(event, h2.events.InformationalResponseReceived):
            answer.interim.append(int(dict(event.headers)[":status"]))
        elif isinstance(event, h2.events.DataReceived):
            answer.body += event.data
            self.order.append(event.stream_id)
            if self.acknowledge:
                self._give_back(event.stream_id, event.flow_controlled_length)
        elif isinstance(event, h2.events.TrailersReceived):
            answer.trailers = {str(name): str(text) for name, text in event.headers}
        elif isinstance(event, h2.events.StreamEnded):
            answer.ended = True
        elif isinstance(event, h2.events.StreamReset):
            answer.reset = int(event.error_code)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaways.append((event.last_stream_id, int(event.error_code)))
        elif isinstance(event, h2.events.RemoteSettingsChanged):
            self.settings |= {int(key): item.new_value for key, item in
                              event.changed_settings.items()}  # fmt: skip
        elif isinstance(event, h2.events.PingAckReceived):
            self.acks += 1
