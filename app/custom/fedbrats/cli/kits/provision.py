"""Build the startup kits of a consortium, and change the consortium later.

`build` makes one kit per participant of project.yml: certificates, policy, the site's own settings, jobs, and a README
for the person who receives it. Building again keeps existing certificates, writes what has changed, and says to whom it
goes. The output folder has the root's private key: keep it on one machine of the project admin, back it up, and send
only single kits from it. `lock` encrypts that key into a file of its own, which can be kept elsewhere. The commands
that sign (build, add-site, add-user, renew, revoke, authority) then ask for its passphrase; nothing else needs it.

example:
  fedbrats provision build --check                 # judge project.yml, and build nothing
  fedbrats provision build
  fedbrats provision add-site hospital-6 --org sixth --data /data/brats --cases 50
  fedbrats provision add-user reader@sixth.example --org sixth --role member
  fedbrats provision renew hospital-north          # new key and certificate, before the old one expires
  fedbrats provision renew --root                  # new keys for all: every kit must be replaced
  fedbrats provision revoke lead@university.example   # a list that hospitals enforce themselves
  fedbrats provision wheelhouse wheelhouse --wheel dist/fedbrats-0.1.0-py3-none-any.whl   # for those without internet
  fedbrats provision pack hospital-6 --to handover --wheelhouse wheelhouse
  fedbrats provision retire --yes                  # remove kits that later ones replaced
  fedbrats provision lock --to /media/safe/root.key   # the root's key, encrypted, away from this machine
  fedbrats provision authority ca                  # for a hospital that made its own key
  fedbrats provision show
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.cli.arguments import whole_number
from fedbrats.cli.kits.root_key import (
    add_lock_arguments,
    add_root_arguments,
    lock,
    new_passphrase,
    root_to_sign,
    say_passphrase,
)
from fedbrats.cli.output import print_json, print_line, print_table
from fedbrats.cli.progress import say

if TYPE_CHECKING:
    from fedbrats.admin.provision.builds import Change
    from fedbrats.admin.provision.root_key import Root

RENEW_WHAT = "name the participants whose certificates to renew, or give --root for all of them"
DEFAULT_PROJECT, DEFAULT_OUT = Path("provisioning/project.yml"), Path("provisioned")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare build, add-site, add-user, renew, revoke, wheelhouse, pack, retire, lock, authority and show."""
    choices = "build|add-site|add-user|renew|revoke|wheelhouse|pack|retire|lock|authority|show"
    actions = parser.add_subparsers(dest="action", metavar=choices, required=True)
    build = actions.add_parser("build", help="build a kit for every participant")
    build.add_argument("--check", action="store_true", help="say what is wrong with the project, and build nothing")
    site = actions.add_parser("add-site", help="write a hospital into project.yml and build its kit")
    user = actions.add_parser("add-user", help="write a person into project.yml and build their kit")
    renew = actions.add_parser("renew", help="make new keys and certificates")
    revoke = actions.add_parser("revoke", help="put every certificate of a participant on the list of revoked ones")
    wheelhouse = actions.add_parser("wheelhouse", help="fetch the package and all that it needs, with checksums")
    pack = actions.add_parser("pack", help="write one encrypted archive of a kit for its receiver")
    old = actions.add_parser("retire", help="list kits whose keys later ones replaced, and with --yes remove them")
    locking = actions.add_parser("lock", help="encrypt the root's private key into a file of its own")
    authority = actions.add_parser("authority", help="write the folder that `nvflare cert approve` needs")
    show = actions.add_parser("show", help="show the participants and when their certificates expire")
    _describe_newcomers(site, user)
    renew.add_argument("names", nargs="*", metavar="NAME", help="participants of project.yml")
    renew.add_argument("--root", action="store_true", help="renew the root too, and with it every certificate")
    revoke.add_argument("names", nargs="*", metavar="NAME", help="participants, former ones too")
    revoke.add_argument(
        "--certificate",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a certificate of a participant that made its own key (client.crt)",
    )
    _describe_packages(wheelhouse, pack)
    old.add_argument("--yes", action="store_true", help="remove them but for their certificates")
    authority.add_argument("folder", type=Path, help="folder to write; it will have the root's private key")
    for action in (build, site, user, renew, revoke, authority):
        add_root_arguments(action)
    add_lock_arguments(locking)
    for action in (build, site, user, renew, revoke, pack, old, locking, authority, show):
        action.add_argument("--project", type=Path, default=DEFAULT_PROJECT, help=f"(default: {DEFAULT_PROJECT})")
        action.add_argument("--out", type=Path, default=DEFAULT_OUT, help=f"(default: {DEFAULT_OUT})")
        action.add_argument("--json", action="store_true", help="print one JSON document")


