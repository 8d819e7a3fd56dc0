"""Hears live sound through a running service:   arecord -f S16_LE -r 16000 -t raw | python listen.py

Raw 16-bit samples at 16 kHz from standard input (a microphone, or ffmpeg from anything else); prints when
crying begins and ends. Needs websockets (pip install websockets). CRYLENS_URL and CRYLENS_TOKEN are those of
classify.py.
"""

import asyncio
import json
import os
import sys

from websockets.asyncio.client import connect

URL = os.environ.get("CRYLENS_URL", "http://127.0.0.1:8000").replace("http", "ws", 1)
TOKEN = os.environ.get("CRYLENS_TOKEN")
TENTH = 3_200  # bytes in a tenth of a second


async def send(service) -> None:
    """Pass samples on as they come, then say that it is over."""
    while samples := await asyncio.to_thread(sys.stdin.buffer.read1, TENTH):
        await service.send(samples)
    await service.send("end")


async def main() -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"} if TOKEN else {}
    async with connect(f"{URL}/v1/stream?format=s16le&rate=16000", additional_headers=headers) as service:
        sending = asyncio.create_task(send(service))
        async for message in service:
            told = json.loads(message)
            if told["type"] == "episode_start":
                print(f"crying since {told['start_s']:.1f} s", flush=True)
            elif told["type"] == "episode_end":
                print(f"crying ended at {told['end_s']:.1f} s", flush=True)
            elif told["type"] == "error":
                sys.exit(f"{told['code']}: {told['detail']}")
        await sending


if __name__ == "__main__":
    asyncio.run(main())
