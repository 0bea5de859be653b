"""The charts on a real API server: it takes every rendering, and lets one follow the other."""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import yaml

import charts
from charts import CHARTS, NAMESPACES, ROOT

APISERVER = ROOT / "tests/cluster/apiserver"
# Their definitions are not installed.
FOREIGN = {"Certificate", "Issuer", "PodMonitor", "PrometheusRule"}


def setUpModule():
    global kubectl, directory
    tools = subprocess.run([ROOT / "tests/cluster/tools/build", "kubectl"], check=True, stdout=subprocess.PIPE, text=True)
    kubectl = pathlib.Path(tools.stdout.split()[-1]) / "kubectl"
    directory = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(directory.cleanup)
    unittest.addModuleCleanup(subprocess.run, [APISERVER, "down", directory.name], check=True)
    subprocess.run([APISERVER, "up", directory.name], check=True, stdout=subprocess.DEVNULL)
    os.environ["KUBECONFIG"] = f"{directory.name}/admin.kubeconfig"
    for namespace in NAMESPACES.values():
        kube("create", "namespace", namespace)
        kube("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")


def kube(*arguments, text=None, fails=False):
    done = subprocess.run([kubectl, *map(str, arguments)], input=text, capture_output=True, text=True)
    if done.returncode and not fails:
        raise AssertionError(f"kubectl {arguments}: {done.stderr}")
    return done.stdout


def get(*arguments):
    return json.loads(kube("get", *arguments, "-o", "json"))


