"""Renders the charts, and tells which ways of rendering there are."""

import copy
import functools
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import tempfile

import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CHARTS = ROOT / "charts"
PROGRAMS = pathlib.Path(os.environ["DRAGOMAN_PROGRAMS"])
NAMESPACES = {"dragoman": "dragoman-system", "agent": "travel"}


class Refused(Exception):
    """Helm's own words."""


def helm(*arguments: object) -> str:
    done = subprocess.run([os.environ["HELM"], *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise Refused(done.stdout + done.stderr)
    return done.stdout


def written(values: dict) -> pathlib.Path:
    """A file with these values, which lives as long as this process."""
    file = tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=scratch().name, delete=False)
    with file:
        # Null has to stay: it takes a default away.
        yaml.safe_dump(values, file)
    return pathlib.Path(file.name)


@functools.cache
def scratch() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory()


def text(chart: str, *files: object, version: str = "1.33") -> str:
    """What a chart renders to, with files of values, the last of which wins."""
    given = [word for file in files for word in ("--values", file)]
    # The name of the chart's release differs from every name that the chart gives.
    place = ["--namespace", NAMESPACES[chart], "--kube-version", version]
    return helm("template", "release", CHARTS / chart, *place, *given)


def objects(rendered: str) -> list[dict]:
    return [each for each in yaml.safe_load_all(rendered) if each]


@functools.cache
def shown(chart: str) -> dict[str, dict]:
    """The examples of a README."""
    readme = (CHARTS / chart / "README.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    return {f"README-{number}": yaml.safe_load(block) for number, block in enumerate(blocks, 1)}


@functools.cache
def cases(chart: str) -> dict[str, list[dict]]:
    """Every way to render a chart: the values files, the README's examples, and for production each of them again."""
    files = sorted((HERE / "values" / chart).glob("*.yaml"))
    all_ = {file.stem: [yaml.safe_load(file.read_text())] for file in files}
    all_ |= {name: [values] for name, values in shown(chart).items()}
    if chart == "dragoman":
        ha = yaml.safe_load((CHARTS / chart / "values-ha.yaml").read_text())
        all_ |= {f"{name} HA": [ha, *values] for name, values in all_.items()}
    return all_


@functools.cache
def case_text(chart: str, case: str) -> str:
    return text(chart, *map(written, cases(chart)[case]))


def case_objects(chart: str, case: str) -> list[dict]:
    return copy.deepcopy(parsed(chart, case))


@functools.cache
def parsed(chart: str, case: str) -> list[dict]:
    return objects(case_text(chart, case))


def every() -> list[tuple[str, str]]:
    return [(chart, case) for chart in NAMESPACES for case in cases(chart)]


def kind(objects_: list[dict], wanted: str) -> list[dict]:
    return [each for each in objects_ if each["kind"] == wanted]


def pods(objects_: list[dict]) -> list[tuple[str, dict, dict]]:
    """Every pod and pod template: what it is, its metadata, its spec."""
    out = []
    for each in objects_:
        what = f"{each['kind']} {each['metadata']['name']}"
        if each["kind"] == "Pod":
            out.append((what, each["metadata"], each["spec"]))
        elif each["kind"] == "Deployment":
            template = each["spec"]["template"]
            out.append((what, template["metadata"], template["spec"]))
    return out


def containers(spec: dict) -> list[dict]:
    return spec.get("initContainers", []) + spec["containers"]


@functools.cache
def docs():
    """charts/docs as a module."""
    loader = importlib.machinery.SourceFileLoader("docs", str(CHARTS / "docs"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("docs", loader))
    # Its dataclasses ask for the module by name.
    import sys

    sys.modules["docs"] = module
    loader.exec_module(module)
    return module


def leaves(chart: str) -> list[str]:
    """The path of every value."""

    def below(keys):
        for key in keys:
            yield from below(key.children) if key.children else [key.path]

    return list(below(docs().read(CHARTS / chart / "values.yaml")))


def schema(chart: str) -> dict:
    return json.loads((CHARTS / chart / "values.schema.json").read_text())
