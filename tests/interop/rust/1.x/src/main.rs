//! The interop peer of the official Rust SDK: `interop-rust agent --dialect 1.0` and `interop-rust client`.
//!
//! The SDK speaks 1.0 only, so there is no lane of dialect 0.3. Over its JSON bindings it writes each number of a data
//! part as a float and reads `9007199254740991.0` back one too small, so that the operations that compare data parts
//! fail when its client and its agent meet without anything between them that writes numbers shorter.

mod agent;
mod card;
mod client;
mod events;
mod executor;
mod operations;
mod words;

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["agent", "--dialect", "1.0"] => agent::serve().await,
        ["client"] => client::run().await,
        _ => Err("usage: interop-rust agent --dialect 1.0 | interop-rust client".into()),
    };
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("interop-rust: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