class Server(unittest.TestCase):
    def install(self, release, chart, case="least", source=None):
        files = [word for values in charts.cases(chart)[case] for word in ("--values", charts.written(values))]
        # Else Helm would take the values of the last time for none.
        where = ["--namespace", NAMESPACES[chart], "--reset-values"]
        charts.helm("upgrade", "--install", release, source or CHARTS / chart, *where, *files)

    def uninstall(self, release, chart):
        charts.helm("uninstall", release, "--namespace", NAMESPACES[chart], "--cascade", "foreground", "--no-hooks")

    def test_every_rendering_is_taken(self):
        for chart, case in charts.every():
            # This control plane has no IPv6.
            if case.startswith("ipv6"):
                continue
            with self.subTest(f"{chart}: {case}"):
                known = [each for each in charts.case_objects(chart, case) if each["kind"] not in FOREIGN]
                text = yaml.safe_dump_all(known)
                kube("apply", "--dry-run=server", "--validate=strict", "-n", NAMESPACES[chart], "-f", "-", text=text)

    def test_one_way_to_run_the_controller_follows_another(self):
        self.addCleanup(self.uninstall, "dragoman", "dragoman")
        for case in ["least", "least HA", "meshes", "separate", "existing-secret", "moved", "openshift", "identity-alone", "least"]:
            with self.subTest(case):
                self.install("dragoman", "dragoman", case)
        charts.helm("rollback", "dragoman", "--namespace", "dragoman-system")

    def test_a_directory_that_all_could_reach_goes_back_inside(self):
        self.addCleanup(self.uninstall, "dragoman", "dragoman")
        # As the first version of the chart rendered it with directory.service.type and its neighbours.
        former = pathlib.Path(directory.name) / "former"
        shutil.copytree(CHARTS / "dragoman", former)
        template = former / "templates/service.yaml"
        balanced = "type: LoadBalancer\n  loadBalancerClass: example.com/internal\n  loadBalancerSourceRanges: [10.0.0.0/8]\n"
        before = template.read_text()
        template.write_text(before.replace("type: ClusterIP\n", balanced))
        self.assertNotEqual(template.read_text(), before)
        self.install("dragoman", "dragoman", source=former)
        was = get("service", "dragoman-directory", "-n", "dragoman-system")["spec"]
        self.assertEqual(was["type"], "LoadBalancer")
        self.install("dragoman", "dragoman")
        now = get("service", "dragoman-directory", "-n", "dragoman-system")["spec"]
        self.assertEqual((now["type"], now["clusterIP"]), ("ClusterIP", was["clusterIP"]))
        self.assertFalse({"loadBalancerClass", "loadBalancerSourceRanges"} & set(now), now)
        self.assertFalse([port for port in now["ports"] if "nodePort" in port], now)

    def test_the_door_for_other_directories_comes_and_goes(self):
        self.addCleanup(self.uninstall, "dragoman", "dragoman")
        self.install("dragoman", "dragoman")
        address = get("service", "dragoman-directory", "-n", "dragoman-system")["spec"]["clusterIP"]
        [case] = [name for name, values in charts.shown("dragoman").items() if "peers" in values.get("directory", {})]
        self.install("dragoman", "dragoman", case)
        peers = get("service", "dragoman-directory-peers", "-n", "dragoman-system")["spec"]
        self.assertEqual(([port["port"] for port in peers["ports"]], peers["type"]), ([2646], "LoadBalancer"))
        self.install("dragoman", "dragoman")
        kube("wait", "-n", "dragoman-system", "service/dragoman-directory-peers", "--for=delete", "--timeout=30s")
        self.assertEqual(get("service", "dragoman-directory", "-n", "dragoman-system")["spec"]["clusterIP"], address)

    def test_restricted_namespaces_let_the_pods_in(self):
        self.addCleanup(self.uninstall, "dragoman", "dragoman")
        self.addCleanup(self.uninstall, "currency", "agent")
        self.install("dragoman", "dragoman", "separate")
        self.install("currency", "agent")
        for namespace, wanted in [("dragoman-system", 3 + 1 + 4), ("travel", 1)]:
            kube("wait", "-n", namespace, "deployment", "--all", f"--for=jsonpath={{.metadata.generation}}=1", "--timeout=30s")
            for deployment in get("deployment", "-n", namespace)["items"]:
                name, replicas = deployment["metadata"]["name"], deployment["spec"]["replicas"]
                # The controllers of the control plane have made them: there is nobody to run them.
                kube("wait", "-n", namespace, f"deployment/{name}", f"--for=jsonpath={{.status.unavailableReplicas}}={replicas}", "--timeout=30s")
            self.assertEqual(len(get("pod", "-n", namespace)["items"]), wanted, get("event", "-n", namespace))

    def test_restricted_namespaces_let_the_example_in(self):
        example = ["-n", "travel", "-f", ROOT / "examples/two-agents.yaml"]
        self.addCleanup(kube, "delete", *example, "--cascade=foreground")
        kube("apply", "--validate=strict", *example)
        for name in ["currency", "planner"]:
            kube("wait", "-n", "travel", f"deployment/{name}", "--for=jsonpath={.status.unavailableReplicas}=1", "--timeout=30s")
            self.assertEqual(len(get("pod", "-n", "travel", "-l", f"app={name}")["items"]), 1, get("event", "-n", "travel"))

    def test_an_upgrade_leaves_the_injectors_ca_alone(self):
        self.addCleanup(self.uninstall, "dragoman", "dragoman")
        self.install("dragoman", "dragoman")
        ca = base64.b64encode(b"-----BEGIN CERTIFICATE-----\n").decode()
        names = [webhook["name"] for webhook in get("mutatingwebhookconfiguration", "dragoman-injector")["webhooks"]]
        apply = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "dragoman-injector"},
            "webhooks": [{"name": name, "clientConfig": {"caBundle": ca}} for name in names],
        }
        account = "system:serviceaccount:dragoman-system:dragoman-controller"
        self.settle(account)
        kube("apply", "--server-side", "--force-conflicts", "--field-manager=dragoman-injector", "--as", account, "-f", "-", text=json.dumps(apply))
        self.install("dragoman", "dragoman", "least HA")
        webhooks = get("mutatingwebhookconfiguration", "dragoman-injector")["webhooks"]
        self.assertEqual([webhook["clientConfig"].get("caBundle") for webhook in webhooks], [ca, ca])
        self.assertEqual([webhook["failurePolicy"] for webhook in webhooks], ["Fail", "Fail"])

    def settle(self, account):
        """Waits until the API server has heard of the account's rights."""
        for _ in range(50):
            if kube("auth", "can-i", "get", "mutatingwebhookconfigurations/dragoman-injector", "--as", account, fails=True).strip() == "yes":
                return
        self.fail("no rights")

    def test_every_role_may_do_what_it_does_and_no_more(self):
        self.addCleanup(self.uninstall, "dragoman", "dragoman")
        self.install("dragoman", "dragoman", "separate")
        self.settle("system:serviceaccount:dragoman-system:dragoman-injector")
        everywhere, own = "--all-namespaces", "--namespace=dragoman-system"
        table = [
            ("create", "tokenreviews.authentication.k8s.io", everywhere, {"identity"}),
            ("watch", "endpointslices.discovery.k8s.io", everywhere, {"directory"}),
            ("list", "endpointslices.discovery.k8s.io", everywhere, {"identity", "directory"}),
            ("update", "secrets/dragoman-issuer", own, {"identity"}),
            ("get", "secrets/dragoman-issuer", own, {"identity"}),
            ("update", "configmaps/dragoman-trust-bundle", own, {"identity"}),
            ("watch", "configmaps/dragoman-trust-bundle", own, {"identity", "injector"}),
            ("update", "secrets/dragoman-injector-tls", own, {"injector"}),
            ("create", "secrets", own, {"identity", "injector"}),
            ("patch", "mutatingwebhookconfigurations.admissionregistration.k8s.io/dragoman-injector", everywhere, {"injector"}),
            ("patch", "mutatingwebhookconfigurations.admissionregistration.k8s.io/other", everywhere, set()),
            ("create", "events.events.k8s.io", everywhere, {"injector"}),
            ("list", "services", everywhere, {"injector", "directory"}),
            ("delete", "services", everywhere, {"injector"}),
            ("list", "pods", everywhere, {"injector"}),
            ("create", "pods", everywhere, set()),
            ("get", "secrets", everywhere, set()),
            ("list", "secrets", own, set()),
            ("create", "secrets", everywhere, set()),
        ]
        for verb, resource, place, allowed in table:
            for role in ["directory", "identity", "injector"]:
                account = f"system:serviceaccount:dragoman-system:dragoman-{role}"
                said = kube("auth", "can-i", verb, resource, place, "--as", account, fails=True).strip().splitlines()
                self.assertEqual(said[-1] == "yes", role in allowed, f"{role}: {verb} {resource} {place}")

    def test_an_agent_goes_from_one_identity_to_another(self):
        self.addCleanup(self.uninstall, "currency", "agent")
        for case in ["least", "secret", "csi", "roots", "trust-bundle", "scaled", "service", "elsewhere", "least"]:
            with self.subTest(case):
                self.install("currency", "agent", case)


if __name__ == "__main__":
    unittest.main()
