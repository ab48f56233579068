"""Files of jets for comparisons: what is damaged or something else is said, and never a traceback."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oddjets.core.errors import OddjetsError
from oddjets.training.export.random_jets import load_jets, random_jets


@pytest.mark.parametrize("kind", ["truncated", "another compression", "text", "one array", "pickles", "nothing"])
def test_a_file_that_cannot_be_read_is_said(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "jets.npz"
    jets = random_jets([5, 6], np.random.default_rng(1))
    np.savez(file, **jets._asdict())
    assert load_jets(file, 2).counts.tolist() == [5, 6]
    whole = file.read_bytes()
    match kind:
        case "truncated":
            file.write_bytes(whole[:-40])
        case "another compression":
            place = whole.index(b"PK\x01\x02") + 10
            file.write_bytes(whole[:place] + b"\x63" + whole[place + 1 :])
        case "text":
            file.write_text("x pid add", encoding="utf-8")
        case "one array":
            with file.open("wb") as stream:
                np.save(stream, jets.x)
        case "pickles":
            np.savez(file, **jets._asdict() | {"x": np.array([object()])}, allow_pickle=True)
        case "nothing":
            file.write_bytes(b"")
    with pytest.raises(OddjetsError, match=r"jets\.npz is not an npz file with x, pid and add"):
        load_jets(file, 2)
