"""Production on loopback: one server and five hospitals, each from its own kit's start.sh, over mutual TLS.

One federation serves all tests of this folder. What must be refused is refused by real processes, and the evidence is
read from the logs of both sides.
"""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fedbrats.admin.run.processes import find_processes
from fedbrats.admin.run.remote import submit, wait_for_end
from fedbrats.admin.run.sessions import admin_session
from fedbrats.data.phantom.cohort import CohortSettings, write_cohort
from fedbrats.data.split.sites import new_sites_folder, write_record
from tests.end_to_end import runbook
from tests.end_to_end.consortium import EAST, LEAD, SERVER, SETTINGS, Consortium, fedbrats
from tests.end_to_end.wiretap import tap

DATE = "1961-04-12"  # of an examination, in the header of a scan of every site
LEAST = 2  # cases: every site has two to train on, and one to validate on


@pytest.fixture(scope="package")
def consortium(tmp_path_factory):
    """The federation, running. The hospital in the east says nothing of its one validation case."""
    folder = tmp_path_factory.mktemp("consortium")
    with new_sites_folder(folder / "sites") as temporary:
        sites = list(write_cohort(temporary, CohortSettings(sites=5, cases=3, spacing_mm=4.0)))
        write_record(temporary, sites, {"made_by": "phantom"})
    for path in folder.glob("sites/*"):
        if path.is_dir():
            _date(next(path.glob("*/*t1.nii.gz")))
    federation = Consortium(folder, folder / "sites")
    edit(federation.kit(EAST) / "local" / "fedbrats.json", min_cases=LEAST, retention={"jobs": 50})
    edit(federation.kit(SERVER) / "local" / "fedbrats.json", retention={})
    tap(federation.kit(SERVER))
    try:
        federation.start()
        federation.wait_until_connected()
        yield federation
    finally:
        federation.stop()
        assert find_processes(folder) == []


@pytest.fixture(scope="package")
def fedavg(consortium):
    """The id of a finished fedavg, submitted by the lead as the runbook has it while a fedper runs beside it."""
    status, run, _ = runbook.block("Data scientist")
    with admin_session(consortium.kit(LEAD)) as session:
        fedper = submit(session, consortium.job("fedper", num_rounds=1))
        shown = fedbrats(*status.split()[1:], cwd=consortium.kits).stdout
        assert [site for site in consortium.sites if site not in shown] == []
        job_id = fedbrats(*run.split()[1:], *SETTINGS, cwd=consortium.kits).stdout.strip()
        assert wait_for_end(session, job_id) == "FINISHED:COMPLETED"
        assert wait_for_end(session, fedper) == "FINISHED:COMPLETED"
    return job_id


@pytest.fixture(scope="package")
def results(consortium, fedavg):
    """The results folder of the fedavg, as the lead fetched it."""
    words = runbook.block("Data scientist")[2].replace("JOB_ID", fedavg).split()[1:]
    done = fedbrats(*words, "--results", consortium.folder / "results", "--json", cwd=consortium.kits)
    return Path(json.loads(done.stdout)["results"])


def edit(path, **entries):
    """Change entries of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def _date(scan):
    image = nib.load(scan)
    voxels = np.asanyarray(image.dataobj)
    image.header["descrip"] = f"examined on {DATE}".encode()
    nib.save(nib.Nifti1Image(voxels, image.affine, image.header), scan)
