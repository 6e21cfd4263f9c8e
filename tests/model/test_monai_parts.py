"""MONAI is imported without what only its other parts use, and those parts still work."""

import json
import subprocess
import sys
from types import ModuleType

import pytest

from fedbrats.model.monai_parts import LATER, Later, imported_later


def test_what_is_imported_meanwhile_gets_a_stand_in_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with imported_later("colorsys"):
        from colorsys import rgb_to_hls

        assert isinstance(sys.modules["colorsys"], Later)
    assert "colorsys" not in sys.modules
    assert rgb_to_hls(1.0, 1.0, 1.0) == (0.0, 1.0, 0.0)
    import colorsys

    assert type(colorsys) is ModuleType


def test_a_module_that_is_there_already_stays() -> None:
    with imported_later("json"):
        assert sys.modules["json"] is json


@pytest.mark.parametrize("raised", [False, True])
def test_no_stand_in_is_left_behind(raised: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    try:
        with imported_later("colorsys"):
            if raised:
                raise ImportError("MONAI is broken")
    except ImportError:
        assert raised
    assert "colorsys" not in sys.modules


def test_a_site_imports_no_plots_and_monai_can_still_plot() -> None:
    program = f"""
import sys
import fedbrats.flare.site.executor
assert not {set(LATER)!r} & set(sys.modules), 'imported at once'
from monai.utils.jupyter_utils import plt
figure = plt.figure()
import matplotlib.pyplot
assert isinstance(figure, matplotlib.pyplot.Figure)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
