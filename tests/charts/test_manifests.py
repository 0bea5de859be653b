"""What the charts render: valid in every version of Kubernetes, consistent in itself, and fit for "restricted"."""

import base64
import functools
import json
import re
import subprocess
import unittest

import jsonschema
import kubernetes_validate.utils
import yaml
from referencing import Registry, Resource

import charts
from charts import CHARTS, HERE, NAMESPACES, PROGRAMS, ROOT

VERSIONS = ["1.33", "1.34", "1.35", "1.36", "1.37"]
# Of other projects: no part of the OpenAPI, looked at below.
FOREIGN = {"Certificate", "Issuer", "PodMonitor", "PrometheusRule"}
# What is there before the chart, or what the controller makes.
ELSEWHERE = {"dragoman-trust-bundle", "dragoman-injector-tls", "webhook-tls", "north-roots", "west-roots", "kubeconfig", "keys"}
ELSEWHERE |= {"currency-tls", "east-bundle", "shared"}


@functools.cache
def definitions(version: str) -> Resource:
    directory = f"kubernetes-json-schema/v{version}.0-local-strict"
    return Resource.from_contents(kubernetes_validate.utils.schema_contents(f"{directory}/_definitions.json", version))


@functools.cache
def validator(version: str, kind: str, group: str):
    name = f"kubernetes-json-schema/v{version}.0-local-strict/{kind.lower()}-{group}.json"
    schema = kubernetes_validate.utils.schema_contents(name, version)
    registry = definitions(version) @ (Resource.from_contents(schema) @ Registry())
    return jsonschema.Draft202012Validator(schema, registry=registry)


def everywhere(test):
    """The body holds for every way of rendering."""

    @functools.wraps(test)
    def run(self):
        for chart, case in charts.every():
            with self.subTest(f"{chart}: {case}"):
                test(self, chart, case, charts.case_objects(chart, case))

    return run


