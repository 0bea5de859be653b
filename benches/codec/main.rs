//! `cargo bench --bench codec [-- --quick] [NAME]`: JSON → wire and wire → JSON, beside `serde_json::Value` and prost + pbjson
//! on the same messages in the same run. With a NAME, only messages that have it in theirs.
//!
//! MB/s counts bytes of JSON in both directions. `Value` is no codec: it shows what parsing and printing JSON cost alone.
//! With `valgrind` on the PATH the instructions of each are counted too.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on should say where")]
#![expect(clippy::panic, reason = "a bench that cannot go on should say why")]
#![expect(clippy::print_stdout, reason = "its result is a table on stdout")]

mod clock;
mod instructions;
mod oracle;
mod report;
mod samples;
mod work;

use std::hint::black_box;

use base64_simd::STANDARD;
use dragoman::a2a::Operation;
use dragoman::codec::Form;
use dragoman::codec::text::Scanner;
use serde_json::Value;

use self::clock::{Subject, compare};
use self::instructions::{Asked, Direction, count};
use self::report::{Measured, Result, ratios, table};
use self::samples::Sample;

const ROUNDS: usize = 25;
const ROUNDS_QUICK: usize = 5;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if !args.iter().any(|arg| arg == "--bench") {
        println!("Run this with: cargo bench --bench codec");
        return;
    }
    let rounds = if args.iter().any(|arg| arg == "--quick") { ROUNDS_QUICK } else { ROUNDS };
    let name = args.iter().find(|arg| !arg.starts_with("--")).map_or("", String::as_str);
    let mut samples = samples::all();
    if let Some(asked) = Asked::parse(&args) {
        let sample = samples.iter().find(|sample| sample.name == name).unwrap();
        return asked.run(work::on(sample));
    }
    samples.retain(|sample| sample.name.contains(name));
    let counted = instructions::can_be_counted();
    if !counted {
        println!("There is no valgrind on the PATH: instructions are not counted.");
    }
    let measured: Vec<Measured> = samples.iter().map(|sample| measure(sample, rounds, counted)).collect();
    table("JSON → wire", &measured, |measured| &measured.read);
    table("wire → JSON", &measured, |measured| &measured.write);
    ratios(&measured);
    for sample in samples.iter().filter(|sample| samples::REQUESTS.contains(&sample.name)) {
        let [read, write] = old(sample, rounds);
        println!("\n{} in 0.3: {read:.2}× the time of 1.0 in, {write:.2}× out", sample.name);
    }
    if let Some((file, measured)) =
        samples.iter().zip(&measured).find(|(sample, _)| sample.name == samples::FILE)
    {
        let [read, write] = floor(file, rounds);
        let (read, write) = (measured.read.times[0] / read, measured.write.times[0] / write);
        println!("\n{}: {read:.2}× the time of base64 + memcpy in, {write:.2}× out", file.name);
    }
}

fn measure(sample: &Sample, rounds: usize, counted: bool) -> Measured {
    let work = work::on(sample);
    let (name, json, wire) = (sample.name, sample.text.len(), work.wire);
    let result = |runs: [work::Run<'_>; work::SUBJECTS], direction| Result {
        times: compare(runs.map(Subject::new), rounds),
        counts: counted.then(|| count(name, json, direction)),
    };
    let (read, write) = (result(work.read, Direction::Read), result(work.write, Direction::Write));
    Measured { name, json, wire, read, write }
}

/// What a request costs in 0.3, as a multiple of what it costs in 1.0: read, and written.
fn old(sample: &Sample, rounds: usize) -> [f64; 2] {
    const LIMIT: usize = 16 << 20;
    let operation = Operation::SendMessage;
    let read = |form: Form, text: &str| form.read_request(&mut Scanner::new(text), operation, LIMIT).unwrap();
    let write = |form: Form, wire: &[u8]| {
        let mut out = Vec::with_capacity(wire.len() * 5 / 4 + 128);
        form.write_request(operation, wire, &mut out).unwrap();
        out
    };
    let wire = read(Form::V1_0, &sample.text);
    let text = String::from_utf8(write(Form::V0_3, &wire)).unwrap();
    let [read_new, read_old, write_new, write_old] = compare(
        [
            Subject::new(|| drop(black_box(read(Form::V1_0, black_box(&sample.text))))),
            Subject::new(|| drop(black_box(read(Form::V0_3, black_box(&text))))),
            Subject::new(|| drop(black_box(write(Form::V1_0, black_box(&wire))))),
            Subject::new(|| drop(black_box(write(Form::V0_3, black_box(&wire))))),
        ],
        rounds,
    );
    [read_old / read_new, write_old / write_new]
}

/// The least that a file part can cost: base64, and its bytes copied once into memory of their own.
fn floor(sample: &Sample, rounds: usize) -> [f64; 2] {
    let json: Value = serde_json::from_str(&sample.text).unwrap();
    let text = json["message"]["parts"][0]["raw"].as_str().unwrap();
    let raw = STANDARD.decode_to_vec(text).unwrap();
    let mut decoded = Vec::with_capacity(raw.len());
    let mut encoded = Vec::with_capacity(text.len());
    let subjects = [
        Subject::new(|| {
            decoded.clear();
            STANDARD.decode_append(black_box(text), &mut decoded).unwrap();
            drop(black_box(decoded.clone()));
        }),
        Subject::new(|| {
            encoded.clear();
            STANDARD.encode_append(black_box(&raw), &mut encoded);
            drop(black_box(encoded.clone()));
        }),
    ];
    compare(subjects, rounds)
}
