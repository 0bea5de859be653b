"""The example that docs/kubernetes.md begins with: taken everywhere, nothing of Dragoman in it, and its agents do talk."""

import contextlib
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

import yaml

import charts
from charts import ROOT
from test_manifests import VERSIONS, unrestricted, validator

EXAMPLE = ROOT / "examples/two-agents.yaml"


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


class Example(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.objects = charts.objects(EXAMPLE.read_text())

    def test_the_api_of_every_version_takes_it(self):
        for each in self.objects:
            for version in VERSIONS:
                errors = validator(version, each["kind"], each["apiVersion"].replace("/", "-")).iter_errors(each)
                self.assertEqual([f"{version} {each['kind']}: {error.json_path}: {error.message}" for error in errors], [])

    def test_its_pods_are_plain_and_restricted(self):
        for what, metadata, spec in charts.pods(self.objects):
            self.assertEqual(unrestricted(spec), [], what)
            self.assertGreater(spec["securityContext"]["runAsUser"], 0, "the image itself runs as root")
            self.assertNotIn("dragoman", json.dumps([metadata, spec]), what)
            self.assertEqual(len(charts.containers(spec)), 1, what)

    def test_what_is_mounted_is_there(self):
        [programs] = charts.kind(self.objects, "ConfigMap")
        accounts = {each["metadata"]["name"] for each in charts.kind(self.objects, "ServiceAccount")}
        for what, metadata, spec in charts.pods(self.objects):
            self.assertEqual(spec["volumes"][0]["configMap"]["name"], programs["metadata"]["name"], what)
            [container] = spec["containers"]
            directory, _, program = container["command"][-1].rpartition("/")
            self.assertEqual(container["volumeMounts"][0]["mountPath"], directory)
            self.assertIn(program, programs["data"])
            self.assertEqual(program, metadata["labels"]["app"] + ".py")
            self.assertIn(spec["serviceAccountName"], accounts)
            self.assertEqual([port["containerPort"] for port in container["ports"]], [9000])


class Agents(unittest.TestCase):
    """The programs as they are, but for their ports; one calls the other without a mesh in between."""

    @classmethod
    def setUpClass(cls):
        [programs] = charts.kind(charts.objects(EXAMPLE.read_text()), "ConfigMap")
        cls.ports = {"currency": free_port(), "planner": free_port()}
        cls.running = {name: cls.start(name, programs["data"]) for name in cls.ports}
        cls.addClassCleanup(lambda: [process.kill() or process.wait() for process in cls.running.values()])
        for name in cls.ports:
            cls.wait(name)

    @classmethod
    def start(cls, name, programs):
        home = tempfile.TemporaryDirectory()
        cls.addClassCleanup(home.cleanup)
        for file, text in programs.items():
            text = text.replace("port=9000", f"port={cls.ports[name]}")
            text = text.replace("http://127.0.0.1:2602/agents/currency", f"http://127.0.0.1:{cls.ports['currency']}")
            pathlib.Path(home.name, file).write_text(text)
        return subprocess.Popen([sys.executable, f"{home.name}/{name}.py"], stderr=subprocess.DEVNULL)

    @classmethod
    def wait(cls, name):
        for _ in range(200):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", cls.ports[name])).close()
                return
            time.sleep(0.05)
        raise AssertionError(f"{name} does not listen")

    def open(self, name, path="", call=None):
        body = None if call is None else json.dumps(call).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports[name]}/{path}", body, {"a2a-version": "1.0"})
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def send(self, name, text, method="SendMessage"):
        message = {"messageId": "1", "role": "ROLE_USER", "parts": [{"text": text}]}
        answer = self.open(name, call={"jsonrpc": "2.0", "id": 7, "method": method, "params": {"message": message}})
        self.assertEqual((answer["jsonrpc"], answer["id"]), ("2.0", 7))
        return answer

    def says(self, name, text):
        message = self.send(name, text)["result"]["message"]
        self.assertEqual(message["role"], "ROLE_AGENT")
        return message["parts"][0]["text"]

    def test_they_answer_what_the_page_shows(self):
        page = (ROOT / "docs/kubernetes.md").read_text()
        for name, text in [("currency", "100 USD in KRW"), ("planner", "Three days in Seoul")]:
            self.assertRegex(page, rf'/dragoman send {name} "{text}"\n +{self.says(name, text)}\n')

    def test_they_say_what_they_can(self):
        for name in self.ports:
            card = self.open(name, ".well-known/agent-card.json")
            self.assertEqual([(each["protocolBinding"], each["protocolVersion"]) for each in card["supportedInterfaces"]], [("JSONRPC", "1.0")])
            self.assertEqual([skill["id"] for skill in card["skills"]], [name])

    def test_they_say_what_they_cannot(self):
        self.assertIn("100 USD in EUR", self.says("currency", "hello"))
        self.assertEqual(self.send("currency", "a", "SendStreamingMessage")["error"]["code"], -32601)
        with self.assertRaises(urllib.error.HTTPError) as absent:
            self.open("currency", "elsewhere")
        absent.exception.close()
        self.assertEqual(absent.exception.code, 404)


if __name__ == "__main__":
    unittest.main()