class Rendered(unittest.TestCase):

    @everywhere
    def test_lint_has_no_complaint(self, chart, case, _objects):
        files = [word for values in charts.cases(chart)[case] for word in ("--values", charts.written(values))]
        said = charts.helm("lint", "--strict", CHARTS / chart, *files)
        self.assertNotRegex(said, r"\[(WARNING|ERROR)\]")

    @everywhere
    def test_the_api_of_every_version_takes_it(self, _chart, _case, objects):
        # A field of its own time.
        versions = VERSIONS[-1:] if "podCertificate" in str(objects) else VERSIONS
        for each in objects:
            if each["kind"] in FOREIGN:
                continue
            group = re.sub(r"^([^./]*)(\.[^/]*)?/", r"\1-", each["apiVersion"])
            for version in versions:
                errors = validator(version, each["kind"], group).iter_errors(each)
                said = [f"{version} {each['kind']} {each['metadata']['name']}: {error.json_path}: {error.message}" for error in errors]
                self.assertEqual(said, [])

    @everywhere
    def test_nothing_is_rendered_twice(self, _chart, _case, objects):
        names = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in objects]
        self.assertEqual(len(names), len(set(names)), names)

    @everywhere
    def test_it_renders_the_same_again(self, chart, case, _objects):
        again = charts.text(chart, *map(charts.written, charts.cases(chart)[case]))
        self.assertEqual(again, charts.case_text(chart, case))

    @everywhere
    def test_pod_security_restricted_holds(self, _chart, _case, objects):
        for what, _, spec in charts.pods(objects):
            self.assertEqual(unrestricted(spec), [], what)

    def test_for_production_needs_no_quota(self):
        for what, _, spec in charts.pods(charts.case_objects("dragoman", "least HA")):
            self.assertNotIn("priorityClassName", spec, what)

    @everywhere
    def test_no_pod_gets_what_it_does_not_need(self, chart, case, objects):
        for what, _, spec in charts.pods(objects):
            self.assertIs(spec["enableServiceLinks"], False, what)
            wanted = what.startswith("Deployment dragoman-") or (chart, case) == ("agent", "everything")
            self.assertIs(spec["automountServiceAccountToken"], wanted, what)

    @everywhere
    def test_what_is_mounted_and_named_is_there(self, chart, _case, objects):
        for what, _, spec in charts.pods(objects):
            volumes = {volume["name"] for volume in spec["volumes"]}
            for container in charts.containers(spec):
                mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
                self.assertLessEqual(mounted, volumes, what)
            there = {each["metadata"]["name"] for each in objects if each["kind"] in {"ConfigMap", "Secret"}}
            self.assertLessEqual(referred(spec) - there, ELSEWHERE, what)
            if account := spec.get("serviceAccountName"):
                accounts = {each["metadata"]["name"] for each in charts.kind(objects, "ServiceAccount")}
                self.assertIn(account, accounts | ELSEWHERE, what)

    @everywhere
    def test_services_lead_to_ports_of_pods(self, _chart, _case, objects):
        for service in charts.kind(objects, "Service"):
            found = chosen(objects, service["spec"]["selector"])
            self.assertTrue(found, service["metadata"]["name"])
            for spec in found:
                ports = {(port["name"], port.get("protocol", "TCP")) for each in charts.containers(spec) for port in each.get("ports", [])}
                for port in service["spec"]["ports"]:
                    self.assertIn((port["targetPort"], port.get("protocol", "TCP")), ports)

    @everywhere
    def test_budgets_policies_and_scalers_mean_our_pods(self, _chart, _case, objects):
        deployments = {each["metadata"]["name"]: each for each in charts.kind(objects, "Deployment")}
        for budget in charts.kind(objects, "PodDisruptionBudget"):
            self.assertEqual(len(chosen(objects, budget["spec"]["selector"]["matchLabels"])), 1)
            replicas = deployments[budget["metadata"]["name"]]["spec"].get("replicas")
            scalers = charts.kind(objects, "HorizontalPodAutoscaler")
            self.assertGreater(replicas or scalers[0]["spec"]["minReplicas"], 1)
        for policy in charts.kind(objects, "NetworkPolicy"):
            [spec] = chosen(objects, policy["spec"]["podSelector"]["matchLabels"])
            ports = {port["containerPort"] for each in charts.containers(spec) for port in each.get("ports", [])}
            names = {port["name"] for each in charts.containers(spec) for port in each.get("ports", [])}
            for rule in policy["spec"]["ingress"]:
                self.assertLessEqual({port["port"] for port in rule["ports"]}, ports | names | {9101})
        for scaler in charts.kind(objects, "HorizontalPodAutoscaler"):
            target = deployments[scaler["spec"]["scaleTargetRef"]["name"]]
            self.assertNotIn("replicas", target["spec"], "two would fight over them")

    @everywhere
    def test_the_programs_take_their_configurations(self, chart, _case, objects):
        for each in charts.kind(objects, "ConfigMap"):
            for name, text in (each.get("data") or {}).items():
                self.accepted(name, text)
        for what, metadata, _ in charts.pods(objects):
            if config := metadata.get("annotations", {}).get("dragoman.dev/config"):
                self.accepted("config.yaml", config)

    def accepted(self, name, text):
        command = {
            "controller.yaml": [PROGRAMS / "dragoman-controller", "--check", "--config"],
            "sidecar.yaml": [PROGRAMS / "dragoman", "config", "check"],
            "config.yaml": [PROGRAMS / "dragoman", "config", "check"],
        }.get(name)
        if name == "container.yaml":
            partial = yaml.safe_load(text)
            volumes = partial.pop("volumes", [])
            security = partial["securityContext"]
            self.assertLessEqual({"runAsUser", "runAsGroup"}, security.keys(), "else the injector chooses")
            partial["securityContext"] = {key: value for key, value in security.items() if value is not None}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}
            pod["spec"] = {"containers": [partial | {"name": "a"}], "volumes": volumes}
            self.assertEqual([error.message for error in validator("1.33", "Pod", "v1").iter_errors(pod)], [])
        if command:
            file = charts.scratch().name + "/" + name
            with open(file, "w") as out:
                out.write(text)
            done = subprocess.run([*command, file], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr + text)

    @everywhere
    def test_images_have_a_tag(self, _chart, _case, objects):
        for what, _, spec in charts.pods(objects):
            for container in charts.containers(spec):
                self.assertRegex(container["image"], r"^[a-z./-]+(:[\w.]+)?(@sha256:[0-9a-f]{64})?$", what)
                self.assertRegex(container["image"], r"[:@]", what)


