"""An SMTP server (aiosmtpd) in a process of its own, so that it can be killed and frozen like the others."""

import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from testing.servers.base import HOST, Server

_PROGRAM = Path(__file__).with_name("smtp_program.py")


@dataclass(frozen=True)
class ReceivedMessage:
    """One message the server has answered with 250."""

    sender: str
    recipients: tuple[str, ...]
    content: EmailMessage


class SmtpServer(Server):
    """An SMTP server that keeps what it accepts and can be told to refuse."""

    name = "smtp"

    @property
    def url(self) -> str:
        """``smtp://127.0.0.1:PORT``."""
        return f"smtp://{HOST}:{self.port}"

    @property
    def messages(self) -> list[ReceivedMessage]:
        """The accepted messages, oldest first; they outlive a restart."""
        return [_read(path) for path in sorted((self.folder / "messages").glob("*.eml"))]

    def refuse_next(self, reply: str, times: int = 1) -> None:
        """Answer the next ``times`` messages with ``reply`` ("451 Try again later") instead of 250."""
        queue = self.folder / "replies"
        start = max((int(reply.name) for reply in queue.iterdir()), default=-1) + 1
        for number in range(start, start + times):
            unfinished = self.folder / "reply.new"
            unfinished.write_text(reply)
            unfinished.rename(queue / f"{number:06}")

    def _prepare(self) -> None:
        for name in ("messages", "replies"):
            (self.folder / name).mkdir(exist_ok=True)

    def _command(self) -> Sequence[str | Path]:
        return [sys.executable, _PROGRAM, str(self.port), self.folder]

    def _answers(self, connection: socket.socket) -> bool:
        if not connection.recv(512).startswith(b"220"):
            return False
        connection.sendall(b"QUIT\r\n")
        return connection.recv(512).startswith(b"221")


def _read(path: Path) -> ReceivedMessage:
    envelope, _, content = path.read_bytes().partition(b"\n")
    sender, *recipients = envelope.decode().split("\t")
    return ReceivedMessage(sender, tuple(recipients), message_from_bytes(content, policy=policy.default))
