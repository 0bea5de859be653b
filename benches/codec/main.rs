//! `cargo bench --bench codec [-- --quick] [NAME]`: JSON → wire and wire → JSON, beside `serde_json::Value` and prost + pbjson
//! on the same messages in the same run. With a NAME, only messages that have it in theirs.
//!
//! MB/s counts bytes of JSON in both directions. `Value` is no codec: it shows what parsing and printing JSON cost alone.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on should say where")]
#![expect(clippy::print_stdout, reason = "its result is a table on stdout")]

mod clock;
mod oracle;
mod samples;

use std::fmt::Debug;
use std::hint::black_box;

use base64_simd::STANDARD;
use dragoman::codec::{self, schema};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::clock::{Subject, compare};
use self::samples::Sample;

const ROUNDS: usize = 25;
const ROUNDS_QUICK: usize = 5;
/// The most bytes that a message may have.
const LIMIT: usize = 16 << 20;
const SUBJECTS: usize = 3;

/// Nanoseconds of ours, of `Value` and of prost + pbjson.
type Times = [f64; SUBJECTS];

/// What was measured of one message.
struct Measured {
    name: &'static str,
    json: usize,
    wire: usize,
    read: Times,
    write: Times,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if !args.iter().any(|arg| arg == "--bench") {
        println!("Run this with: cargo bench --bench codec");
        return;
    }
    let rounds = if args.iter().any(|arg| arg == "--quick") { ROUNDS_QUICK } else { ROUNDS };
    let name = args.iter().find(|arg| !arg.starts_with("--")).map_or("", String::as_str);
    let samples: Vec<Sample> =
        samples::all().into_iter().filter(|sample| sample.name.contains(name)).collect();
    let measured: Vec<Measured> = samples.iter().map(|sample| measure(sample, rounds)).collect();
    table("JSON → wire", &measured, |measured| measured.read);
    table("wire → JSON", &measured, |measured| measured.write);
    ratios(&measured);
    if let Some((file, measured)) =
        samples.iter().zip(&measured).find(|(sample, _)| sample.name == samples::FILE)
    {
        let [read, write] = floor(file, rounds);
        let (read, write) = (measured.read[0] / read, measured.write[0] / write);
        println!("\n{}: {read:.2}× the time of base64 + memcpy in, {write:.2}× out", file.name);
    }
}

fn measure(sample: &Sample, rounds: usize) -> Measured {
    if std::ptr::eq(sample.message, &raw const schema::TASK) {
        beside::<oracle::Task>(sample, rounds)
    } else if std::ptr::eq(sample.message, &raw const schema::STREAM_RESPONSE) {
        beside::<oracle::StreamResponse>(sample, rounds)
    } else {
        beside::<oracle::SendMessageRequest>(sample, rounds)
    }
}

/// Measures a message that prost and pbjson know as `T`.
fn beside<T>(sample: &Sample, rounds: usize) -> Measured
where
    T: Message + Default + Serialize + DeserializeOwned + Debug + PartialEq,
{
    let Sample { name, message, reading, text } = sample;
    let ours = |text: &str| codec::read(message, text, *reading, LIMIT).unwrap();
    let wire = ours(text);
    let typed: T = serde_json::from_str(text).unwrap();
    assert!(T::decode(&*wire).unwrap() == typed, "{name}: not what pbjson reads");
    let value: Value = serde_json::from_str(text).unwrap();

    let read = [
        Subject::new(|| drop(black_box(ours(black_box(text))))),
        Subject::new(|| drop(black_box(serde_json::from_str::<Value>(black_box(text)).unwrap()))),
        Subject::new(|| drop(black_box(serde_json::from_str::<T>(black_box(text)).unwrap().encode_to_vec()))),
    ];
    let write = [
        Subject::new(|| {
            let mut out = Vec::with_capacity(wire.len() * 5 / 4 + 128);
            codec::write(message, black_box(&wire), &mut out).unwrap();
            drop(black_box(out));
        }),
        Subject::new(|| drop(black_box(serde_json::to_vec(black_box(&value)).unwrap()))),
        Subject::new(|| {
            let typed = T::decode(black_box(&*wire)).unwrap();
            drop(black_box(serde_json::to_vec(&typed).unwrap()));
        }),
    ];
    let (read, write) = (compare(read, rounds), compare(write, rounds));
    Measured { name, json: text.len(), wire: wire.len(), read, write }
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

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
fn table(title: &str, measured: &[Measured], times: impl Fn(&Measured) -> Times) {
    println!(
        "\n{title:18} {:>9} {:>9} │ {:^21} │ {:^21} │ {:^21}",
        "JSON", "wire", "dragoman", "Value", "prost + pbjson"
    );
    for one in measured {
        print!("{:18} {:>7} B {:>7} B", one.name, one.json, one.wire);
        for nanoseconds in times(one) {
            print!(" │ {nanoseconds:>11.0} ns {:>5.0} MB/s", one.json as f64 * 1e3 / nanoseconds);
        }
        println!();
    }
}

fn ratios(measured: &[Measured]) {
    println!("\nhow much faster than       │    JSON → wire      │    wire → JSON");
    println!("                           │    Value     pbjson │    Value     pbjson");
    for Measured { name, read, write, .. } in measured {
        print!("{name:26}");
        for [ours, value, pbjson] in [read, write] {
            print!(" │ {:>7.2}× {:>9.2}×", value / ours, pbjson / ours);
        }
        println!();
    }
}
