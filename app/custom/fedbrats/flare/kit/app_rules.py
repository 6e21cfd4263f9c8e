"""What an application must be before a server or a site takes it.

It is signed by who may submit, its text is harmless, and this version of the package built it.
"""

from __future__ import annotations

import logging
from pathlib import Path

from nvflare.apis.app_validation import AppValidator

from fedbrats.errors import ConfigurationError
from fedbrats.flare.kit.configuration_text import check_configurations
from fedbrats.flare.kit.signers import Signer, check_revoked, find_signer
from fedbrats.flare.kit.versions import check_config_version

CONFIG = "config"
ROOT_CA = Path("startup") / "rootCA.pem"
logger = logging.getLogger(__name__)


class AppRules(AppValidator):
    """Judges every application in the participant's own process, before it is deployed.

    Stands in the kit's `resources.json` as `app_validator`: FLARE asks it at the server and at every site, by whatever
    way the application came.
    """

    def validate(self, app_folder: str) -> tuple[str, dict[str, object]]:
        """Return why the application is refused, empty where it is not, and nothing to be said of it else."""
        try:
            check_app(Path(app_folder))
        except ConfigurationError as error:
            logger.warning(f"a job is refused: {error}")
            return str(error), {}
        except Exception as error:  # what cannot be judged does not run
            logger.exception("a job cannot be judged")
            return f"the job cannot be judged: {error!r:.200}", {}
        return "", {}


def check_app(app: Path) -> Signer:
    """Judge an application that lies in a kit, at KIT/JOB/APP; returns who signed it. Raises: ConfigurationError."""
    app = app.resolve()
    root_ca = app.parents[1] / ROOT_CA
    if not root_ca.is_file():
        raise ConfigurationError(f"{app.parents[1]} is no startup kit: it has no {ROOT_CA} to judge signatures by")
    signer = find_signer(app, root_ca)
    check_revoked(app, app.parents[1] / "local")
    check_configurations(app / CONFIG)
    check_config_version(app / CONFIG)
    return signer
