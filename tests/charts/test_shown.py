"""What the docs show works: every command for Helm, and every file of values."""

import re
import shlex
import textwrap
import unittest

import yaml

import charts
from charts import CHARTS, NAMESPACES, ROOT

PAGES = [ROOT / "docs/kubernetes.md", *(CHARTS / chart / "README.md" for chart in NAMESPACES)]
# What a command begins with that is only a part of one.
PART = ["helm", "upgrade", "dragoman", "charts/dragoman", "-n", "dragoman-system"]
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def blocks(page, language):
    """The fenced blocks of a page."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for _, block in found]


def commands(page):
    """The words of every command that renders a chart."""
    lines = []
    for block in blocks(page, "(?:console)?"):
        lines += re.sub(r"\s*\\\n\s*", " ", block).splitlines()
    words = [shlex.split(line) for line in lines if re.match(r"helm (install|upgrade) ", line)]
    return words + [[*PART, *shlex.split(part)] for part in re.findall(r"`(--set [^`]+)`", page.read_text())]


class Shown(unittest.TestCase):
    def test_every_command_works(self):
        pem = charts.written({}).with_suffix(".pem")
        pem.write_text(PEM)
        count = 0
        for page in PAGES:
            for words in commands(page):
                with self.subTest(f"{page.name}: {shlex.join(words)}"):
                    [chart] = [word for word in words if word.startswith("charts/") and "values" not in word]
                    given = []
                    for option, value in zip(words, words[1:]):
                        if option in {"--set", "--set-file"}:
                            key, _, file = value.partition("=")
                            given += [option, f"{key}={pem}" if option == "--set-file" else value]
                        elif option == "-f" and value.startswith("charts/"):
                            given += [option, ROOT / value]
                    least = charts.written({"meshes": [{"name": "west", "trustDomain": "west.example"}]})
                    # The command that gives a mesh its roots adds to the values above it.
                    given = ["--values", least, *given] if "meshes[0]" in str(given) else given
                    required = ["--set", "agent.name=a,agent.image=a,agent.port=1"] if chart.endswith("agent") else []
                    charts.helm("template", "release", ROOT / chart, "--kube-version", "1.33", *required, *given)
                    count += 1
        self.assertGreater(count, 5)

    def test_every_file_of_values_works(self):
        shown = [yaml.safe_load(block) for block in blocks(ROOT / "docs/kubernetes.md", "yaml") if "apiVersion" not in block]
        self.assertTrue(shown)
        for values in shown:
            with self.subTest(", ".join(values)):
                charts.text("dragoman", charts.written(values))

    def test_what_is_not_ready_is_called_as_the_controller_calls_it(self):
        source = "\n".join(file.read_text() for file in (ROOT / "src/app/controller").rglob("*.rs"))
        gates = {f"{role.lower()}: {name}" for role, name in re.findall(r'Gate \{ role: Role::(\w+), name: "([^"]+)"', source)}
        gates |= {f"injector: {name}" for name in re.findall(r'gate\(ground, "([^"]+)"', source)}
        page = (ROOT / "docs/troubleshooting.md").read_text()
        rows = [row for row in page.splitlines() if re.match(r"\| (`/readyz` of the controller|it) says ", row)]
        self.assertEqual(sorted(name for row in rows for name in re.findall(r"`([a-z]+: [a-z ]+): …`", row.split("|")[1])), sorted(gates))

    def test_what_is_left_behind_is_named(self):
        [config] = charts.kind(charts.case_objects("dragoman", "least"), "ConfigMap")
        controller = yaml.safe_load(config["data"]["controller.yaml"])
        page = (ROOT / "docs/kubernetes.md").read_text()
        left = page[page.index("What it leaves") :]
        for name in [controller["issuer"]["secret"], controller["issuer"]["bundle"], controller["injector"]["secret"]]:
            self.assertIn(f"`{name}`", left)

    def test_replicas_for_production_are_as_many_as_is_said(self):
        replicas = yaml.safe_load((CHARTS / "dragoman/values-ha.yaml").read_text())["controller"]["replicas"]
        word = {2: "two", 3: "three"}[replicas]
        pages = [*PAGES, ROOT / "docs/troubleshooting.md", CHARTS / "dragoman/templates/NOTES.txt"]
        said = [found for page in pages for found in re.findall(r"values-ha\.yaml[^.]*?(\w+) replicas", page.read_text())]
        self.assertEqual(said, [word] * 4)

    def test_notes_say_when_roots_are_a_copy(self):
        wanted = {"least": "A copy by hand stays", "roots": "identity.issuer.roots is a copy", "trust-bundle": None, "secret": None, "csi": None}
        for case, words in wanted.items():
            files = [word for values in charts.cases("agent")[case] for word in ("--values", charts.written(values))]
            said = charts.helm("install", "release", CHARTS / "agent", "--dry-run=client", "--namespace", "travel", *files)
            notes = said[said.index("NOTES:") :]
            self.assertEqual("before the new root signs" in notes, words is not None, case)
            self.assertIn(words or "", notes, case)

    def test_null_on_the_command_line_leaves_the_user_to_openshift(self):
        [words] = [words for words in commands(PAGES[0]) if "null" in str(words)]
        objects = charts.objects(charts.helm("template", "release", CHARTS / "dragoman", "--kube-version", "1.33", *words[len(PART):]))
        for what, _, spec in charts.pods(objects):
            self.assertNotIn("2602", str(spec.get("securityContext")), what)
        [config] = charts.kind(objects, "ConfigMap")
        security = yaml.safe_load(config["data"]["container.yaml"])["securityContext"]
        self.assertEqual(security, {"runAsUser": None, "runAsGroup": None})


if __name__ == "__main__":
    unittest.main()
