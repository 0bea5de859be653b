//! What was measured, as tables: the figures of each case, memory, and the ratios last.

use super::plan::{Case, Figures, Measured};
use super::process::Memory;
use super::stage::{Lane, Stage};

/// A figure that is compared between lanes.
type Figure = (&'static str, fn(&Figures) -> f64);

const COMPARED: [Figure; 4] = [
    ("calls/s", |figures| figures.rate),
    ("p50", |figures| figures.p50),
    ("p99", |figures| figures.p99),
    ("CPU", |figures| figures.cpu),
];

/// The figures of one case, in the order of the lanes.
pub(crate) fn case(case: &Case, measured: &Measured, stage: &Stage) {
    println!(
        "\n{:24} {:>10} {:>10} {:>10} {:>13} {:>9} {:>7}",
        case.to_string(),
        "calls/s",
        "p50 µs",
        "p99 µs",
        "CPU µs/call",
        "load CPU",
        "failed"
    );
    for (lane, rounds) in stage.lanes.iter().zip(&measured.lanes) {
        let of = |figure: fn(&Figures) -> f64| median(rounds.iter().map(figure));
        let failed: usize = rounds.iter().map(|figures| figures.failed).sum();
        println!(
            "  {:22} {:>10.0} {:>10.0} {:>10.0} {:>13.1} {:>8.0}% {failed:>7}",
            label(&lane.name),
            of(|figures| figures.rate),
            of(|figures| figures.p50),
            of(|figures| figures.p99),
            of(|figures| figures.cpu),
            of(|figures| figures.load * 100.0),
        );
    }
}

/// The memory of everything between load and agent, at rest and after the load: a line for each process.
pub(crate) fn memory(at_rest: &[Memory], after: &[Memory], stage: &Stage) {
    println!("\n{:32} {:>10} {:>12} {:>10}", "resident memory, MiB", "at rest", "after load", "peak");
    let processes =
        stage.lanes.iter().flat_map(|lane| lane.between.iter().map(move |process| (lane, process)));
    for ((lane, process), (rest, after)) in processes.zip(at_rest.iter().zip(after)) {
        let name = format!("{} {}", label(&lane.name), process.name);
        println!("  {name:30} {:>10.1} {:>12.1} {:>10.1}", rest.now, after.now, after.peak);
    }
}

/// How each crossing compares with what is none, and with the first crossing: the median of the ratios of the single
/// rounds, in which the lanes ran right after each other.
pub(crate) fn ratios(cases: &[(Case, Measured)], stage: &Stage) {
    let is_crossing = |lane: &Lane| lane.name.starts_with("crossing");
    let first = stage.lanes.iter().position(is_crossing);
    for (index, lane) in stage.lanes.iter().enumerate().filter(|(_, lane)| is_crossing(lane)) {
        let before = stage.lanes.iter().enumerate().take(index);
        for (other, beside) in before.filter(|(other, lane)| !is_crossing(lane) || Some(*other) == first) {
            // With nothing between there is no processor time to compare with.
            let figures = if beside.between.is_empty() { &COMPARED[..3] } else { &COMPARED[..] };
            print!("\n{:24}", format!("{} / {}", label(&lane.name), label(&beside.name)));
            figures.iter().for_each(|(title, _)| print!(" {title:>9}"));
            println!();
            for (case, measured) in cases {
                print!("  {:22}", case.to_string());
                for (_, figure) in figures {
                    let pairs = measured.lanes[index].iter().zip(&measured.lanes[other]);
                    print!(" {:>8.2}×", median(pairs.map(|(one, other)| figure(one) / figure(other))));
                }
                println!();
            }
        }
    }
}

/// A lane's name without the path of its program.
fn label(name: &str) -> String {
    match name.split_once('@') {
        Some((kind, program)) => format!("{kind}@{}", &program[program.len().saturating_sub(12)..]),
        None => name.to_owned(),
    }
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.filter(|figure| figure.is_finite()).collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
