"""The process of `SmtpServer`: ``python smtp_program.py PORT FOLDER``.

An accepted message becomes ``FOLDER/messages/N.eml``: a line with sender and recipients, then the message.
A file in ``FOLDER/replies`` is the answer to the next message, and is used up by it.
"""

import asyncio
import signal
import sys
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session


class Mailbox:
    """aiosmtpd handler that writes messages to files."""

    def __init__(self, folder: Path) -> None:
        self._messages = folder / "messages"
        self._replies = folder / "replies"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Take one message, or refuse it as told."""
        for reply in sorted(self._replies.iterdir()):
            text = reply.read_text()
            reply.unlink()
            return text
        number = len(list(self._messages.glob("*.eml")))
        head = "\t".join([envelope.mail_from or "", *envelope.rcpt_tos]).encode()
        content = envelope.original_content or b""
        unfinished = self._messages / "unfinished"
        unfinished.write_bytes(head + b"\n" + content)
        unfinished.rename(self._messages / f"{number:06}.eml")
        return "250 Message accepted for delivery"


async def main(port: int, folder: Path) -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    handler = Mailbox(folder)
    server = await loop.create_server(lambda: SMTP(handler, hostname="localhost", loop=loop), "127.0.0.1", port)
    async with server:
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
