"""What may be imported because a name says so: only what stands on a list, and is as it was when it was listed."""

import json

import pytest

from fedbrats.errors import ConfigurationError
from fedbrats.extensions.choice import read_choice, read_choices
from fedbrats.extensions.kinds import KINDS
from fedbrats.extensions.loading import allow, allow_named, allow_registered, build, load_class
from fedbrats.extensions.packages import Package, find_entry, find_listed, find_package


def test_a_class_that_nobody_allowed_is_not_imported(mine):
    (mine / "__init__.py").write_text("raise SystemExit('imported')")
    for variable in KINDS:
        for path in ("mine.Net", "subprocess.Popen", "fedbrats.atomic.write_json_atomic"):
            with pytest.raises(ConfigurationError, match="not one that may run here"):
                load_class(variable, path)


def test_what_a_file_names_is_imported_only_where_its_package_offers_it(mine):
    allow_registered("network", "mine.Net")
    assert load_class("network", "mine.Net").__name__ == "Net"
    for path in ("mine.Flat", "subprocess.Popen"):
        allow_registered("network", path)
        with pytest.raises(ConfigurationError, match="not one that may run here"):
            load_class("network", path)


@pytest.mark.parametrize("name", ["more.py", "native.so", "more.pyc"])
def test_code_that_has_changed_since_it_was_allowed_does_not_run(mine, name):
    allow([listed := find_package("mine")])
    (mine / "__pycache__").mkdir()
    (mine / "__pycache__" / "__init__.cpython-311.pyc").write_bytes(b"")  # which differs between machines
    assert find_package("mine") == listed
    (mine / name).write_bytes(b"")
    with pytest.raises(ConfigurationError, match=r"mine 1.2 is installed here .* was allowed"):
        load_class("network", "mine.Net")


def test_a_class_of_another_kind_is_refused(mine):
    allow_named("loss", "mine.Mean")
    with pytest.raises(ConfigurationError, match=r"loss: mine.Mean must be a subclass of torch.nn.Module"):
        load_class("loss", "mine.Mean")


def test_what_is_not_installed_is_said(mine, tmp_path, monkeypatch):
    with pytest.raises(ConfigurationError, match="there is no package nowhere in this Python"):
        allow_named("network", "nowhere.Net")
    (tmp_path / "loose.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigurationError, match="loose is not an installed package"):
        allow_named("network", "loose.Net")


def test_arguments_are_held_to_the_constructor(mine):
    allow_named("aggregator", "mine.Mean")
    assert build("aggregator", read_choice({"mine.Mean": {"momentum": 0.5}}, "it")).momentum == 0.5
    for arguments, said in (
        ({"momentum": 1.0}, "momentum is 1.0, expected a number from 0 to below 1"),
        ({"momentum": True}, "momentum is true"),
        ({"kind": "c"}, 'kind is "c", expected one of a, b'),
        ({"moment": 1}, "did you mean momentum"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            build("aggregator", read_choice({"mine.Mean": arguments}, "it"))


def test_a_line_of_a_consortium_is_of_what_is_installed(mine):
    package = find_package("mine")
    assert find_listed(package.line) == package
    assert Package.read(json.loads(json.dumps(package.as_json())), "it") == package
    assert package.classes == {
        "aggregator": ("mine.Mean",),
        "network": ("mine.Net",),
        "loss": ("mine.Squared",),
        "hooks": ("mine.Clipped",),
    }
    (mine / "__init__.py").write_text("pass")
    with pytest.raises(ConfigurationError, match="is installed here"):
        find_listed(package.line)
    with pytest.raises(ConfigurationError, match="is no line"):
        find_listed("mine")


def test_a_package_is_listed_with_its_own_classes_only(mine):
    document = find_package("mine").as_json()
    for path in ("other.Net", "mine", "os.system"):
        with pytest.raises(ConfigurationError):
            Package.read({**document, "classes": {"network": [path]}}, "it")
    with pytest.raises(ConfigurationError):
        Package.read({**document, "classes": {"executors": ["mine.Net"]}}, "it")


def test_names_of_entry_points(mine):
    assert find_entry("network", "net") == "mine.Net"
    assert find_entry("network", "nothing") is None


@pytest.mark.parametrize("value", [7, [], {}, {"a": 1}, {"a.B": 1}, {"a.B": {}, "c.D": {}}, {"os.path/x": {}}])
def test_a_choice_is_a_name_or_one_path_with_arguments(value):
    with pytest.raises(ConfigurationError, match="expected a name, or the path of a class"):
        read_choice(value, "it")
    if value and len(value if isinstance(value, dict) else [1]) == 1:
        with pytest.raises(ConfigurationError):
            read_choices(value, "it")