def _describe_newcomers(site: argparse.ArgumentParser, user: argparse.ArgumentParser) -> None:
    from fedbrats.admin.provision.judge import ROLES
    from fedbrats.site.site_file import LEAST_CASES

    site.add_argument("name")
    site.add_argument("--data", required=True, metavar="FOLDER", help="the data folder at the hospital")
    site.add_argument(
        "--cases", type=whole_number(1), required=True, help="number of training cases that the hospital registers"
    )
    site.add_argument(
        "--min-cases",
        type=whole_number(1),
        default=LEAST_CASES,
        help=f"send no metric of fewer cases (default: {LEAST_CASES})",
    )
    user.add_argument("name", metavar="EMAIL")
    user.add_argument("--role", choices=ROLES, required=True)
    for action in (site, user):
        action.add_argument("--org", required=True, help="organisation, as in project.yml")


def _describe_packages(wheelhouse: argparse.ArgumentParser, pack: argparse.ArgumentParser) -> None:
    wheelhouse.add_argument("folder", type=Path, help="folder to write: wheels, requirements.txt, SHA256SUMS, an SBOM")
    wheelhouse.add_argument("--wheel", type=Path, required=True, help="the package")
    wheelhouse.add_argument(
        "--torch-index",
        metavar="URL",
        help="package index of the build of PyTorch that is wanted, such as for CUDA (default: as pip is configured)",
    )
    wheelhouse.add_argument(
        "--lean",
        action="store_true",
        help="leave out tests, headers and test programs of PyTorch and others: a fifth less to install",
    )
    wheelhouse.add_argument("--json", action="store_true", help="print one JSON document")
    pack.add_argument("name", help="of a participant")
    pack.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="folder of the archive and its note")
    content = pack.add_mutually_exclusive_group()
    content.add_argument("--wheel", type=Path, help="the package, which goes into the archive")
    content.add_argument(
        "--wheelhouse",
        type=Path,
        metavar="FOLDER",
        help="made by `provision wheelhouse`, whose list of packages goes into the archive: its receiver installs from "
        "the folder by this list",
    )
    pack.add_argument("--recipient", metavar="KEY", help="the receiver's public key for age, in place of a passphrase")


def run(args: argparse.Namespace) -> int:
    """Change the project or its state where asked, build, and show the kits."""
    from fedbrats.admin.provision import consortium
    from fedbrats.admin.provision.judge import check_project, doubts_of

    apart = {"wheelhouse": _wheelhouse, "revoke": _revoke, "pack": _pack, "retire": _retire, "lock": lock}
    if args.action in apart:
        return apart[args.action](args)
    if args.action not in ("authority", "show"):
        check_project(args.project)
    entry = _entry(args)
    project = consortium.read_project(args.project)
    doubts = list(doubts_of(project)) if args.action == "build" else []
    for doubt in doubts:
        say(f"provision: {args.project}: {doubt}")
    if args.action == "build" and args.check:
        return _say_good(args, project, doubts)
    changes: dict[str, Change] = {}
    passphrase = ""
    if args.action == "authority":
        consortium.export_authority(project, args.out, args.folder, root_to_sign(args, project))
    elif args.action == "renew" and args.root:
        changes, passphrase = _renew_root(args, project)
    elif args.action != "show":
        root = root_to_sign(args, project)
        with consortium.participant_added(args.project, entry) if entry else nullcontext():
            changes = _build(args, root)
    _show(consortium.read_project(args.project), args.out, changes, as_json=args.json, passphrase=passphrase)
    return 0


