"""The page: what it says, that it is well-formed and needs nothing else, and how a real browser shows it."""

import json
import re
import shutil
import subprocess
import threading
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import pytest
from markupsafe import escape
from matplotlib.image import imread

from fedbrats.errors import DataError
from fedbrats.report.numbers.comparison import compare
from fedbrats.report.numbers.results import ALL_SITES, read_results
from fedbrats.report.page.findings import findings
from fedbrats.report.page.gallery import GalleryItem
from fedbrats.report.page.page import write_page
from fedbrats.report.page.pictures import longest_parts
from fedbrats.report.page.privacy import privacy

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
HEADLESS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
MEASURE = """<script>
addEventListener("load", () => {
  const height = document.body.getBoundingClientRect().height, closed = document.querySelectorAll("details").length;
  document.querySelectorAll("details").forEach(each => { each.open = true; });
  document.body.dataset.seen = JSON.stringify({
  height, closed, more: [...document.querySelectorAll(".more")].filter(each => each.offsetHeight).length,
  overflow: document.documentElement.scrollWidth - innerWidth,
  ground: getComputedStyle(document.body).backgroundColor,
  charts: [...document.querySelectorAll("figure svg")].map(svg => ({
    title: svg.closest("figure").querySelector("figcaption").textContent,
    width: svg.getBoundingClientRect().width, height: svg.getBoundingClientRect().height,
    marks: svg.querySelectorAll("[id*=line2d] path, [id*=PathCollection] use, [id*=patch] path").length})),
  heat: [...document.querySelectorAll("td.heat")].map(cell => getComputedStyle(cell).backgroundColor),
  broken: [...document.images].filter(image => !image.naturalWidth).length})});
</script></body>"""


