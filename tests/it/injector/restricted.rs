//! The rules of Pod Security, profile "restricted", as kubernetes.io publishes them, with those of "baseline" that it includes.

use serde_json::Value;

/// Volumes that may be.
const VOLUMES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// Every rule that a pod breaks.
pub(super) fn broken(pod: &Value) -> Vec<String> {
    let spec = &pod["spec"];
    let mut broken = Vec::new();
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        if spec[key] == true {
            broken.push(key.to_owned());
        }
    }
    for volume in list(&spec["volumes"]) {
        let kinds = volume.as_object().unwrap().keys().filter(|key| *key != "name");
        broken.extend(
            kinds.filter(|kind| !VOLUMES.contains(&kind.as_str())).map(|kind| format!("volume of {kind}")),
        );
    }
    let whole = &spec["securityContext"];
    broken.extend(context("the pod", whole));
    for kind in ["containers", "initContainers", "ephemeralContainers"] {
        for container in list(&spec[kind]) {
            broken.extend(of_container(container, whole));
        }
    }
    broken
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn of_container(container: &Value, whole: &Value) -> Vec<String> {
    let name = container["name"].as_str().unwrap();
    let own = &container["securityContext"];
    let mut broken = context(name, own);
    let mut rule = |holds: bool, what: &str| {
        if !holds {
            broken.push(format!("{name}: {what}"));
        }
    };
    let either = |key: &str| if own[key].is_null() { &whole[key] } else { &own[key] };
    rule(own["privileged"] != true, "privileged");
    rule(own["allowPrivilegeEscalation"] == false, "allowPrivilegeEscalation");
    rule(either("runAsNonRoot") == true, "runAsNonRoot");
    rule(!either("seccompProfile").is_null(), "seccompProfile");
    rule(list(&own["capabilities"]["drop"]).any(|name| name == "ALL"), "capabilities.drop");
    rule(list(&own["capabilities"]["add"]).all(|name| name == "NET_BIND_SERVICE"), "capabilities.add");
    rule(own["procMount"].is_null() || own["procMount"] == "Default", "procMount");
    let ports = list(&container["ports"]);
    rule(ports.into_iter().all(|port| port["hostPort"].is_null() || port["hostPort"] == 0), "hostPort");
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        for kind in ["httpGet", "tcpSocket"] {
            rule(container[probe][kind]["host"].is_null(), "the host of a probe");
        }
    }
    broken
}

/// What holds for a pod's own security context as for that of a container.
fn context(whose: &str, context: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    let mut rule = |holds: bool, what: &str| {
        if !holds {
            broken.push(format!("{whose}: {what}"));
        }
    };
    rule(context["runAsUser"] != 0, "runAsUser");
    let seccomp = &context["seccompProfile"]["type"];
    rule(seccomp.is_null() || seccomp == "RuntimeDefault" || seccomp == "Localhost", "seccompProfile");
    rule(context["windowsOptions"]["hostProcess"] != true, "hostProcess");
    rule(context["appArmorProfile"]["type"] != "Unconfined", "appArmorProfile");
    rule(
        context["seLinuxOptions"]["user"].is_null() && context["seLinuxOptions"]["role"].is_null(),
        "seLinuxOptions",
    );
    rule(list(&context["sysctls"]).next().is_none(), "sysctls");
    broken
}

#[test]
fn the_rules_tell_good_from_bad() {
    let pod = serde_json::json!({"spec": {
        "hostPID": true,
        "volumes": [{"name": "a", "hostPath": {}}, {"name": "b", "emptyDir": {}}],
        "securityContext": {"runAsUser": 0},
        "containers": [{"name": "c", "ports": [{"hostPort": 80}], "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}],
    }});
    let all = "hostPID, volume of hostPath, the pod: runAsUser, c: allowPrivilegeEscalation, c: runAsNonRoot, \
               c: seccompProfile, c: capabilities.drop, c: capabilities.add, c: hostPort";
    assert_eq!(broken(&pod).join(", "), all);
}
