"""Just enough of protobuf to write ONNX models by hand."""

from __future__ import annotations


def field(number: int, value: int | str | bytes) -> bytes:
    """A field of a protobuf message."""

    def varint(rest: int) -> bytes:
        return bytes([rest & 127 | (128 if rest > 127 else 0)]) + (varint(rest >> 7) if rest > 127 else b"")

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value
