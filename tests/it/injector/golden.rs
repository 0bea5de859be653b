//! Pods and what becomes of them: `tests/golden/inject/<case>/pod.json` with `decision.json`, and where a sidecar is put in,
//! `patch.json` and `patched.json`. `cargo test --test it -- --ignored bless_the_injections` writes them anew.

use std::fs;
use std::path::{Path, PathBuf};

use dragoman::app::READER;
use dragoman::config::Config;
use dragoman::kube::inject::{Decision, InjectConfig, Skip, Templates, patch};
use json_patch::PatchOperation;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::restricted;

/// Where the pods are to be.
const NAMESPACE: &str = "travel";
/// Some root, as good as any: nobody dials here.
const ROOTS: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

struct Case {
    dir: PathBuf,
    pod: Value,
    decision: Decision,
}

impl Case {
    fn name(&self) -> &str {
        self.dir.file_name().unwrap().to_str().unwrap()
    }

    /// The pod with the patch.
    fn patched(&self) -> Option<Value> {
        let Decision::Patch(injection) = &self.decision else { return None };
        let mut pod = self.pod.clone();
        json_patch::patch(&mut pod, &injection.patch).unwrap();
        Some(pod)
    }

    /// What the files of the case are to say.
    fn files(&self) -> Vec<(&'static str, Value)> {
        let (agents, warnings, message) = match &self.decision {
            Decision::Patch(injection) => (injection.agents.clone(), injection.warnings.clone(), None),
            Decision::Refuse(refusal) => (vec![], vec![], Some(refusal.to_string())),
            Decision::Skip(skip) => (vec![], skip.warning().map(str::to_owned).into_iter().collect(), None),
        };
        let decision = json!({
            "decision": self.decision.word(),
            "reason": self.decision.reason(),
            "agents": agents,
            "warnings": warnings,
            "message": message,
        });
        let mut files = vec![("decision.json", decision)];
        if let (Decision::Patch(injection), Some(patched)) = (&self.decision, self.patched()) {
            files.push(("patch.json", serde_json::to_value(&injection.patch).unwrap()));
            files.push(("patched.json", patched));
        }
        files
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What the injector is told in this case.
fn config(root: &Path, dir: &Path) -> InjectConfig {
    let file = |name: &str| {
        let own = dir.join(name);
        text(&if own.exists() { own } else { root.join(name) })
    };
    let (container, sidecar) = (file("container.yaml"), file("sidecar.yaml"));
    let templates = Templates {
        container: ("container.yaml", &container),
        sidecar: ("sidecar.yaml", &sidecar),
        audience: "dragoman-identity",
        reader: READER,
    };
    let config = InjectConfig::parse(&templates).unwrap();
    if config.wants_roots() { config.with_roots(ROOTS) } else { config }
}

fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/inject");
    let dirs = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let case = |dir: PathBuf| {
        let pod: Value = serde_json::from_str(&text(&dir.join("pod.json"))).unwrap();
        let typed: Pod = serde_json::from_value(pod.clone()).unwrap();
        let decision = patch(&typed, NAMESPACE, &config(&root, &dir));
        Case { dir, pod, decision }
    };
    let mut cases: Vec<_> = dirs.map(case).collect();
    cases.sort_by(|one, other| one.dir.cmp(&other.dir));
    assert!(cases.len() > 30, "the goldens are there");
    cases
}

#[test]
fn every_pod_becomes_what_its_golden_says() {
    for case in cases() {
        for (name, told) in case.files() {
            let kept: Value = serde_json::from_str(&text(&case.dir.join(name))).unwrap();
            assert_eq!(format!("{told:#}"), format!("{kept:#}"), "{}/{name}", case.name());
        }
        let injected = matches!(case.decision, Decision::Patch(_));
        assert_eq!(case.dir.join("patch.json").exists(), injected, "{}", case.name());
        let refused = matches!(case.decision, Decision::Refuse(_));
        assert_eq!(refused, case.name().starts_with("refused-"), "{}", case.name());
    }
}

#[test]
#[ignore = "writes the goldens anew"]
fn bless_the_injections() {
    for case in cases() {
        for (name, told) in case.files() {
            fs::write(case.dir.join(name), format!("{told:#}\n")).unwrap();
        }
    }
}

#[test]
fn an_injected_pod_has_all_that_it_had() {
    for case in cases() {
        let (Decision::Patch(injection), Some(mut patched)) = (&case.decision, case.patched()) else {
            continue;
        };
        let adds = injection.patch.iter().all(|operation| matches!(operation, PatchOperation::Add(_)));
        assert!(adds, "{}: only additions", case.name());
        // Take away what is ours, and what was there before is left.
        let spec = patched["spec"].as_object_mut().unwrap();
        assert_eq!(spec["initContainers"].as_array_mut().unwrap().remove(0)["name"], "dragoman");
        let had = case.pod["spec"]["volumes"].as_array().map_or(0, Vec::len);
        spec["volumes"].as_array_mut().unwrap().truncate(had);
        for kind in ["initContainers", "volumes"] {
            if case.pod["spec"][kind].is_null() {
                spec.remove(kind);
            }
        }
        for kind in ["labels", "annotations"] {
            let kept = case.pod["metadata"][kind].clone();
            let metadata = patched["metadata"].as_object_mut().unwrap();
            match kept.as_object() {
                Some(kept) => metadata[kind].as_object_mut().unwrap().retain(|key, _| kept.contains_key(key)),
                None => drop(metadata.remove(kind)),
            }
        }
        assert_eq!(patched, case.pod, "{}", case.name());
    }
}

#[test]
fn an_injected_pod_is_a_pod_and_is_left_alone_from_then_on() {
    for case in cases() {
        let Some(patched) = case.patched() else { continue };
        let pod: Pod = serde_json::from_value(patched).unwrap();
        let config = config(case.dir.parent().unwrap(), &case.dir);
        assert_eq!(patch(&pod, NAMESPACE, &config), Decision::Skip(Skip::AlreadyInjected), "{}", case.name());
    }
}

#[test]
fn the_sidecar_can_read_its_configuration() {
    let env = |name: &str| (name == "POD_IP").then(|| "10.1.2.3".to_owned());
    for case in cases() {
        let (Decision::Patch(injection), Some(patched)) = (&case.decision, case.patched()) else { continue };
        let text = patched["metadata"]["annotations"]["dragoman.dev/config"].as_str().unwrap();
        let config = Config::parse("config.yaml", text.as_bytes(), env).unwrap();
        let agents: Vec<_> = config.agents.iter().map(|agent| agent.name.agent().to_owned()).collect();
        assert_eq!(agents, injection.agents, "{}", case.name());
        assert_eq!(config.mesh.namespace, NAMESPACE);
        let labels = &patched["metadata"]["labels"];
        for agent in &agents {
            assert_eq!(labels[format!("agent.dragoman.dev/{agent}")], "true");
        }
    }
}

#[test]
fn pod_security_restricted_has_nothing_against_the_sidecar() {
    let mut passed = 0;
    for case in cases() {
        let Some(patched) = case.patched() else { continue };
        let before = restricted::broken(&case.pod);
        assert_eq!(restricted::broken(&patched), before, "{}", case.name());
        passed += usize::from(before.is_empty());
    }
    assert!(passed > 0, "one pod passes, before and after");
}
