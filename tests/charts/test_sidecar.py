"""The sidecars that the charts write are those that the injector would write: its goldens are the truth."""

import functools
import json
import unittest

import yaml

import charts
from charts import CHARTS, ROOT

GOLDEN = ROOT / "tests/golden/inject"


def injected(case: str) -> dict:
    return json.loads((GOLDEN / case / "patched.json").read_text())


@functools.cache
def told() -> tuple[dict, dict]:
    """What the injector was told there: of the container, and of the configuration."""
    return tuple(yaml.safe_load((GOLDEN / name).read_text()) for name in ["container.yaml", "sidecar.yaml"])


def values() -> dict:
    """The same as values of a chart."""
    container, sidecar = told()
    registry, repository = container["image"].split("/", 1)
    repository, tag = repository.rsplit(":", 1)
    config = {key: value for key, value in sidecar.items() if key not in {"mesh", "identity", "discovery"}}
    config["identity"] = {"issuer": {"server": sidecar["identity"]["issuer"]["server"]}}
    return {
        "mesh": sidecar["mesh"],
        "sidecar": {
            "image": {"registry": registry, "repository": repository, "tag": tag, "pullPolicy": container["imagePullPolicy"]},
            "resources": container["resources"],
            "env": container["env"],
            "config": config,
        },
    }


class Sidecar(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.golden = injected("plain")
        config = json.loads(cls.golden["metadata"]["annotations"]["dragoman.dev/config"])
        agent = {"agent": {"name": "currency", "image": "registry.example/currency:1", "port": 9000}}
        agent["identity"] = {"issuer": {"roots": config["identity"]["issuer"]["roots"]}}
        cls.config = config
        cls.objects = charts.objects(charts.text("agent", charts.written(values() | agent)))
        [(_, cls.metadata, cls.spec)] = charts.pods(cls.objects)

    def test_the_container_is_the_same(self):
        self.assertEqual(self.spec["initContainers"], self.golden["spec"]["initContainers"])

    def test_the_volumes_are_the_same_but_for_where_the_configuration_is(self):
        ours = {volume["name"]: volume for volume in self.spec["volumes"]}
        own = {volume["name"]: volume for volume in self.golden["spec"]["volumes"] if volume["name"].startswith("dragoman")}
        sources = own["dragoman"]["projected"]["sources"]
        [place] = [index for index, source in enumerate(sources) if "downwardAPI" in source]
        item = {"key": "config.yaml", "path": "config.yaml"}
        sources[place] = {"configMap": {"name": "currency-dragoman", "items": [item]}}
        self.assertEqual(ours, own)

    def test_the_configuration_is_the_same(self):
        [config] = charts.kind(self.objects, "ConfigMap")
        ours = yaml.safe_load(config["data"]["config.yaml"])
        # The chart knows the controller's namespace.
        ours["discovery"]["directory"].pop("server")
        self.assertEqual(ours, self.config)

    def test_the_pod_is_labelled_the_same_but_left_alone_by_the_injector(self):
        ours, theirs = (
            {key: value for key, value in labels.items() if "dragoman.dev/" in key}
            for labels in [self.metadata["labels"], self.golden["metadata"]["labels"]]
        )
        self.assertEqual(ours.pop("dragoman.dev/inject"), "false")
        # Its Service is the chart's.
        self.assertEqual((theirs.pop("dragoman.dev/inject"), theirs.pop("dragoman.dev/injected")), ("true", "true"))
        self.assertEqual(ours, theirs)
        for key in ["kubectl.kubernetes.io/default-container", "kubectl.kubernetes.io/default-logs-container"]:
            self.assertEqual(self.metadata["annotations"][key], self.golden["metadata"]["annotations"][key])

    def test_the_pod_of_helm_test_has_that_of_a_pod_that_only_calls(self):
        objects = charts.objects(charts.text("dragoman", charts.written(values())))
        [spec] = [spec for what, _, spec in charts.pods(objects) if what == "Pod dragoman-test"]
        self.assertEqual(spec["initContainers"], injected("caller-only")["spec"]["initContainers"][:1])

    def test_both_charts_write_it_by_the_same_template(self):
        one, other = (CHARTS / chart / "templates/_sidecar.tpl" for chart in ["dragoman", "agent"])
        self.assertEqual(one.read_text(), other.read_text())


class Told(unittest.TestCase):
    """What the chart tells the injector."""

    def container(self, case):
        [config] = [each for each in charts.kind(charts.case_objects("dragoman", case), "ConfigMap") if "container.yaml" in each.get("data", {})]
        return yaml.safe_load(config["data"]["container.yaml"])

    def test_who_runs_it_is_said_or_left_to_the_cluster(self):
        wanted = {"least": (2602, 2602), "openshift": (None, None), "everything": (3000, 2602)}
        for case, users in wanted.items():
            security = self.container(case)["securityContext"]
            self.assertEqual((security["runAsUser"], security["runAsGroup"]), users, case)

    def image(self, image, own):
        objects = charts.objects(charts.text("dragoman", charts.written({"image": image, "sidecar": {"image": own}})))
        [config] = charts.kind(objects, "ConfigMap")
        return yaml.safe_load(config["data"]["container.yaml"])["image"]

    def test_its_image_comes_from_where_the_controllers_does_or_is_its_own(self):
        self.assertEqual(self.container("least")["image"], "dragoman:0.1.0")
        digest = "@sha256:" + 64 * "b"
        self.assertEqual(self.container("everything")["image"], f"sidecars.example/mesh/sidecar:stable{digest}")
        self.assertEqual(self.image({"registry": "a.example", "tag": "b"}, {}), "a.example/dragoman:b")
        self.assertEqual(self.image({"registry": "a.example", "tag": "b"}, {"tag": "c"}), "a.example/dragoman:c")

    def test_the_controllers_repository_and_digest_are_no_sidecars(self):
        self.assertEqual(self.image({"repository": "a", "digest": "sha256:" + 64 * "a"}, {}), "dragoman:0.1.0")


if __name__ == "__main__":
    unittest.main()
