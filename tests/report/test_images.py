"""Every kind of figure looks as it did when somebody looked at it.

The pictures are compared with those in ``baseline/`` by pytest-mpl, if asked by ``--mpl``, as `make check` does. After a change
that is meant, make them anew, with ``--mpl-generate-path=tests/report/baseline``, and look at them. All text is in fonts that
mplhep_data carries, so that it is the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from helpers.figure_data import data_of
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.testing.compare import compare_images

from oddjets.config.analysis import Analysis
from oddjets.report import panels, registry, style

BASELINE = Path(__file__).with_name("baseline")
#: root of the mean square of the differences of pixels, of 255: with the same Matplotlib there are none, other versions
#: move text by less than a pixel; another word in the line above makes 4.5, other numbers more (see the test below)
TOLERANCE = 4


@dataclass(frozen=True)
class Picture:
    """A figure that is saved in its style, as `style.save` does it, but smaller."""

    figure: Figure

    def savefig(self, path: Path, **options: Any) -> None:
        self.figure.align_ylabels()
        with style.context():
            self.figure.savefig(path, **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.KINDS)
@pytest.mark.mpl_image_compare(
    baseline_dir=str(BASELINE), tolerance=TOLERANCE, savefig_kwargs={"dpi": 50}, deterministic=True
)
def test_looks_as_its_baseline(name: str, finished: tuple[Analysis, Path], request: pytest.FixtureRequest) -> Picture:
    if not (request.config.getoption("--mpl") or request.config.getoption("--mpl-generate-path")):
        pytest.skip("nothing is compared without --mpl")
    return Picture(registry.draw(data_of(finished, name)))


@pytest.mark.slow
def test_other_numbers_are_seen(finished: tuple[Analysis, Path], tmp_path: Path) -> None:
    data = data_of(finished, "limit")
    data["observed"] *= 0.9
    Picture(registry.draw(data)).savefig(tmp_path / "limit.png", dpi=50)
    said = compare_images(
        str(BASELINE / "test_looks_as_its_baseline_limit.png"), str(tmp_path / "limit.png"), TOLERANCE
    )
    assert said is not None


def test_fills_differ_in_grey() -> None:
    # thirteen processes, as in the paper
    colors = {color: color for color in (*style.PALETTE, "#5790fc", "#964a8b", "#000000")}
    found = style.hatches(colors)
    looks = [(hatch, np.dot([0.299, 0.587, 0.114], matplotlib.colors.to_rgb(color))) for color, hatch in found.items()]
    for one, (hatch, value) in enumerate(looks):
        for other, shade in looks[one + 1 :]:
            assert other != hatch or abs(shade - value) > 0.04
    assert style.HATCH not in found.values()  # it is the signal's
    assert found[style.PALETTE[0]] is None


def test_lines_differ_without_colour() -> None:
    assert len({str(dash) for dash in style.DASHES}) == len(style.DASHES) >= panels.MAX_PROCESSES


def test_text_needs_no_font_of_the_machine() -> None:
    with style.context():
        families = font_manager.FontProperties()
        for weight, slant in (("normal", "normal"), ("bold", "normal"), ("normal", "italic")):
            families.set_weight(weight)
            families.set_style(slant)
            assert "mplhep_data" in font_manager.findfont(families, fallback_to_default=False)
        assert matplotlib.rcParams["mathtext.fontset"] == "custom"