class Foreign(unittest.TestCase):
    """Objects of other projects, for which there is no OpenAPI here."""

    def test_monitors_read_a_port_that_pods_have(self):
        for chart in NAMESPACES:
            objects = charts.case_objects(chart, "everything")
            monitors = charts.kind(objects, "PodMonitor")
            self.assertEqual(len(monitors), {"dragoman": 2, "agent": 1}[chart])
            for monitor in monitors:
                self.assertEqual(set(monitor["spec"]) - {"namespaceSelector"}, {"selector", "podMetricsEndpoints"})
                labels = monitor["spec"]["selector"]["matchLabels"]
                if labels != {"dragoman.dev/injected": "true"}:
                    for spec in chosen(charts.kind(objects, "Deployment"), labels):
                        ports = [port["name"] for each in charts.containers(spec) for port in each.get("ports", [])]
                        self.assertIn("dragoman-admin", ports)

    def test_alerts_ask_for_metrics_that_there_are(self):
        [rule] = charts.kind(charts.case_objects("dragoman", "everything"), "PrometheusRule")
        source = "\n".join(file.read_text() for file in (ROOT / "src").rglob("*.rs"))
        for alert in rule["spec"]["groups"][0]["rules"]:
            self.assertLessEqual(set(alert), {"alert", "expr", "for", "labels", "annotations"})
            [metric] = re.findall(r"dragoman_\w+", alert["expr"])
            self.assertTrue(f'"{metric.removesuffix("_total")}"' in source, f"{alert['alert']}: {metric}")

    def test_an_identity_is_overdue_after_its_renewal_and_long_before_its_end(self):
        for lifetime, hours, wanted in [
            (None, None, (14400, "600s")), ("1h", None, (600, "150s")), ("90m", None, (900, "225s")), ("7200s", None, (1200, "300s")),
            ("1h", 0.25, (900, "225s")), ("${LIFETIME}", 1, (3600, "600s")),
        ]:
            with self.subTest(f"{lifetime}, {hours}"):
                values = {"prometheusRule": {"enabled": True, "certificateHours": hours}}
                values |= {"controller": {"config": {"issuer": {"lifetime": lifetime}}}} if lifetime else {}
                [rule] = charts.kind(charts.objects(charts.text("dragoman", charts.written(values))), "PrometheusRule")
                alert = rule["spec"]["groups"][0]["rules"][0]
                self.assertEqual((int(alert["expr"].rpartition("< ")[2]), alert["for"]), wanted)

    def test_the_webhooks_certificate_is_the_one_that_is_mounted(self):
        for case in ["cert-manager", "cert-manager-issuer"]:
            objects = charts.case_objects("dragoman", case)
            certificates = {each["metadata"]["name"]: each["spec"] for each in charts.kind(objects, "Certificate")}
            issuers = {each["metadata"]["name"]: each["spec"] for each in charts.kind(objects, "Issuer")}
            leaf = certificates["dragoman-injector"]
            self.assertEqual(leaf["dnsNames"], ["dragoman-injector.dragoman-system.svc"])
            if case == "cert-manager":
                ca = issuers[leaf["issuerRef"]["name"]]["ca"]["secretName"]
                self.assertEqual(certificates["dragoman-injector-ca"]["secretName"], ca)
                self.assertIn(certificates["dragoman-injector-ca"]["issuerRef"]["name"], issuers)
            else:
                self.assertEqual((leaf["issuerRef"], issuers), ({"kind": "ClusterIssuer", "name": "internal-ca"}, {}))
            [webhook] = charts.kind(objects, "MutatingWebhookConfiguration")
            source = webhook["metadata"]["annotations"]["cert-manager.io/inject-ca-from"]
            self.assertEqual(source, "dragoman-system/dragoman-injector")
            mounted = {volume["secret"]["secretName"] for _, _, spec in charts.pods(objects) for volume in spec["volumes"] if "secret" in volume}
            self.assertEqual(mounted, {leaf["secretName"]})


