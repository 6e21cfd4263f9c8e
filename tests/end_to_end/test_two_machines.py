"""A hospital's kit that was copied and started a second time: who is told, and by what."""

import json
import shutil

import pytest

from fedbrats.admin.operate.overview import CONNECTED, TWO_MACHINES
from tests.end_to_end.consortium import (
    LEAD,
    NORTH,
    SERVER,
    Consortium,
    console,
    fedbrats,
    kit_log,
    start_kit,
    wait_for,
)

pytestmark = [pytest.mark.end_to_end, pytest.mark.long]


def test_both_machines_and_everybody_else_are_told(tmp_path, phantom_sites):
    federation = Consortium(tmp_path / "federation", phantom_sites, sites=2)
    copy = tmp_path / "elsewhere" / NORTH

    def north():
        shown = json.loads(fedbrats("status", "--kit", federation.kit(LEAD), "--json", cwd=tmp_path).stdout)
        return next(each for each in shown["participants"] if each["name"] == NORTH)

    try:
        federation.start()
        federation.wait_until_connected()
        assert north()["state"] == CONNECTED
        shutil.copytree(federation.kit(NORTH), copy)
        (copy / "instance.lock").unlink()
        start_kit(copy)
        wait_for(lambda: north()["state"] == TWO_MACHINES, timeout_s=180)
        for kit in (federation.kit(NORTH), copy):
            wait_for(lambda kit=kit: "this kit runs on two machines" in kit_log(kit), timeout_s=60)
            assert "this kit runs on two machines" in console(kit)
            found = json.loads(fedbrats("doctor", kit, "--offline", "--json", cwd=tmp_path, check=False).stdout)
            assert [each["state"] for each in found["findings"] if each["check"] == "machines"] == ["failed"]
        wait_for(lambda: f"the kit of {NORTH} runs on two machines" in kit_log(federation.kit(SERVER)), timeout_s=60)
        fedbrats("stop", copy, cwd=tmp_path)
        wait_for(lambda: north()["state"] == CONNECTED, timeout_s=180)
        wait_for(lambda: not (federation.kit(NORTH) / "two_machines.json").exists(), timeout_s=60)
    finally:
        federation.stop()
        fedbrats("stop", copy, cwd=tmp_path, check=False)
