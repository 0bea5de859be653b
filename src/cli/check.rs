//! `dragoman check`: asks a running sidecar how it is; if none answers, looks at what it would be.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use http::{Request, StatusCode, Uri};
use tonic::body::Body;

use super::client::{parse, refused, send_request, whole};
use super::{Check, Failure, environment, print, runtime};
use crate::a2a::Name;
use crate::app::{Finding, Patient, Verdict};
use crate::config::Config;
use crate::identity::Clock;

/// Where the configuration is in a pod that the injector, or the chart of an agent, has made.
const CONFIG: &str = "/var/run/dragoman/config.yaml";

/// Prints what is found. It is a failure if something does not work.
pub(super) fn run(args: &Check) -> Result<(), Failure> {
    let mut findings = match runtime()?.block_on(ask(args)) {
        Ok(findings) => findings,
        Err(Silent::Answer(failure)) => return Err(failure),
        Err(Silent::Nobody(why)) => look(args, &why)?,
    };
    // The worst last: it is what stands above the prompt.
    findings.sort_by_key(|finding| finding.verdict);
    if args.running.json {
        print(&serde_json::to_string(&findings).map_err(Failure::operation)?)?;
    } else {
        let colour = io::stdout().is_terminal();
        print(&findings.iter().map(|finding| line(finding, colour)).collect::<Vec<_>>().join("\n"))?;
    }
    match findings.iter().filter(|finding| finding.verdict == Verdict::Failed).count() {
        0 => Ok(()),
        1 => Err(Failure::operation("1 check failed")),
        failed => Err(Failure::operation(format!("{failed} checks failed"))),
    }
}

/// Why no sidecar has said how it is.
enum Silent {
    /// Something answers, but not that.
    Answer(Failure),
    /// Nothing listens there.
    Nobody(String),
}

async fn ask(args: &Check) -> Result<Vec<Finding>, Silent> {
    let base = args.running.sidecar.to_string();
    let names = args.names.iter().map(|name| format!("agent={name}"));
    let url = format!("{}/check?{}", base.trim_end_matches('/'), names.collect::<Vec<_>>().join("&"));
    let url: Uri = url.parse().map_err(|error| Silent::Answer(Failure::usage(format!("{url}: {error}"))))?;
    let answered = send_request(Request::get(url).body(Body::empty())).await;
    let response = answered.map_err(|failure| Silent::Nobody(failure.message))?;
    let status = response.status();
    let body = whole(response).await.map_err(Silent::Answer)?;
    if status != StatusCode::OK {
        return Err(Silent::Answer(refused(status, &body)));
    }
    let findings = parse(&body).map_err(Silent::Answer)?;
    serde_json::from_value(findings).map_err(|error| {
        Silent::Answer(Failure::operation(format!("the sidecar is of another version: {error}")))
    })
}

/// Looks at what a sidecar with the configuration would be.
fn look(args: &Check, why: &str) -> Result<Vec<Finding>, Failure> {
    let path = args.config.clone().or_else(|| Some(PathBuf::from(CONFIG)).filter(|path| path.exists()));
    let Some(path) = path else {
        return Err(Failure::operation(format!(
            "{why}\nto look at a sidecar that does not run: --config FILE"
        )));
    };
    let mut findings = vec![Finding::failed(
        "sidecar",
        why,
        "see its log (kubectl logs POD -c dragoman); what follows is what it would find now",
    )];
    match Config::load(&path, environment) {
        Ok(config) => findings.extend(examine(&config, &path, &args.names)?),
        Err(error) => {
            let next = format!("mend {} as it says", path.display());
            findings.push(Finding::failed("config", error.to_string(), next));
        }
    }
    Ok(findings)
}

fn examine(config: &Config, path: &Path, names: &[String]) -> Result<Vec<Finding>, Failure> {
    let home = config.mesh.home();
    let names = names
        .iter()
        .map(|name| Name::parse(name, &home).map_err(|error| Failure::usage(format!("{name}: {error}"))));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let findings = runtime()?.block_on(async {
        let patient = Patient::new(config, Clock::system(), rand::random());
        Ok::<_, Failure>(patient.map_err(Failure::usage)?.examine(&names).await)
    })?;
    Ok(std::iter::once(Finding::ok("config", format!("{} is right", path.display())))
        .chain(findings)
        .collect())
}

fn line(finding: &Finding, colour: bool) -> String {
    let (mark, code) = match finding.verdict {
        Verdict::Ok => ("ok     ", "32"),
        Verdict::Warning => ("warning", "33"),
        Verdict::Failed => ("FAILED ", "31"),
    };
    let mark = if colour { format!("\u{1b}[{code}m{mark}\u{1b}[0m") } else { mark.to_owned() };
    let next = finding.next.as_ref().map(|next| format!("\n         next: {next}")).unwrap_or_default();
    format!("{mark}  {:<8} {}{next}", finding.subject, finding.what)
}
