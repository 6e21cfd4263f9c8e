"""A workspace in which FLARE could not run, and a proxy in the way, are seen before anything starts."""

import os
import socket
from pathlib import Path

import pytest

from fedbrats.admin.run.place import (
    EXCEPTIONS,
    LONGEST_PATH,
    check_own_address,
    check_place,
    pass_by_proxy,
    proxies_set,
)
from fedbrats.admin.run.poc import prepare
from fedbrats.admin.run.simulator import simulate_job
from fedbrats.errors import ConfigurationError


@pytest.mark.parametrize("name", ["my study", "it's", 'say "so"', "a\tb", "a#b c", "back\\slash", "two\nlines"])
def test_a_path_that_flare_would_divide_is_refused(tmp_path: Path, phantom_sites: Path, name: str) -> None:
    for run in (
        lambda: check_place(tmp_path / name),
        lambda: prepare(tmp_path / name / "poc", phantom_sites),
        lambda: simulate_job(tmp_path, phantom_sites, tmp_path / name, cache_dir=tmp_path),
    ):
        with pytest.raises(ConfigurationError, match="has a space, a quote or a #"):
            run()
    assert list(tmp_path.iterdir()) == []


def test_other_letters_do_and_a_path_without_end_does_not(tmp_path: Path) -> None:
    check_place(tmp_path / "Köln-北京_1.2+x,y(z)".replace("(", "").replace(")", ""))
    with pytest.raises(ConfigurationError, match=f"expected at most {LONGEST_PATH}"):
        check_place(tmp_path / ("long/" * 50))


def test_own_addresses_pass_by_a_proxy_and_other_exceptions_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "intranet.example")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_grpc_proxy", "")
    pass_by_proxy()
    assert os.environ["no_proxy"].split(",")[:2] == ["intranet.example", "localhost"]
    assert {"localhost", "127.0.0.1", "::1"} <= set(os.environ[EXCEPTIONS[0]].split(","))
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    assert proxies_set() == []
    for name in EXCEPTIONS:
        monkeypatch.delenv(name)
    assert "https_proxy" in proxies_set()


def test_a_machine_that_is_not_its_own_localhost_is_told_before_anything_starts(
    tmp_path: Path, phantom_sites: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_own_address()

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "create_server", unknown)
    for run in (
        lambda: prepare(tmp_path / "poc", phantom_sites),
        lambda: simulate_job(tmp_path, phantom_sites, tmp_path / "results", cache_dir=tmp_path),
    ):
        with pytest.raises(ConfigurationError, match="localhost is no address of this machine"):
            run()
    assert list(tmp_path.iterdir()) == []
