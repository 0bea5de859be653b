//! The messages that are measured, as agents write them.

use dragoman::codec::Reading;
use dragoman::codec::schema::{self, Message};
use serde_json::{Value, json};

/// The requests that are measured in 0.3, too.
pub(crate) const REQUESTS: [&str; 2] = ["1 KB message", FILE];
/// The name of the message with a file part.
pub(crate) const FILE: &str = "4 MB file";
/// The bytes of that file.
const FILE_SIZE: usize = 4 << 20;

/// A message to be measured.
pub(crate) struct Sample {
    /// What it is.
    pub(crate) name: &'static str,
    /// Its type in the codec's table.
    pub(crate) message: &'static Message,
    /// How an edge reads it.
    pub(crate) reading: Reading,
    /// Its JSON.
    pub(crate) text: String,
}

/// All of them.
pub(crate) fn all() -> Vec<Sample> {
    let request = |name, parts: Value| {
        let text = json!({"message": message("ROLE_USER", parts)}).to_string();
        Sample { name, message: &schema::SEND_MESSAGE_REQUEST, reading: Reading::Request, text }
    };
    let short = json!({"message": {
        "messageId": "m-1", "role": "ROLE_USER", "parts": [{"text": "How much is 10 USD in INR?"}],
    }});
    vec![
        Sample {
            name: "short text",
            message: &schema::SEND_MESSAGE_REQUEST,
            reading: Reading::Request,
            text: short.to_string(),
        },
        request(
            "1 KB message",
            json!([{"text": prose(733)}, {"text": "Größe: 5 µm", "mediaType": "text/plain"}]),
        ),
        Sample {
            name: "task with history",
            message: &schema::TASK,
            reading: Reading::Reply,
            text: task().to_string(),
        },
        Sample {
            name: "status update",
            message: &schema::STREAM_RESPONSE,
            reading: Reading::Reply,
            text: json!({"statusUpdate": {
                "taskId": "5f0d4c1e-3a52-4c5e-9a38-0f6d3f1f2b77",
                "contextId": "c1f7e1b4-0f39-4d0e-8d8c-6f0f8a0b7f11",
                "status": status(),
            }})
            .to_string(),
        },
        request("nested data", json!([{"data": data(), "mediaType": "application/json"}])),
        request("64 KB text", json!([{"text": prose(64 << 10)}])),
        request(
            FILE,
            json!([{"raw": base64_simd::STANDARD.encode_to_string(noise(FILE_SIZE)), "filename": "scan.tiff",
                    "mediaType": "image/tiff"}]),
        ),
    ]
}

fn message(role: &str, parts: Value) -> Value {
    json!({
        "messageId": "9b2f6a0e-6d1f-4a0b-bb0a-1d2c7f3e4a55",
        "contextId": "c1f7e1b4-0f39-4d0e-8d8c-6f0f8a0b7f11",
        "role": role,
        "parts": parts,
        "metadata": {"traveller": "anna", "seats": 2, "urgent": false},
    })
}

fn status() -> Value {
    json!({
        "state": "TASK_STATE_WORKING",
        "message": {"messageId": "s-7", "role": "ROLE_AGENT", "parts": [{"text": "Asking two airlines."}]},
        "timestamp": "2026-02-11T09:30:15.250Z",
    })
}

fn task() -> Value {
    let history: Vec<Value> = (0..10)
        .map(|turn| {
            let role = if turn % 2 == 0 { "ROLE_USER" } else { "ROLE_AGENT" };
            message(role, json!([{"text": prose(180)}]))
        })
        .collect();
    json!({
        "id": "5f0d4c1e-3a52-4c5e-9a38-0f6d3f1f2b77",
        "contextId": "c1f7e1b4-0f39-4d0e-8d8c-6f0f8a0b7f11",
        "status": status(),
        "artifacts": [{
            "artifactId": "a-1",
            "name": "Itinerary",
            "parts": [{"text": prose(400)}, {"url": "https://files.example/itinerary.pdf", "mediaType": "application/pdf"}],
        }],
        "history": history,
        "metadata": {"cost": 12.5, "model": "large"},
    })
}

fn data() -> Value {
    let row = |index: u32| {
        json!({
            "id": index,
            "name": format!("Hotel {index}"),
            "price": 89.9 + f64::from(index),
            "rating": 4.5,
            "free": index.is_multiple_of(3),
            "near": [{"what": "station", "metres": 350}, {"what": "sea", "metres": 1200}],
            "note": "",
        })
    };
    json!({"rows": (0..20).map(row).collect::<Vec<_>>(), "total": 20, "next": {"page": 2, "after": "h-19"}})
}

/// About so many bytes of text, with the line breaks and quotes that JSON must escape.
fn prose(bytes: usize) -> String {
    let line = "The \"quick\" brown fox jumps over the lazy dog, and then it does so once more.\n";
    line.chars().cycle().take(bytes).collect()
}

/// Bytes without a pattern (xorshift).
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = Vec::with_capacity(bytes);
    while noise.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend_from_slice(&state.to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}
