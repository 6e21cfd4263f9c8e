"""What would keep the participant from starting, in the words that its own log has (fedbrats.flare.process)."""

from __future__ import annotations

import os
from collections.abc import Iterator

from fedbrats.account import name_the_account
from fedbrats.admin.kits import Kit
from fedbrats.admin.operate.doctor.finding import HOSPITAL_IT, Finding, doubtful, failed, good
from fedbrats.flare.process.obstacles import find_obstacles, server_port
from fedbrats.flare.process.start import is_running
from fedbrats.flare.process.who_is_there import read_two_machines

HERE = ("settings", "port")  # other checks look at folders and data, and say more


def check(kit: Kit) -> Iterator[Finding]:
    """Findings about the account, the site file and, at a server, its port."""
    running = is_running(kit.folder)
    obstacles = [each for each in find_obstacles(kit.folder, port=not running) if each.check in HERE]
    yield from (failed(each.check, each.sentence, each.remedy, HOSPITAL_IT) for each in obstacles)
    if not any(each.check == "settings" for each in obstacles):
        yield good("settings", "local/fedbrats.json can be read")
        if kit.kind == "server" and not obstacles:
            found = "this server listens on it" if running else "free"
            yield good("port", f"{server_port(kit.folder)}: {found}")
    if machines := read_two_machines(kit.folder):
        found = f"this kit runs on two machines ({machines}), by the server's word"
        yield failed("machines", found, "stop one of them: `fedbrats stop KIT` there", HOSPITAL_IT)
    yield _check_account()


def _check_account() -> Finding:
    if name_the_account():
        remedy = "nothing, or `useradd`: programs that ask for a name get one from fedbrats"
        return doubtful("account", f"user {os.getuid()} has no name on this machine", remedy, HOSPITAL_IT)
    if os.getuid() == 0:
        remedy = "use an account of its own (documentation, Operations: Accounts and permissions)"
        return doubtful("account", "root", remedy, HOSPITAL_IT)
    return good("account", f"user {os.getuid()}")