class Outline(HTMLParser):
    """Tags as they open, and whether they close in order."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[tuple[str, dict]] = []
        self._stack: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.opened.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.opened.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._stack.pop() == tag

    def close(self):
        super().close()
        assert not self._stack


def results_of(page: str) -> str:
    return page.split('<h2 id="results">')[1].split("</section>")[0]


@pytest.fixture(scope="module")
def page(federated, evaluated) -> str:
    return write_page(read_results([*federated, evaluated]), "A report")


@pytest.fixture(scope="module")
def outline(page) -> list[tuple[str, dict]]:
    parser = Outline()
    parser.feed(page)
    parser.close()
    return parser.opened


def test_the_better_method_is_best_and_the_worse_one_no_tie(federated):
    table = compare(read_results(federated))
    assert table["fedper"]["mean"].is_best
    assert table["fedper"]["mean"].dice == pytest.approx(table["fedavg"]["mean"].dice + 0.1)
    assert not table["fedavg"]["mean"].is_tie
    assert table["fedavg"]["mean"].p < 0.01
    assert table["fedavg"]["WT"].interval.patients == 12


def test_methods_alike_are_told_apart_by_folder_and_tie(make_results, tmp_path):
    runs = read_results([make_results(tmp_path / name, "fedavg", 0.1) for name in "ab"])
    assert [run.name for run in runs] == ["fedavg (a)", "fedavg (b)"]
    cells = [cells["mean"] for cells in compare(runs).values()]
    assert {(cell.is_best, cell.is_tie) for cell in cells} == {(True, False), (False, True)}
    assert "cannot be told apart from fedavg (b)" in write_page(runs, "t")


def test_a_row_says_its_patients_and_other_patients_are_not_ranked(make_results, tmp_path):
    runs = [make_results(tmp_path / name, name, gain) for name, gain in (("fedavg", 0.1), ("fedper", 0.2))]
    easy = make_results(tmp_path / "fedbn", "fedbn", 0.4)
    (easy / "sites" / "west" / "cases.jsonl").unlink()
    table = compare(read_results([easy, *runs]))
    assert {name for name, cells in table.items() if cells["mean"].is_ranked} == {"fedavg", "fedper"}
    assert table["fedper"]["mean"].is_best
    assert table["fedbn"]["mean"].dice > table["fedper"]["mean"].dice
    assert (table["fedbn"]["mean"].is_best, table["fedbn"]["mean"].is_tie, table["fedbn"]["mean"].p) == (0, 0, None)
    results = results_of(write_page(read_results([easy, *runs]), "t"))
    assert '<th scope="row">fedbn</th><td>8</td>' in results
    assert '<th scope="row">fedper</th><td>12</td>' in results
    assert results.count(">other patients<") == 4
    assert "Highest mean Dice: fedper" in results
    assert "not ranked: fedbn" in results


def test_of_methods_without_common_patients_none_is_best(make_results, tmp_path):
    folders = [make_results(tmp_path / name, name, 0.1) for name in ("fedavg", "fedper")]
    (folders[0] / "sites" / "west" / "cases.jsonl").unlink()
    results = results_of(write_page(read_results(folders), "t"))
    assert "No two methods were scored on the same patients" in results
    assert 'class="mark"' not in results


def test_where_single_cases_stay_at_their_sites_datalists_tell_the_patients(make_results, tmp_path):
    folders = [make_results(tmp_path / name, name, gain) for name, gain in (("a", 0.1), ("b", 0.2), ("c", 0.3))]
    for folder in folders:
        shutil.rmtree(folder / "sites")
        path = folder / "rows.jsonl"
        manifest = f'"training_cases": 9, "manifest": "{"other" if folder.name == "c" else "one"}"'
        path.write_text(path.read_text().replace('"training_cases": 9', manifest))
    table = compare(read_results(folders))
    assert [cells["mean"].is_ranked for cells in table.values()] == [True, True, False]
    assert table["b"]["mean"].is_best
    assert '<th scope="row">b</th><td>12 cases</td>' in results_of(write_page(read_results(folders), "t"))


def test_patients_of_two_hospitals_with_one_name_are_two(make_results, tmp_path):
    folder = make_results(tmp_path / "fedavg", "fedavg", 0.1)
    for path in folder.glob("sites/*/cases.jsonl"):
        path.write_text(re.sub(r"patient-\d", "patient", path.read_text()))
    [run] = read_results([folder])
    assert len(run.dice_by_patient("mean")) == 12
    assert run.dice_by_patient("WT")["south", "patient-0"] == pytest.approx(0.65)
    assert compare([run])["fedavg"]["mean"].interval.patients == 12


def test_a_training_is_compared_by_site_and_an_older_one_by_name(make_results, federated, tmp_path):
    folder = make_results(tmp_path / "train", "train", 0.3)
    rows = [
        {"site": path.parent.name, **json.loads(line)}
        for path in folder.glob("sites/*/cases.jsonl")
        for line in path.read_text().splitlines()
    ]
    shutil.rmtree(folder / "sites")
    for row in rows:
        for known in (True, False):
            own = {key: value for key, value in row.items() if known or key != "site"}
            older = tmp_path / ("new" if known else "old")
            if not older.exists():
                shutil.copytree(folder, older)
            with (older / "cases.jsonl").open("a") as stream:
                stream.write(json.dumps(own) + "\n")
    new, old = read_results([tmp_path / "new", tmp_path / "old"])
    assert set(new.cases) == {"north", "south", "west"}
    assert set(old.cases) == {ALL_SITES}
    for run in (new, old):
        table = compare([*read_results(federated), run])
        assert table[run.name]["mean"].is_best
        assert table["fedper"]["mean"].p < 0.01
        assert all(cells["mean"].is_ranked for cells in table.values())


def test_the_seconds_of_a_round_count_waiting_once(make_results, tmp_path):
    folder = make_results(tmp_path / "fedavg", "fedavg", 0.1)
    path = folder / "rows.jsonl"
    path.write_text(path.read_text().replace('"training": 4.0', '"training": 4.0, "waiting": 1.5'))
    [run] = read_results([folder])
    parts = longest_parts(run)
    assert {part: parts[part][0] for part in parts} == {"training": 3.0, "waiting": 1.5, "validating": 1.0}


def test_headings_descend_and_everything_seen_has_words(page, outline):
    levels = [int(tag[1]) for tag, _ in outline if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert next(attributes for tag, attributes in outline if tag == "html")["lang"] == "en"
    pictures = [attributes for tag, attributes in outline if tag == "svg"]
    assert len(pictures) == 2 * 7 + 1
    assert all(attributes["role"] == "img" and len(attributes["aria-label"]) > 40 for attributes in pictures)
    assert all(attributes["alt"] for tag, attributes in outline if tag == "img")


def test_ids_are_unique_so_that_charts_do_not_borrow_from_each_other(outline):
    ids = [attributes["id"] for _, attributes in outline if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_nothing_is_fetched_and_nothing_from_outside_runs(page, outline):
    assert "<script" not in page
    assert "&lt;script&gt;" in page  # a site's message is shown, not run
    for _, attributes in outline:
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    assert "@import" not in page


def test_names_from_outside_are_text_wherever_they_stand(make_results, tmp_path):
    """Every text that a site, a person or a file can choose goes through the templates, which escape it."""
    hostile = "<img src=x onerror=alert(1)>\"'&{{ 7 * 7 }}{% raw %}"
    folder = make_results(tmp_path / "run", "fedavg", 0.1)
    rows = (folder / "rows.jsonl").read_text().replace('"west"', json.dumps(hostile))
    (folder / "rows.jsonl").write_text(rows.replace('"not-finite"', json.dumps(hostile)))
    summary = json.loads((folder / "summary.json").read_text())
    summary |= dict.fromkeys(("job", "job_id", "status"), hostile) | {"variables": {hostile: hostile}}
    (folder / "summary.json").write_text(json.dumps(summary))
    found = {"mean": 0.5, "low": 0.4, "high": 0.6, "median": 0.5, "worst_site": hostile, "gap": 0.1}
    document = {"section": hostile, "empty_region_rule": hostile, "metrics": {hostile: {hostile: found}}}
    (folder / "evaluation.json").write_text(json.dumps({**document, "model": hostile}))
    item = GalleryItem(hostile, b"png", hostile, hostile)
    page = write_page(read_results([folder]), hostile, gallery=[item], undrawn=[hostile])
    outline = Outline()
    outline.feed(page)
    outline.close()
    assert [attributes for tag, attributes in outline.opened if tag == "img"] == [
        {"src": "data:image/png;base64,cG5n", "alt": hostile}
    ]
    assert not any(name.startswith("on") for _, attributes in outline.opened for name in attributes)
    assert page.count(escape(hostile)) > 20


def test_refusals_versions_seeds_and_checksums_are_there(page, federated):
    for said in ("not-finite", "nvflare 2.", "fedper-1", "FINISHED:COMPLETED", "&#34;network&#34;: &#34;tiny&#34;"):
        assert said in page
    assert read_results(federated)[0].checksums["global_model.pt"] in page


def test_an_evaluation_that_was_ended_early_says_so(federated, tmp_path):
    folder = shutil.copytree(federated[0], tmp_path / "run")
    document = {"section": "test", "empty_region_rule": "both empty: Dice 1", "metrics": {}}
    for unreached, said in ((3, True), (0, False)):
        (folder / "evaluation.json").write_text(json.dumps({**document, "unreached": unreached}))
        page = write_page(read_results([folder]), "A report")
        assert "every metric, on each scan&#39;s own grid, test cases" in page
        assert ("the evaluation ended before 3 of them" in page) == said


def test_a_cross_site_evaluation_is_a_heat_map_and_no_method(page):
    section = page.split('<h2 id="cross-site-evaluation">')[1].split("</section>")[0]
    for said in ("fedavg", "fedper with each site's own personal part", "fedper with the personal part of south"):
        assert escape(said) in section
    assert section.count("&ndash;") == 3  # west says nothing
    assert "evaluate" not in results_of(page)


def test_bytes_are_said_in_words_too(page):
    assert "In all 9.0 MB of models went to the sites and 4.5 MB came back." in page


def test_a_running_job_is_followed_and_a_finished_one_is_not(federated, tmp_path):
    rows = (federated[0] / "rows.jsonl").read_text().splitlines(keepends=True)
    deeper = tmp_path / "simulator" / "server" / "fedbrats"
    deeper.mkdir(parents=True)
    (deeper / "rows.jsonl").write_text("".join(rows[:20]) + rows[20][:10])  # in the middle of a line
    running = read_results([tmp_path])
    assert running[0].is_running
    page = write_page(running, "t", is_live=True)
    assert 'http-equiv="refresh"' in page
    assert "No run has reached its final evaluation yet" in page
    assert "Still running: " in page
    assert "Learning curves" in page
    assert 'http-equiv="refresh"' not in write_page(read_results(federated), "t")


def test_a_folder_without_rows_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"holds no rows\.jsonl"):
        read_results([tmp_path])


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser found; install one of {', '.join(BROWSERS)} to look at the page")
    return found


@pytest.fixture(scope="module")
def browse(page, browser, tmp_path_factory):
    """A function that opens the page in a real browser: what it measures, its console, and a screenshot."""
    folder = tmp_path_factory.mktemp("browser")
    (folder / "page.html").write_text(page.replace("</body>", MEASURE))

    def look(width: int, *flags: str) -> tuple[dict, str, object]:
        start = [browser, *HEADLESS, "--enable-logging=stderr", *flags]
        start += [f"--user-data-dir={folder / 'profile'}", f"--window-size={width},4000"]
        url = (folder / "page.html").as_uri()
        shown = subprocess.run([*start, "--dump-dom", url], capture_output=True, text=True, timeout=600, check=True)
        picture = folder / f"{width}.png"
        subprocess.run([*start, f"--screenshot={picture}", url], capture_output=True, timeout=600, check=True)
        seen = re.search(r"data-seen=\"(.*?)\"", shown.stdout).group(1).replace("&quot;", '"')
        return json.loads(seen), shown.stderr, imread(picture)

    return look


@pytest.mark.parametrize(
    ("width", "flags"), [(1200, ()), (390, ()), (1200, ("--blink-settings=preferredColorScheme=0",))]
)
def test_a_browser_shows_every_chart_without_a_complaint(browse, width, flags):
    seen, console, picture = browse(width, *flags)
    assert "CONSOLE" not in console
    assert seen["overflow"] <= 0
    assert seen["broken"] == 0
    assert len(seen["charts"]) == 15
    assert len(seen["heat"]) == 2 * 3 + 3 * 2  # sites by methods, and models by those sites that said something
    assert len(set(seen["heat"])) > 5  # as many shades as there are values
    for chart in seen["charts"]:
        assert chart["marks"] > 5, f"{chart['title']} is empty"
        assert chart["width"] > 300
        assert chart["height"] > 100
    if width == 1200:
        assert seen["height"] < 3 * 900  # three screens, until something is opened
        assert not seen["more"]
    else:
        assert seen["more"] > 2  # tables say that they go on
    assert seen["closed"] > 5
    is_dark = sum(map(int, re.findall(r"\d+", seen["ground"]))) < 150
    assert is_dark == bool(flags)
    assert picture[..., :3].std() > 0.03


def test_a_browser_follows_a_live_page_by_itself(browser, federated, tmp_path):
    """It was opened once, while the job ran, and shows the end."""
    runs = read_results(federated)
    pages = [write_page(runs, "The job has ended"), write_page(runs, "The job runs", is_live=True)]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path != "/":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write((pages.pop() if len(pages) > 1 else pages[0]).encode())

        def log_message(self, *_words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        start = [browser, *HEADLESS, f"--user-data-dir={tmp_path / 'profile'}"]
        start += ["--virtual-time-budget=20000", "--dump-dom", f"http://127.0.0.1:{server.server_port}/"]
        shown = subprocess.run(start, capture_output=True, text=True, timeout=600, check=True).stdout
        server.shutdown()
    assert "<h1>The job has ended</h1>" in shown


def test_findings_are_counted_by_kind_without_the_name_of_a_case(make_results, tmp_path):
    found = [
        {"case": case, "file": f"/data/{case}_t1.nii.gz", "kind": kind, "severity": severity, "message": f"{case}!"}
        for case, kind, severity in (
            ("Mustermann_1", "partial-coverage", "warning"),
            ("Mustermann_2", "partial-coverage", "warning"),
            ("", "similar-names", "warning"),
            ("Mustermann_3", "exchanged-modalities", "error"),
            ("", "passed-over", "note"),
            ("Mustermann_4", "of-another-version", "warning"),
        )
    ]
    folders = [make_results(tmp_path / name, name, 0.1) for name in ("fedavg", "fedper", "fedprox")]
    for folder, own in zip(folders, (found[:3], found[:3], []), strict=True):
        path = folder / "summary.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "findings": own}))
    (folders[2] / "evaluation.json").write_text(json.dumps({"findings": found[3:]}))
    tables = {block.caption: block.rows for block in findings(read_results(folders))}
    told = {caption: [(head, cells[:2]) for head, cells in rows] for caption, rows in tables.items()}
    assert told == {
        "What the check found in the cases of fedavg, fedper": [
            ("partial-coverage", ("warning", 2)),
            ("similar-names", ("warning", "the data set")),
        ],
        "What the check found in the cases of fedprox": [
            ("exchanged-modalities", ("error", 1)),
            ("of-another-version", ("warning", 1)),
        ],
    }
    page = write_page(read_results(folders[:2]), "Findings")
    assert "a modality leaves out part of the brain" in page
    assert "Mustermann" not in page


def test_a_run_with_pads_says_that_the_server_saw_sums_only(make_results, tmp_path):
    folder = make_results(tmp_path / "padded", "padded", 0.1)
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, "variables": {"secure": "pads"}}))
    [said] = privacy(read_results([folder]))
    assert "of padded the server saw the sum of each round's updates only" in said.text