class Webhook(unittest.TestCase):
    def webhooks(self, case):
        [configuration] = charts.kind(charts.case_objects("dragoman", case), "MutatingWebhookConfiguration")
        return configuration["webhooks"]

    def test_only_an_existing_secret_brings_its_ca(self):
        for case, there in [("least", False), ("cert-manager", False), ("existing-secret", True)]:
            for webhook in self.webhooks(case):
                self.assertEqual("caBundle" in webhook["clientConfig"], there, case)
                if there:
                    self.assertIn(b"BEGIN CERTIFICATE", base64.b64decode(webhook["clientConfig"]["caBundle"]))

    def test_a_pod_is_asked_about_once_if_it_or_its_namespace_says_so(self):
        for namespace, pod, asked in [
            (None, None, 0), ("true", None, 1), ("true", "true", 1), ("true", "false", 0),
            (None, "true", 1), ("false", "true", 1), ("false", None, 0), ("true", "yes", 1), ("yes", "yes", 0),
        ]:
            for name in ["travel", "kube-system", "dragoman-system"]:
                labels = {"kubernetes.io/metadata.name": name} | ({"dragoman.dev/inject": namespace} if namespace else {})
                own = {"dragoman.dev/inject": pod} if pod else {}
                count = sum(
                    matches(webhook["namespaceSelector"], labels) and matches(webhook["objectSelector"], own)
                    for webhook in self.webhooks("least")
                )
                self.assertEqual(count, asked if name == "travel" else 0, (namespace, pod, name))

    def test_nobody_is_kept_from_making_pods_unless_for_production(self):
        policies = [{webhook["failurePolicy"] for webhook in self.webhooks(case)} for case in ["least", "least HA"]]
        self.assertEqual(policies, [{"Ignore"}, {"Fail"}])


class Rights(unittest.TestCase):
    def rules(self, case, kind):
        roles = charts.kind(charts.case_objects("dragoman", case), kind)
        return {role["metadata"]["name"]: [json.dumps(rule, sort_keys=True) for rule in role["rules"]] for role in roles}

    def test_each_separate_role_has_a_part_of_the_whole(self):
        for kind in ["ClusterRole", "Role"]:
            whole = set(sum(self.rules("least", kind).values(), []))
            parts = self.rules("separate", kind)
            self.assertEqual(set(sum(parts.values(), [])), whole)
            for name, rules in parts.items():
                self.assertLess(set(rules), whole, name)

    def test_only_the_identity_service_reads_tokens_and_its_key(self):
        for kind, word in [("ClusterRole", "tokenreviews"), ("Role", "dragoman-issuer")]:
            having = [name for name, rules in self.rules("separate", kind).items() if any(word in rule for rule in rules)]
            self.assertEqual(having, ["dragoman-identity"], word)

    def test_nothing_is_written_to_all_secrets_or_by_a_wildcard(self):
        for chart, case in charts.every():
            for role in charts.case_objects(chart, case):
                for rule in role.get("rules", []) if role["kind"] in {"ClusterRole", "Role"} else []:
                    said = json.dumps(rule)
                    self.assertNotIn("*", said)
                    if "secrets" in rule["resources"]:
                        self.assertTrue(role["kind"] == "Role" and (rule.get("resourceNames") or rule["verbs"] == ["create"]), said)

    def test_a_binding_binds_accounts_that_there_are(self):
        for chart, case in charts.every():
            objects = charts.case_objects(chart, case)
            accounts = {each["metadata"]["name"] for each in charts.kind(objects, "ServiceAccount")}
            for binding in charts.kind(objects, "ClusterRoleBinding") + charts.kind(objects, "RoleBinding"):
                self.assertLessEqual({subject["name"] for subject in binding["subjects"]}, accounts)


