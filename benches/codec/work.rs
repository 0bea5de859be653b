//! What is compared: the same message through the codec, `serde_json::Value` and prost + pbjson, in both directions.

use std::fmt::Debug;
use std::hint::black_box;
use std::rc::Rc;

use dragoman::codec::{self, schema};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::oracle;
use crate::samples::Sample;

/// The most bytes that a message may have.
const LIMIT: usize = 16 << 20;

/// How many do the same work.
pub(crate) const SUBJECTS: usize = 3;

/// A piece of work, to be done as often as wanted.
pub(crate) type Run<'s> = Box<dyn FnMut() + 's>;

/// The work of ours, of `Value` and of prost + pbjson on one message.
pub(crate) struct Work<'s> {
    /// Bytes of its canonical form.
    pub(crate) wire: usize,
    /// JSON → wire.
    pub(crate) read: [Run<'s>; SUBJECTS],
    /// Wire → JSON.
    pub(crate) write: [Run<'s>; SUBJECTS],
}

/// The work on a message, of which it is checked that all agree about it.
pub(crate) fn on(sample: &Sample) -> Work<'_> {
    if std::ptr::eq(sample.message, &raw const schema::TASK) {
        beside::<oracle::Task>(sample)
    } else if std::ptr::eq(sample.message, &raw const schema::STREAM_RESPONSE) {
        beside::<oracle::StreamResponse>(sample)
    } else {
        beside::<oracle::SendMessageRequest>(sample)
    }
}

/// The work on a message that prost and pbjson know as `T`.
fn beside<T>(sample: &Sample) -> Work<'_>
where
    T: Message + Default + Serialize + DeserializeOwned + Debug + PartialEq,
{
    let Sample { name, message, reading, text } = sample;
    let ours = |text: &str| codec::read(message, text, *reading, LIMIT).unwrap();
    let wire: Rc<[u8]> = ours(text).into();
    let typed: T = serde_json::from_str(text).unwrap();
    assert!(T::decode(&*wire).unwrap() == typed, "{name}: not what pbjson reads");
    let value: Value = serde_json::from_str(text).unwrap();
    let theirs = Rc::clone(&wire);
    Work {
        wire: wire.len(),
        read: [
            Box::new(move || drop(black_box(ours(black_box(text))))),
            Box::new(|| drop(black_box(serde_json::from_str::<Value>(black_box(text)).unwrap()))),
            Box::new(|| {
                drop(black_box(serde_json::from_str::<T>(black_box(text)).unwrap().encode_to_vec()));
            }),
        ],
        write: [
            Box::new(move || {
                let mut out = Vec::with_capacity(wire.len() * 5 / 4 + 128);
                codec::write(message, black_box(&wire), &mut out).unwrap();
                drop(black_box(out));
            }),
            Box::new(move || drop(black_box(serde_json::to_vec(black_box(&value)).unwrap()))),
            Box::new(move || {
                let typed = T::decode(black_box(&*theirs)).unwrap();
                drop(black_box(serde_json::to_vec(&typed).unwrap()));
            }),
        ],
    }
}
