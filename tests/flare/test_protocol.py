"""What travels between site and server is written once, and says what FLARE and the configurations say."""

import json

from nvflare.app_opt.pt.fedce import FedCEConstants

from fedbrats.flare import protocol
from fedbrats.shipped import shipped_dir


def test_keys_of_flares_own_are_flares():
    assert protocol.FEDCE_WEIGHTS == FedCEConstants.CONTRIBUTION_WEIGHTS


def test_the_configurations_say_the_same_keys():
    server, client = (
        json.loads((shipped_dir() / "app" / "config" / f"config_fed_{side}.json").read_text())["components"]
        for side in ("server", "client")
    )
    arguments = {component["id"]: component["args"] for component in (*server, *client)}
    assert arguments["model_selector"]["key_metric"] == protocol.VALIDATION_DICE