class Network(unittest.TestCase):
    def egress(self, case, name):
        [policy] = [each for each in charts.kind(charts.case_objects("dragoman", case), "NetworkPolicy") if each["metadata"]["name"] == name]
        return {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}

    def test_the_directory_reaches_agents_and_other_directories_and_nobody_else_does(self):
        self.assertEqual(self.egress("meshes", "dragoman-controller"), {53, 443, 6443, 2643, 8443, 2646})
        self.assertEqual(self.egress("separate", "dragoman-directory"), {53, 443, 6443, 2643, 2644})
        self.assertEqual(self.egress("separate", "dragoman-identity"), {53, 443, 6443})

    def test_who_asks_another_directory_is_told_whom_to_expect_there(self):
        for name in ["controller.yaml", "sidecar.yaml"]:
            config = charts.kind(charts.case_objects("dragoman", "meshes"), "ConfigMap")
            [text] = [each["data"][name] for each in config if name in (each.get("data") or {})]
            servers = {mesh["name"]: mesh.get("server") for mesh in yaml.safe_load(text)["meshes"]}
            self.assertEqual(servers, {"west": "spiffe://west.example/ns/mesh/sa/*", "north": None, "south": None}, name)

    def test_doors_that_are_moved_take_everything_along(self):
        objects = charts.case_objects("dragoman", "moved")
        [policy] = charts.kind(objects, "NetworkPolicy")
        open_ = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
        self.assertEqual(open_, {3644, 3645, 3646, 3647, 3653, 3690})
        [spec] = [spec for what, _, spec in charts.pods(objects) if what == "Deployment dragoman-controller"]
        self.assertEqual({port["containerPort"] for port in spec["containers"][0]["ports"]}, open_)
        [config] = charts.kind(objects, "ConfigMap")
        controller = yaml.safe_load(config["data"]["controller.yaml"])
        self.assertNotIn("identity", controller, "the role of the same process issues it")
        # Those who ask come by the Service, which stays.
        sidecar = yaml.safe_load(config["data"]["sidecar.yaml"])
        self.assertEqual(sidecar["identity"]["issuer"]["url"], "https://dragoman-identity.dragoman-system.svc.cluster.local:2644")


class Doors(unittest.TestCase):
    """What of the controller can be reached from outside of the cluster."""

    def services(self, case):
        return {each["metadata"]["name"]: each["spec"] for each in charts.kind(charts.case_objects("dragoman", case), "Service")}

    def test_what_asks_nobody_who_he_is_stays_inside(self):
        for case in charts.cases("dragoman"):
            for name, spec in self.services(case).items():
                self.assertNotIn("externalIPs", spec, name)
                if spec.get("type", "ClusterIP") != "ClusterIP":
                    self.assertEqual([(port["port"], port["targetPort"]) for port in spec["ports"]], [(2646, "directory")], f"{case}: {name}")

    def test_other_directories_get_a_door_where_it_is_asked_for(self):
        for case in ["least", "least HA", "separate"]:
            self.assertNotIn("dragoman-directory-peers", self.services(case), case)
        everything = self.services("everything")
        self.assertEqual(everything["east-directory"]["type"], "ClusterIP")
        peers = everything["east-directory-peers"]
        self.assertEqual(peers["type"], "LoadBalancer")
        self.assertEqual(peers["loadBalancerSourceRanges"], ["10.0.0.0/8"])
        self.assertEqual(peers["selector"], everything["east-directory"]["selector"])


