"""The figure of docs/privacy.md: made by a script that is kept, from real data."""

import xml.etree.ElementTree as ET
from pathlib import Path

from tools.noise_curves import EPSILONS, FEW, PANELS, error, load, picture

SVG = Path(__file__).parents[2] / "docs" / "noise.svg"


def test_the_kept_figure_has_both_lines_of_all_five() -> None:
    """docs/noise.svg is of the form the script draws: five panels, two lines in each, a point for each epsilon."""
    drawn = picture([(one.title, {"few": [1.0] * len(EPSILONS), "year": [0.1] * len(EPSILONS)}) for one in PANELS])
    kept = SVG.read_text(encoding="utf-8")
    for text in (kept, drawn):
        root = ET.fromstring(text)
        lines = [one for one in root if one.tag.endswith("polyline")]
        assert len(lines) == 2 * len(PANELS) and {len(one.attrib["points"].split()) for one in lines} == {len(EPSILONS)}
        titles = [one.text for one in root if one.attrib.get("class") == "title"]
        assert titles == [one.title for one in PANELS]
    assert kept != drawn


def test_more_epsilon_is_less_error_on_real_rows() -> None:
    """A count of four weeks is within 5 percent at an epsilon of 1, and not at 0.001 (by chance once in 10^10)."""
    watts, count = load()[-FEW:], PANELS[0]
    assert error(count.spending(1.0), watts, 20) < 5.0 < error(count.spending(0.001), watts, 60)
