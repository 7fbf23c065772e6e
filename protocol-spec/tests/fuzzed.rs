//! The fuzz target's function over the vectors: every value, as bytes, as text and as what its text encodes, goes through
//! every decoder, whole and with small changes. A fuzzer goes further; this runs with every test.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, missing_docs)]

#[path = "../fuzz/decoders.rs"]
mod decoders;

use std::collections::BTreeSet;

use data_encoding::{BASE64, HEXLOWER};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use scrip_protocol::id::decode_base64url;
use serde_json::Value;

/// Changes of each value.
const CHANGES: u32 = 8;
/// Values beyond this are fed as they are, and not changed.
const LARGE: usize = 16 * 1024;

fn gather(value: &Value, all: &mut BTreeSet<Vec<u8>>) {
    match value {
        Value::String(text) => {
            all.insert(text.as_bytes().to_vec());
            all.extend(HEXLOWER.decode(text.as_bytes()).ok());
            all.extend(decode_base64url(text));
        }
        Value::Array(values) => values.iter().for_each(|value| gather(value, all)),
        Value::Object(values) => values.values().for_each(|value| gather(value, all)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn vectors() -> BTreeSet<Vec<u8>> {
    let mut all = BTreeSet::new();
    let directory = format!("{}/vectors", env!("CARGO_MANIFEST_DIR"));
    let mut files = 0;
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "json") {
            files += 1;
            gather(&serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap(), &mut all);
        }
    }
    assert!(files >= 16, "the vectors are not where they were");
    all
}

fn decode_as_everything(bytes: &[u8]) {
    for kind in 0..decoders::KINDS {
        decoders::decode(&[&[kind], bytes].concat());
    }
}

#[test]
fn the_vectors_have_one_form_and_nothing_panics() {
    let vectors = vectors();
    assert!(vectors.len() > 500, "{}", vectors.len());
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut below = |most: usize| usize::try_from(rng.next_u64()).unwrap() % most.max(1);
    let all: Vec<&Vec<u8>> = vectors.iter().collect();
    for vector in &all {
        decode_as_everything(vector);
        for _ in 0..CHANGES {
            if vector.is_empty() || vector.len() > LARGE {
                continue;
            }
            let mut changed = vector.to_vec();
            let at = below(changed.len());
            match below(4) {
                0 => changed[at] ^= 1 << below(8),
                1 => drop(changed.splice(at..at, b"=".iter().copied())),
                2 => changed.truncate(at),
                _ => {
                    // A part of another value, up to its end: lines and pieces of base64 are put together so.
                    let other = all[below(all.len())];
                    changed.extend_from_slice(&other[below(other.len())..]);
                }
            }
            decode_as_everything(&changed);
        }
    }
}

/// Notes whose signature lines have their base64 in two padded pieces: what a fuzzer found within seconds.
#[test]
fn base64_in_pieces_is_refused_wherever_it_stands() {
    for vector in vectors() {
        let Ok(text) = String::from_utf8(vector) else { continue };
        for (at, word) in text.split([' ', '\n', '+']).map(|word| (offset(&text, word), word)) {
            let Ok(bytes) = BASE64.decode(word.as_bytes()) else { continue };
            if bytes.len() < 2 {
                continue;
            }
            let (first, rest) = bytes.split_at(1);
            let pieces = format!("{}{}", BASE64.encode(first), BASE64.encode(rest));
            let end = at + word.len();
            decode_as_everything(format!("{}{pieces}{}", &text[..at], &text[end..]).as_bytes());
            decode_as_everything(format!("{}{word}{word}{}", &text[..at], &text[end..]).as_bytes());
        }
    }
}

/// Where `part` begins in `text`, which it is a part of.
fn offset(text: &str, part: &str) -> usize {
    part.as_ptr().addr() - text.as_ptr().addr()
}
