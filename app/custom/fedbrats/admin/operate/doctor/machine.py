"""The machine: room on its disks, memory, a device, and the right to write where the kit writes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from fedbrats.admin.kits import Kit
from fedbrats.admin.operate.doctor.finding import (
    HOSPITAL_IT,
    Finding,
    doubtful,
    failed,
    good,
)
from fedbrats.admin.operate.places import places_of
from fedbrats.admin.run.place import check_place, proxies_set
from fedbrats.data.container import memory_left
from fedbrats.errors import ConfigurationError
from fedbrats.flare.process.obstacles import find_unwritable
from fedbrats.site.site_file import SiteFacts, read_site_facts

GIB = 2**30
LEAST_DISK_GIB = 20  # prepared cases take about 0.05 GiB each
LEAST_MEMORY_GIB = 8
LEAST_TEMPORARY_GIB = 1  # an answer on its way lies there once


def check(kit: Kit) -> Iterator[Finding]:
    """Findings about the machine on which this runs, for a server or a site."""
    folders = [kit.folder]
    if kit.kind == "client":
        facts = read_site_facts(kit.local_dir, kit.name)
        folders += [facts.cache_dir, facts.personal_dir]
        yield _check_device(facts)
    else:
        folders += places_of(kit).values()
    for folder in folders:
        yield _check_folder(folder)
    yield _check_temporary()
    yield _check_proxies()
    yield _check_path(kit.folder)
    available = psutil.virtual_memory().available
    memory = min(available, available if (left := memory_left()) is None else left) / GIB
    if memory < LEAST_MEMORY_GIB:
        remedy = f"{LEAST_MEMORY_GIB} GiB are advised; close other programs or use another machine"
        yield doubtful("memory", f"{memory:.0f} GiB free", remedy, HOSPITAL_IT)
    else:
        yield good("memory", f"{memory:.0f} GiB free")


def _check_proxies() -> Finding:
    """A kit's own processes see them only where local/environment lets them through; an administrator's do."""
    names = proxies_set()
    if not names:
        return good("proxy", "no variable sends connections through one")
    remedy = "name the server in no_proxy where the federation is reached without the proxy"
    return doubtful("proxy", f"{', '.join(names)} set and no no_proxy", remedy, HOSPITAL_IT)


def _check_path(folder: Path) -> Finding:
    try:
        check_place(folder)
    except ConfigurationError as error:
        return failed("path", str(error), "move the kit to another folder", HOSPITAL_IT)
    return good("path", "no blank or quote in it")


def _check_folder(folder: Path) -> Finding:
    place = folder.resolve()
    there = next((path for path in (place, *place.parents) if path.exists()), Path(place.anchor))
    name = f"folder {folder.name}"
    for obstacle in find_unwritable(name, place):
        return failed(name, obstacle.sentence, obstacle.remedy, HOSPITAL_IT)
    free = shutil.disk_usage(there).free / GIB
    if free < LEAST_DISK_GIB:
        return doubtful(name, f"{free:.0f} GiB free", f"{LEAST_DISK_GIB} GiB are advised", HOSPITAL_IT)
    return good(name, f"writable, {free:.0f} GiB free")


def _check_temporary() -> Finding:
    remedy = "give the service account a folder for temporary files (TMPDIR) with room"
    try:
        with tempfile.NamedTemporaryFile() as file:
            free = shutil.disk_usage(Path(file.name).parent).free / GIB
    except OSError as error:  # FileNotFoundError where no candidate can be written to
        return failed("temporary files", f"none can be written: {error.strerror}", remedy, HOSPITAL_IT)
    if free < LEAST_TEMPORARY_GIB:
        return doubtful("temporary files", f"{free:.1f} GiB free", remedy, HOSPITAL_IT)
    return good("temporary files", f"writable, {free:.0f} GiB free")


def _check_device(facts: SiteFacts) -> Finding:
    import torch

    from fedbrats.model.device import choose_device
    from fedbrats.model.precision import precision_of

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if facts.device.startswith("cuda") and not count:
        remedy = 'install the driver, or set "device": "cpu" in local/fedbrats.json'
        return failed("device", f"{facts.device} is asked for, no GPU is seen", remedy, HOSPITAL_IT)
    if facts.device == "auto" and not count:
        return doubtful("device", "no GPU: training runs on the CPU", "expect long rounds", HOSPITAL_IT)
    try:
        device = choose_device(facts.device)
    except ConfigurationError as error:
        return failed("device", str(error), 'set "device" in local/fedbrats.json', HOSPITAL_IT)
    dtype = precision_of(device) or torch.float32
    return good("device", f"{facts.device}, {count} GPUs, computes in {str(dtype).removeprefix('torch.')}")
