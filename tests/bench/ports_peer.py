#!/usr/bin/env python3
"""What listens in a container. usage: ports_peer.py PORT; each connection begins with a letter: u takes all bytes to their end and says how many they were, d COUNT (8 bytes) sends so many,
e sends back what comes."""
import socket
import struct
import sys
import threading

PIECE = bytes(1 << 18)


def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer, wish = bytearray(len(PIECE)), connection.recv(1)
    if wish == b"u":
        count = 0
        while size := connection.recv_into(buffer):
            count += size
        connection.sendall(struct.pack(">Q", count))
    elif wish == b"d":
        left = struct.unpack(">Q", connection.recv(8, socket.MSG_WAITALL))[0]
        while left:
            left -= connection.send(PIECE[:left])
    elif wish == b"e":
        while size := connection.recv_into(buffer):
            connection.sendall(memoryview(buffer)[:size])
    connection.close()


listener = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=1024)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