def _say_good(args: argparse.Namespace, project: dict[str, Any], doubts: list[str]) -> int:
    """Of a project that was judged, and is not built."""
    number = len(project["participants"])
    if args.json:
        print_json({"project": str(args.project), "participants": number, "doubts": doubts})
    else:
        print_line(f"{args.project}: {number} participants, nothing is wrong; nothing was built (--check)")
    return 0


def _revoke(args: argparse.Namespace) -> int:
    from fedbrats.admin.provision import consortium
    from fedbrats.admin.provision.revoking import revoke_certificates
    from fedbrats.errors import ConfigurationError

    if not args.names and not args.certificate:
        raise ConfigurationError("name the participants whose certificates to revoke, or give --certificate FILE")
    project = consortium.read_project(args.project)
    root = root_to_sign(args, project)
    listed, count = revoke_certificates(project, args.out, args.names, args.certificate, root)
    if args.json:
        print_json({"list": str(listed), "certificates": count})
        return 0
    print_line(f"{listed}: {count} certificates are revoked; it has no secret")
    print_line("Send it to the server's and every hospital's IT: fedbrats site KIT --revoked FILE")
    return 0


def _wheelhouse(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from fedbrats.admin.provision.wheelhouse import SBOM, build_wheelhouse

    made = build_wheelhouse(args.folder, args.wheel, torch_index=args.torch_index, lean=args.lean, say=say)
    if not made.sbom:
        say(f"provision: no {SBOM} was written; pip install 'fedbrats[sbom]' brings the tool for it")
    if args.json:
        print_json({**asdict(made), "folder": str(made.folder)})
        return 0
    print_line(f"{made.folder}: {made.packages} packages, {made.size / 1e6:.0f} MB; it has no secret")
    print_line(f"SHA-256 of requirements.txt  {made.sha256}")
    return 0


def _pack(args: argparse.Namespace) -> int:
    from fedbrats.admin.provision import consortium
    from fedbrats.admin.provision.builds import current_kits
    from fedbrats.admin.provision.pack import pack_kit
    from fedbrats.errors import ConfigurationError

    kits = current_kits(consortium.read_project(args.project), args.out)
    if args.name not in kits:
        raise ConfigurationError(f"{args.name} is no participant with a kit; there are: {', '.join(sorted(kits))}")
    if args.wheel is None and args.wheelhouse is None:
        say("provision: the archive lacks the package that the kit's README names (--wheel, --wheelhouse): send it")
    packed = pack_kit(kits[args.name], args.to, args.wheel, args.recipient, args.wheelhouse)
    if args.json:
        words = {"archive": str(packed.archive), "note": str(packed.note), "sha256": packed.sha256}
        print_json({**words, "passphrase": packed.passphrase})
        return 0
    print_line(f"{packed.archive}, and {packed.note} for its receiver; read these out by telephone:")
    print_line(f"SHA-256     {packed.sha256}")
    if packed.passphrase:
        print_line(f"passphrase  {packed.passphrase}    (it is stored nowhere)")
    return 0


def _build(args: argparse.Namespace, root: Root | None) -> dict[str, Change]:
    """What the action changed, by participant."""
    from fedbrats.admin.provision import consortium
    from fedbrats.admin.provision.builds import keep_changes
    from fedbrats.errors import ConfigurationError

    project = consortium.read_project(args.project)
    if args.action == "renew":
        if not args.names:
            raise ConfigurationError(RENEW_WHAT)
        consortium.forget_certificates(project, args.out, args.names)
    return keep_changes(consortium.build_kits(project, args.out, root=root))


def _renew_root(args: argparse.Namespace, project: dict[str, Any]) -> tuple[dict[str, Change], str]:
    """What changed, and the passphrase of the new root's key where the old one was locked and one had to be made."""
    from fedbrats.admin.provision import consortium
    from fedbrats.admin.provision.builds import keep_changes
    from fedbrats.admin.provision.root_key import is_locked, lock_root
    from fedbrats.errors import ConfigurationError

    if args.names:
        raise ConfigurationError(RENEW_WHAT)
    passphrase, made = new_passphrase(args.passphrase_file) if is_locked(project, args.out) else ("", "")
    consortium.retire_root(project, args.out)
    changes = keep_changes(consortium.build_kits(project, args.out))
    if passphrase:
        lock_root(project, args.out, passphrase)
    return changes, made


def _retire(args: argparse.Namespace) -> int:
    from fedbrats.admin.provision import consortium
    from fedbrats.admin.provision.builds import old_kits, retire

    found = old_kits(consortium.read_project(args.project), args.out)
    retired = [kit for kit in found if not kit.started]
    for kit in retired if args.yes else ():
        retire(kit)
    started = [str(kit.folder) for kit in found if kit.started]
    if args.json:
        print_json({"kits": [str(kit.folder) for kit in retired], "started": started, "removed": args.yes})
        return 0
    for kit in retired:
        print_line(f"{kit.folder}: {'removed but for its certificate' if args.yes else 'may go; --yes removes it'}")
    for folder in started:
        print_line(f"{folder}: was started here, and stays; remove it by hand when nothing runs from it")
    if not found:
        print_line("no kit was replaced by a later one")
    return 0


def _entry(args: argparse.Namespace) -> dict[str, Any] | None:
    if args.action == "add-site":
        facts = {"data_dir": args.data, "cache_dir": "cache", "personal_dir": "personal", "min_cases": args.min_cases}
        registered = {"registered_cases": args.cases}
        if not _keeps_register(args.project):
            say(f"provision: {args.project} registers no site's cases, so --cases {args.cases} is left out")
            registered = {}
        return {"name": args.name, "type": "client", "org": args.org, **registered, "fedbrats": facts}
    if args.action == "add-user":
        return {"name": args.name, "type": "admin", "org": args.org, "role": args.role}
    return None


def _keeps_register(project: Path) -> bool:
    """Whether the consortium registers cases, which it does for all its sites or for none."""
    from fedbrats.admin.provision.consortium import read_project

    sites = [known for known in read_project(project)["participants"] if known.get("type") == "client"]
    return not sites or any(site.get("registered_cases") is not None for site in sites)


def _show(
    project: dict[str, Any], out_dir: Path, changes: dict[str, Change], *, as_json: bool, passphrase: str = ""
) -> None:
    from dataclasses import asdict

    from fedbrats.admin.kits import fingerprint, open_kit
    from fedbrats.admin.provision.builds import FILES, current_kits, newest_build, old_kits
    from fedbrats.admin.provision.root_key import is_locked

    folders = {name: layers[0] for name, layers in sorted(current_kits(project, out_dir).items())}
    kits = [open_kit(folder) for folder in folders.values()]
    root = kits[0].root
    if as_json:
        print_json(
            {
                "kits": str(newest_build(project, out_dir)),
                "root_fingerprint": fingerprint(root),
                "root_expires": root.not_valid_after_utc.isoformat(),
                "participants": {
                    kit.name: {
                        "kind": kit.kind,
                        "organisation": kit.organisation,
                        "role": kit.role,
                        "fingerprint": fingerprint(kit.certificate),
                        "expires": kit.expires.isoformat(),
                    }
                    for kit in kits
                },
                "changes": {name: {**asdict(each), "folder": str(each.folder)} for name, each in changes.items()},
                **({"passphrase": passphrase} if passphrase else {}),
            }
        )
        return
    rows = [
        (kit.name, kit.kind, kit.organisation, kit.role or None, f"{kit.expires:%Y-%m-%d}", str(kit.folder.parent.name))
        for kit in kits
    ]
    title = f"Kits in {out_dir / str(project['name'])}"
    print_table(("name", "kind", "organisation", "role", "certificate ends", "build"), rows, title=title)
    for name, change in sorted(changes.items()):
        what = (
            f"copy over its kit: {', '.join(change.files)}" if change.what == FILES else f"{change.what}: hand it over"
        )
        print_line(f"{name}: {what} ({change.folder})")
    if old := sum(kit.another_key for kit in old_kits(project, out_dir)):
        print_line(f"{old} older kits have private keys that later ones replaced: `fedbrats provision retire`")
    print_line(f"root: {fingerprint(root)}, ends {root.not_valid_after_utc:%Y-%m-%d}")
    if not is_locked(project, out_dir):
        print_line("the root's private key is not encrypted: `fedbrats provision lock` puts it into a file of its own")
    say_passphrase(passphrase)
