# SPDX-License-Identifier: Apache-2.0
"""Both ends of a conversation over IPv4, run on a guest or a router by any Python; ends when its input does.

``talk.py answer PORT``             print ``PROTOCOL CLIENT LOCAL TEXT`` of all that comes, answer ``NAME CLIENT LOCAL``
``talk.py keep tcp ADDRESS PORT``   say a number every 20 ms over one connection; print each answer, or how it ended
``talk.py keep udp ADDRESS PORT``   the same from one socket, whatever the network says of its datagrams
``talk.py ask PROTOCOL ADDRESS PORT [SOURCE]``  ask once, print the answer or the error
``talk.py begin ADDRESS PORT``      begin a connection every 20 ms; print ``begun N``, then ``ok N`` or ``ERROR N``

The tricky thing: an answer must leave with the address that was asked, which UDP does not do by itself.
"""

import contextlib
import errno
import itertools
import os
import platform
import socket
import struct
import sys
import threading
import time

PAUSE = 0.02
PATIENCE = 12.0
"""Seconds after which a connection counts as dead: SYNs are sent again after 1, 3 and 7 s."""
_IP_PKTINFO = 8


def tell(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def begin_thread(target: object, *arguments: object) -> None:
    threading.Thread(target=target, args=arguments, daemon=True).start()  # type: ignore[arg-type]  # any callable


def answer(port: str) -> None:
    listener = socket.create_server(("", int(port)), backlog=64)
    begin_thread(answer_udp, int(port))
    while True:
        begin_thread(answer_tcp, *listener.accept())


def answer_tcp(connection: socket.socket, client: tuple[str, int]) -> None:
    local = connection.getsockname()[0]
    with contextlib.suppress(ConnectionError), connection, connection.makefile("rw") as lines:
        for line in lines:
            tell("tcp", client[0], local, line.strip())
            lines.write(f"{platform.node()} {client[0]} {local}\n")
            lines.flush()


def answer_udp(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        listener.bind(("", port))
        while True:
            text, ((_, _, info),), _, client = listener.recvmsg(1024, 64)
            local = info[4:8]
            tell("udp", client[0], socket.inet_ntoa(local), text.decode())
            said = f"{platform.node()} {client[0]} {socket.inet_ntoa(local)}".encode()
            source = [(socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("@I4s4s", 0, local, b"\0" * 4))]
            listener.sendmsg([said], source, 0, client)


def keep(protocol: str, address: str, port: str) -> None:
    {"tcp": keep_tcp, "udp": keep_udp}[protocol]((address, int(port)))


def keep_tcp(server: tuple[str, int]) -> None:
    try:
        with socket.create_connection(server, PATIENCE) as connection, connection.makefile("rw") as lines:
            number = 0
            while True:
                lines.write(f"{number}\n")
                lines.flush()
                said = lines.readline()
                if not said:
                    tell("closed")
                    return
                tell(number, said.strip())
                number += 1
                time.sleep(PAUSE)
    except OSError as error:
        tell("ended", named(error))


def keep_udp(server: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flow:
        flow.settimeout(PAUSE)
        number = 0
        while True:
            try:
                flow.sendto(str(number).encode(), server)
                tell(number, flow.recv(1024).decode())
                time.sleep(PAUSE)
            except OSError as error:
                tell(number, named(error))
                time.sleep(0 if isinstance(error, TimeoutError) else PAUSE)
            number += 1


def ask(protocol: str, address: str, port: str, source: str = "") -> None:
    kind = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}[protocol]
    with socket.socket(socket.AF_INET, kind) as one:
        one.settimeout(2)
        try:
            if source:
                one.bind((source, 0))
            one.connect((address, int(port)))
            one.send(b"who\n")
            tell(one.recv(1024).decode().strip())
        except OSError as error:
            tell(named(error))


def begin(address: str, port: str) -> None:
    for number in itertools.count():
        begin_thread(begin_one, (address, int(port)), number)
        time.sleep(PAUSE)


def begin_one(server: tuple[str, int], number: int) -> None:
    tell("begun", number)
    try:
        with socket.create_connection(server, PATIENCE) as connection, connection.makefile("rw") as lines:
            lines.write("hello\n")
            lines.flush()
            tell("ok" if lines.readline() else "closed", number)
    except OSError as error:
        tell(named(error), number)


def named(error: OSError) -> str:
    return errno.errorcode.get(error.errno or errno.ETIMEDOUT, str(error))


if __name__ == "__main__":
    if sys.argv[1] == "ask":
        ask(*sys.argv[2:])
        sys.exit()
    begin_thread({"answer": answer, "keep": keep, "begin": begin}[sys.argv[1]], *sys.argv[2:])
    sys.stdin.read()
    os._exit(0)
