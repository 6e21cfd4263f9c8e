"""A job that names classes of somebody's own, in a folder of one's own; what cannot be is refused before a start."""

import json

import pytest
import torch

from fedbrats.cli.main import main
from fedbrats.errors import ConfigurationError
from fedbrats.jobs.build import build_job, read_variables
from fedbrats.jobs.named_classes import packages_named
from fedbrats.jobs.plan import check_settings
from fedbrats.model.network import SegmentationNetwork


def test_a_job_of_ones_own_in_a_folder_of_ones_own(mine, tmp_path, capsys):
    folder = tmp_path / "study" / "momentum"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("not part of the job")
    chosen = {"aggregator": "mean", "aggregator.momentum": 0.5, "network": "mine.Net", "network.width": 3}
    chosen |= {"hooks": ["clipped"], "hooks.most": 2.0, "loss": "squared", "num_rounds": 2}
    (folder / "variables.json").write_text(json.dumps(chosen))
    job = build_job(str(folder), tmp_path / "built", {"aggregator.momentum": 0.25}, called="mine-1")
    assert job.name == "mine-1"
    assert json.loads((job / "meta.json").read_text())["name"] == "mine-1"
    assert not list(job.rglob("notes.txt"))
    variables = read_variables(job)
    assert (variables["aggregator"], variables["aggregator_arguments"]) == ("mine.Mean", {"momentum": 0.25})
    assert (variables["network"], variables["loss"]) == ({"mine.Net": {"width": 3}}, "mine.Squared")
    assert variables["hooks"] == {"mine.Clipped": {"most": 2.0}}
    [package] = packages_named(variables)
    assert {path for paths in package.classes.values() for path in paths} == {
        *("mine.Mean", "mine.Net", "mine.Squared", "mine.Clipped")
    }
    check_settings(str(folder), {})
    assert main(["job", "list", str(folder), "--json"]) == 0
    tables = json.loads(capsys.readouterr().out)["tables"]
    assert tables["aggregator"]["momentum"]["default"] == 0.5
    assert tables["aggregator"]["momentum"]["bounds"] == "from 0 to below 1"
    assert tables["aggregator"]["momentum"]["meaning"] == "How much of the last step is added."
    assert tables["network"]["width"]["kind"] == "a whole number"
    one, other = (SegmentationNetwork(variables["network"], seed=3).state_dict() for _ in range(2))
    assert one["net.body.weight"].shape[0] == 3
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"aggregator": "subprocess.Popen"}, "subprocess is not an installed package"),
        ({"aggregator": "mine.Net"}, "mine.Net must be a subclass of fedbrats.federation.aggregator.Aggregator"),
        ({"aggregator": "mine.Nothing"}, "aggregator: the module mine has no class Nothing; there are: Broken, Mean,"),
        ({"hooks": "mine.Cliped"}, "hooks: the module mine has no class Cliped; did you mean Clipped"),
        ({"aggregator": "mine.Tabled"}, "the method Tabled failed in round 0: combine returned .* dict, expected Comb"),
        ({"network": "mine.Endless"}, "network Endless: its logits hold NaN or infinity"),
        ({"network": "mine.Torn"}, "network Torn: its forward fails in one step: RuntimeError"),
        ({"loss": "mine.Voxelwise"}, r"loss Voxelwise: it is of shape \(1, 3, 24, 24, 24\), expected one number"),
        ({"loss": "mine.Counted"}, "loss Counted: it does not depend on the logits"),
        ({"hooks": "mine.Nameless"}, "the hook Nameless has no name; write name = "),
        ({"aggregator": "mine.Unkept"}, "rng in its state is a Generator that cannot be kept"),
        ({"aggregator": "mine.Unannotated", "aggregator.size": 3}, "size needs a name and an annotation"),
        ({"aggregator": "mine.Mean", "aggregator.momentum": 2}, "momentum is 2, expected a number from 0 to below 1"),
        ({"aggregator": "mine.Mean", "aggregator.nothing": 2}, "has no argument nothing; there are: kind, momentum"),
        ({"aggregator.trim": 0.1}, "WeightedFedAvg has no argument trim"),
        ({"network": "mine.BatchNormed"}, "mine.BatchNormed has batch normalisation"),
        (
            {"network": "mine.Flat"},
            r"network Flat: images .* logits of shape \(1, 2, 24, 24, 24\), expected \(1, 3, 24, 24, 24\)",
        ),
        ({"network": "mine.Net", "network.width": 9}, "width is 9, expected a whole number from 1 to 8"),
        ({"network.width": 9}, "network fast is of fedbrats and has no argument width"),
        ({"loss": "mine.Unfinite"}, "loss Unfinite: it is .*, expected one finite number"),
        ({"hooks": "nothing"}, "hooks: .nothing. is neither the path of a class nor an entry point"),
        ({"hooks.most": 1}, "of which this job has none, has no argument most"),
        ({"hooks": "clipped", "hooks.most": 0}, "most is 0, expected a number above 0 up to 10"),
        ({"aggregator": "mine.Broken"}, "the update of the method Broken in round 0 holds NaN or infinity"),
        ({"hooks": "mine.Raising"}, "Raising failed in a first round of synthetic cases: KeyError.'head.weight'"),
        ({"hooks": "mine.Lost"}, "with Lost, failed: The update of site-1 in round 0 is not counted: .* NaN"),
        ({"hooks": "mine.Loud"}, "with Loud, failed: what the hook loud says as length is 1000, expected 0 to 1"),
        ({"hooks": "mine.Forgetful"}, "hook Forgetful: seen in its state is an array of <U6, expected numbers"),
        ({"hooks": "mine.Breaking"}, "Breaking failed in a first round of synthetic cases: KeyError.'head.weight'"),
        ({"hooks": "mine.Breaking", "network": "tiny"}, "Breaking failed in a first round .*KeyError.'head.weight'"),
        ({"hooks": "mine.Infinite"}, "with Infinite, failed: no step had a finite loss and gradient"),
        ({"hooks": "mine.Layered"}, "Layered failed in a first round of synthetic cases: .*no such layer in UNet"),
        ({"hooks": "mine.Shifted"}, r"begin_round gives net.*weight as \(1, 1\), expected \(1,\)"),
        ({"hooks": "mine.Unready"}, "Unready failed in a first round of synthetic cases: TypeError"),
        ({"hooks": "mine.Asking"}, "Asking failed in a first round .*3 training cases are too few"),
        ({"hooks": "clipped", "dp_noise": 1.0}, "in a job with differential privacy"),
        ({"personal": "head", "network": "mine.Net"}, "does not say which parameters are its head"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence_before_anything_starts(mine, settings, said):
    if "dp_noise" in settings:
        settings |= {"validate_received": False, "validate_trained": False}
    with pytest.raises(ConfigurationError, match=said):
        check_settings("fedavg", settings)


@pytest.mark.parametrize("hook", ["Raising", "Breaking"])
def test_a_hook_of_a_network_that_ships_is_tried_without_building_it(mine, monkeypatch, hook):
    monkeypatch.setattr(SegmentationNetwork, "__init__", None)  # a network that is built would raise
    with pytest.raises(ConfigurationError, match=f"{hook} failed in a first round"):
        check_settings("fedavg", {"hooks": f"mine.{hook}"})


def test_a_folder_that_is_no_job_is_said(tmp_path):
    with pytest.raises(ConfigurationError, match=r"it has neither variables.json nor meta.json"):
        build_job(str(tmp_path), tmp_path / "built")
    with pytest.raises(ConfigurationError, match="nor a folder of one"):
        build_job(str(tmp_path / "nowhere"), tmp_path / "built")