class Upgrade(unittest.TestCase):
    """What an API server does not let anybody change, as the first version had it. A change here breaks upgrades."""

    def test_immutable_fields_are_those_of_the_versions_before(self):
        kept = yaml.safe_load((HERE / "immutable.yaml").read_text())
        for chart, cases in kept.items():
            for case, before in cases.items():
                now = immutable(charts.case_objects(chart, case))
                for name, fields in before.items():
                    if name in now:
                        self.assertEqual(now[name], fields, f"{chart}, {case}: {name}")
                    else:
                        self.fail(f"{chart}, {case}: {name} is not rendered any more")

    def test_selectors_hold_no_version(self):
        for chart, case in charts.every():
            for each in charts.case_objects(chart, case):
                said = json.dumps(immutable([each]))
                meta = yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())
                self.assertNotIn(str(meta["version"]), said)
                self.assertNotIn("helm.sh/chart", said)

    def test_values_change_no_selector(self):
        for case in charts.cases("dragoman"):
            least = immutable(charts.case_objects("dragoman", "least")) | immutable(charts.case_objects("dragoman", "separate"))
            for name, fields in immutable(charts.case_objects("dragoman", case)).items():
                if name in least:
                    self.assertEqual(fields, least[name], f"{case}: {name}")


def immutable(objects: list[dict]) -> dict[str, object]:
    """What of them cannot be changed once they are there."""
    out = {}
    for each in objects:
        name = f"{each['kind']} {each['metadata']['name']}"
        if each["kind"] == "Deployment":
            out[name] = each["spec"]["selector"]
        elif each["kind"] == "Service" and each["spec"].get("clusterIP") == "None":
            out[name] = "None"
        elif each["kind"] in {"ClusterRoleBinding", "RoleBinding"}:
            out[name] = each["roleRef"]
    return out


def matches(selector: dict, labels: dict) -> bool:
    for each in selector["matchExpressions"]:
        there = labels.get(each["key"]) in each["values"]
        if there != (each["operator"] == "In"):
            return False
    return True


def chosen(objects: list[dict], selector: dict) -> list[dict]:
    """The specs of the pods that a selector means."""
    return [spec for _, metadata, spec in charts.pods(objects) if selector.items() <= metadata["labels"].items()]


def referred(spec: dict) -> set[str]:
    """The ConfigMaps and Secrets that volumes name."""
    names = set()
    for volume in spec["volumes"]:
        for source in [volume, *volume.get("projected", {}).get("sources", [])]:
            names |= {source["configMap"]["name"]} if "configMap" in source else set()
            if "secret" in source:
                names.add(source["secret"].get("secretName") or source["secret"]["name"])
    return names


def unrestricted(spec: dict) -> list[str]:
    """What Pod Security "restricted" would say against a pod."""
    wrong = [key for key in ["hostNetwork", "hostPID", "hostIPC"] if spec.get(key)]
    allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
    wrong += [f"volume {volume['name']}" for volume in spec["volumes"] if not set(volume) - {"name"} <= allowed]
    pod = spec.get("securityContext", {})
    for container in charts.containers(spec):
        own = container.get("securityContext", {})
        both = pod | own
        rules = {
            "privileged": not own.get("privileged"),
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "capabilities": own.get("capabilities") == {"drop": ["ALL"]},
            "runAsNonRoot": both.get("runAsNonRoot") is True,
            "runAsUser": both.get("runAsUser") != 0,
            "seccompProfile": both.get("seccompProfile") == {"type": "RuntimeDefault"},
            "hostPort": not any("hostPort" in port for port in container.get("ports", [])),
        }
        wrong += [f"{container['name']}: {rule}" for rule, holds in rules.items() if not holds]
    return wrong


if __name__ == "__main__":
    unittest.main()
