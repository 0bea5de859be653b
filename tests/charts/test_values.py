"""Values: each one is documented, does something, and is refused where it is wrong."""

import copy
import subprocess
import sys
import unittest

import yaml

import charts
from charts import CHARTS, HERE, NAMESPACES, PROGRAMS, Refused


def at(values, path):
    """Whether there is something at a path, and what."""
    for key in path:
        if isinstance(values, list):
            values = values[0] if values else {}
        if not isinstance(values, dict) or key not in values:
            return False, None
        values = values[key]
    return True, values


def without(values: dict, path: list[str]) -> dict:
    values = copy.deepcopy(values)
    _, parent = at(values, path[:-1])
    del parent[path[-1]]
    return values


class Values(unittest.TestCase):
    def test_tables_and_schemas_are_fresh(self):
        done = subprocess.run([sys.executable, CHARTS / "docs", "--check", "--programs", PROGRAMS], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_every_value_does_something(self):
        for chart in NAMESPACES:
            idle = []
            for leaf in charts.leaves(chart):
                path = leaf.split(".")
                if not any(self.matters(chart, case, path) for case in self.with_one_file(chart)):
                    idle.append(leaf)
            self.assertEqual(idle, [], f"{chart}: nothing changes without them, in any file of values/{chart}")

    def with_one_file(self, chart):
        return [case for case, values in charts.cases(chart).items() if len(values) == 1]

    def matters(self, chart, case, path):
        """Whether it changes what is rendered if the value is left out."""
        [values] = charts.cases(chart)[case]
        there, _ = at(values, path)
        if not there:
            return False
        try:
            rest = charts.text(chart, charts.written(without(values, path)))
        except Refused:
            return True
        return rest != charts.case_text(chart, case)

    def test_every_key_of_a_configuration_can_be_said(self):
        for chart in NAMESPACES:
            for root in charts.docs().CONFIGS[chart]:
                value = {"controllerConfig": ["controller", "config"], "sidecarConfig": ["sidecar", "config"]}[root]
                missing = []
                for path in self.keys(charts.schema(chart)["definitions"], root):
                    files = charts.cases(chart).values()
                    if not any(at(each, value + path)[0] for values in files for each in values):
                        missing.append(".".join(path))
                # The chart says it itself.
                self.assertEqual([key for key in missing if key != "injector.secret"], [], f"{chart}, {root}: no file of values has them")

    def keys(self, definitions, name, above=()):
        """The paths of all keys below a definition."""
        out = []
        for key, schema in definitions[name].get("properties", {}).items():
            reference = schema.get("$ref") or schema.get("items", {}).get("$ref")
            path = [*above, key]
            out += self.keys(definitions, reference.rpartition("/")[2], path) if reference else [path]
        return out

    def test_what_is_wrong_is_refused_and_said(self):
        for chart in NAMESPACES:
            files = sorted((HERE / "refused" / chart).glob("*.yaml"))
            self.assertTrue(files)
            for file in files:
                with self.subTest(f"{chart}: {file.stem}"):
                    words = file.read_text().splitlines()[0].removeprefix("# says: ")
                    with self.assertRaises(Refused) as refused:
                        charts.text(chart, file)
                    self.assertIn(words, str(refused.exception))

    def test_every_map_of_the_schema_is_closed(self):
        for chart in NAMESPACES:
            for key in charts.docs().read(CHARTS / chart / "values.yaml"):
                self.closed(key, charts.schema(chart)["properties"][key.name])

    def closed(self, key, schema):
        if key.children:
            self.assertIs(schema["additionalProperties"], False, key.path)
        for child in key.children:
            self.closed(child, schema["properties"][child.name])

    def test_a_chart_above_may_hand_down_its_globals(self):
        charts.text("dragoman", charts.written({"global": {"anything": 1}}))

    def test_an_older_cluster_is_refused(self):
        for chart in NAMESPACES:
            with self.assertRaises(Refused) as refused:
                charts.text(chart, charts.written(charts.cases(chart)["least"][0]), version="1.32.9")
            self.assertIn(">=1.33.0-0", str(refused.exception))

    def test_the_version_is_that_of_the_programs(self):
        said = subprocess.run([PROGRAMS / "dragoman", "--version"], capture_output=True, text=True, check=True)
        for chart in NAMESPACES:
            meta = yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())
            self.assertEqual(said.stdout.split()[-1], meta["appVersion"], chart)


if __name__ == "__main__":
    unittest.main()
