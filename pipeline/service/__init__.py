"""The service: CryLens over HTTP and WebSocket, whole or in three roles. See docs/service.md."""

# Exit status of a decoding process that ran out of memory.
DECODER_OUT_OF_MEMORY = 3
