#!/usr/bin/env python3
"""Runners that do nothing: each a link to the host with a hello, then a heartbeat now and then. usage: runners.py PORT TOKEN COUNT; prints a line when all are welcome, and again when one
is closed; ends with its stdin."""
import asyncio
import base64
import json
import os
import struct
import sys

GIB = 1 << 30


def frame(opcode, payload):
    """Masked, as a client's must be; a mask of zeros leaves it as it is."""
    size = len(payload)
    return bytes([0x80 | opcode]) + (bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack(">H", size)) + bytes(4) + payload


def text(**message):
    return frame(1, json.dumps(message).encode())


async def receive(reader):
    """Opcode and payload of the next frame; the host sends short ones."""
    first, size = await reader.readexactly(2)
    if size == 126:
        size = struct.unpack(">H", await reader.readexactly(2))[0]
    return first & 15, await reader.readexactly(size)


async def beat(writer, interval):
    for minute in range(1 << 30):
        if minute % max(1, 60 // interval) == 0:
            writer.write(text(type="holdings", images=[{"environment": "env", "fingerprint": f"{i:064x}"} for i in range(5)]))
        writer.write(text(type="heartbeat", cpu_percent=12.5, memory_percent=30.0, memory_used_bytes=19 * GIB, memory_total_bytes=64 * GIB, temperature_avg=41.0,
                          temperature_max=55.0, gpus=[], running=[]))
        await asyncio.sleep(interval)


async def link(port, token, number, welcome):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write((f"GET /api/runner/link HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                  f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: riverbox.link.v1\r\nAuthorization: Bearer {token}\r\n\r\n").encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in head.splitlines()[0], head
    writer.write(text(type="hello", protocol=1, node=f"idle{number:04}", version="0", cores=32, memory_bytes=64 * GIB, gpus=[], attempts=[],
                      numa={str(n): {"cores": list(range(16 * n, 16 * n + 16)), "memory_bytes": 32 * GIB} for n in (0, 1)}))
    task = None
    while True:
        opcode, payload = await receive(reader)
        if opcode == 8:
            print("closed", payload, flush=True)
            return
        if opcode == 9:
            writer.write(frame(10, payload))
        elif task is None:
            message = json.loads(payload)
            assert message["type"] == "welcome", message
            writer.write(text(type="synced"))
            task = asyncio.create_task(beat(writer, message["heartbeat_interval_s"]))
            welcome.release()


async def main(port, token, count):
    welcome = asyncio.Semaphore(0)
    links = []
    for number in range(count):
        links.append(asyncio.create_task(link(port, token, number, welcome)))
        await asyncio.sleep(0.005)
    for _ in range(count):
        await welcome.acquire()
    print("all", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
