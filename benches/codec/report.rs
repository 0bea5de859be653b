//! The tables that are printed.

use crate::work::SUBJECTS;

/// What was measured of one message.
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    /// Bytes of JSON.
    pub(crate) json: usize,
    /// Bytes of the canonical form.
    pub(crate) wire: usize,
    /// JSON → wire.
    pub(crate) read: Result,
    /// Wire → JSON.
    pub(crate) write: Result,
}

/// What one direction costs ours, `Value`, and prost + pbjson.
pub(crate) struct Result {
    /// Nanoseconds.
    pub(crate) times: [f64; SUBJECTS],
    /// Instructions, if they were counted.
    pub(crate) counts: Option<[f64; SUBJECTS]>,
}

/// Prints what one direction costs.
#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
pub(crate) fn table(title: &str, measured: &[Measured], direction: impl Fn(&Measured) -> &Result) {
    println!(
        "\n{title:18} {:>9} {:>9} │ {:^32} │ {:^32} │ {:^32}",
        "JSON", "wire", "dragoman", "Value", "prost + pbjson"
    );
    println!("{:39}{}", "", " │      time        rate      instr".repeat(SUBJECTS));
    for one in measured {
        print!("{:18} {:>7} B {:>7} B", one.name, one.json, one.wire);
        let Result { times, counts } = direction(one);
        for (subject, time) in times.iter().enumerate() {
            let count = counts.map_or("-".to_owned(), |counts| format!("{:.0}", counts[subject]));
            print!(" │ {time:>8.0} ns {:>5.0} MB/s {count:>10}", one.json as f64 * 1e3 / time);
        }
        println!();
    }
}

/// Prints how much faster ours is, in time and in instructions.
pub(crate) fn ratios(measured: &[Measured]) {
    println!("\n{:18} │ {:^41} │ {:^41}", "how much faster", "JSON → wire", "wire → JSON");
    let by = " │     Value   instr    pbjson   instr      ";
    println!("{:18}{}", "than", by.repeat(2));
    for Measured { name, read, write, .. } in measured {
        print!("{name:18}");
        for Result { times, counts } in [read, write] {
            print!(" │");
            for subject in 1..SUBJECTS {
                let fewer = counts.map_or("-".to_owned(), |counts| ratio(counts[subject], counts[0]));
                print!("  {:>8} {fewer:>7}", ratio(times[subject], times[0]));
            }
            print!("{:6}", "");
        }
        println!();
    }
}

fn ratio(theirs: f64, ours: f64) -> String {
    format!("{:.2}×", theirs / ours)
}
