//! `vectors/tlog.json`: texts of the log formats that must be taken and, most of them, that must not. What each should give is written
//! here; the file is made from it (`SCRIP_WRITE_VECTORS=1`), for other implementations.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use data_encoding::BASE64;
use scrip_protocol::id::VendorId;
use scrip_protocol::keys::SigningKey;
use scrip_protocol::time::UnixSeconds;
use scrip_protocol::tlog::checkpoint::{Checkpoint, SignedCheckpoint};
use scrip_protocol::tlog::cosignature::cosign;
use scrip_protocol::tlog::hash::{TreeHash, leaf_hash};
use scrip_protocol::tlog::note::{Algorithm, KeyName, Note, VerifierKey};
use scrip_protocol::tlog::policy::WitnessPolicy;
use scrip_protocol::tlog::proof::LogProof;
use scrip_protocol::tlog::tile::TilePath;
use scrip_protocol::tlog::tree::{ConsistencyProof, Frontier, InclusionProof};
use scrip_protocol::tlog::witness::AddCheckpoint;
use serde_json::{Value, json};

const LOG_SEED: [u8; 32] = [2; 32];
const WITNESS_SEED: [u8; 32] = [5; 32];
const TIME: UnixSeconds = UnixSeconds(1_700_000_000);

/// A text, why it is there, and whether it must be taken.
type Case = (&'static str, String, bool);

fn log_key() -> SigningKey {
    SigningKey::from_seed(&LOG_SEED)
}

fn witness_key() -> SigningKey {
    SigningKey::from_seed(&WITNESS_SEED)
}

fn log_vkey() -> VerifierKey {
    VerifierKey::of_ledger(&VendorId::from_bytes([9; 32]), log_key().public())
}

fn witness_vkey() -> VerifierKey {
    let name = "witness.example/w1".parse().unwrap();
    VerifierKey::new(name, Algorithm::CosignatureV1, witness_key().public())
}

fn origin() -> KeyName {
    log_vkey().name().clone()
}

/// A log of the leaves "0", "1", "2".
fn tree() -> (Vec<TreeHash>, TreeHash) {
    let leaves: Vec<_> = ["0", "1", "2"].map(|leaf| leaf_hash(leaf.as_bytes())).into();
    let mut frontier = Frontier::empty();
    leaves.iter().for_each(|leaf| frontier.push(*leaf));
    (leaves, frontier.root())
}

fn checkpoint() -> Checkpoint {
    Checkpoint { origin: origin(), size: 3, root: tree().1 }
}

/// Signed by the log and cosigned by the witness.
fn note() -> Note {
    let mut note = checkpoint().sign(&log_key()).unwrap();
    let line = cosign(&note, witness_vkey().name(), &witness_key(), TIME).unwrap();
    note.add(line).unwrap();
    note
}

/// A note of any text by the log's key, also one that is no checkpoint.
fn signed(text: &str) -> String {
    let mut note = Note::new(text.into()).unwrap();
    note.sign(&origin(), &log_key()).unwrap();
    note.encode()
}

/// The base64 of a line's end.
fn last_word(line: &str) -> &str {
    line.rsplit(' ').next().unwrap()
}

/// The same bytes as two padded pieces of base64, as lenient decoders take them.
fn in_pieces(text: &str) -> String {
    let bytes = BASE64.decode(text.as_bytes()).unwrap();
    let (first, rest) = bytes.split_at(1);
    let pieces = format!("{}{}", BASE64.encode(first), BASE64.encode(rest));
    assert_eq!(BASE64.decode(pieces.as_bytes()).unwrap(), bytes);
    pieces
}

fn checkpoints() -> Vec<Case> {
    let good = note().encode();
    let text = checkpoint().encode();
    let root = tree().1.to_string();
    let lines: Vec<&str> = good.lines().collect();
    let (log_line, witness_line) = (lines[4], lines[5]);
    let name = origin();
    let empty = TreeHash::EMPTY;
    let by = |seed: [u8; 32]| {
        let mut note = Note::new(text.clone()).unwrap();
        note.sign(&origin(), &SigningKey::from_seed(&seed)).unwrap();
        note.encode()
    };
    vec![
        ("the checkpoint", good.clone(), true),
        ("without cosignatures", signed(&text), true),
        ("with an extension line", signed(&format!("{text}extension\n")), true),
        ("the empty tree", signed(&format!("{name}\n0\n{empty}\n")), true),
        (
            "with a signature by an unknown key",
            format!("{good}\u{2014} x.example AAAAAAA=\n"),
            true,
        ),
        ("with the log's line twice", format!("{good}{log_line}\n"), true),
        (
            "a signature in two pieces of base64",
            format!("{good}\u{2014} x.example AAAAAAA=AAA=\n"),
            false,
        ),
        (
            "the log's line twice in one",
            format!("{good}{log_line}{}\n", last_word(log_line)),
            false,
        ),
        (
            "a root in two pieces of base64",
            signed(&format!("{name}\n3\n{}\n", in_pieces(&root))),
            false,
        ),
        ("no signature", format!("{text}\n"), false),
        ("cosigned only", format!("{text}\n{witness_line}\n"), false),
        ("by another key under the log's name", by([3; 32]), false),
        ("the size changed", good.replacen("\n3\n", "\n4\n", 1), false),
        (
            "a bad cosignature of the known witness",
            {
                let at = good.len() - 10;
                let other = if good.as_bytes()[at] == b'A' { "B" } else { "A" };
                format!("{}{other}{}", &good[..at], &good[at + 1..])
            },
            false,
        ),
        ("another origin", signed(&format!("{name}x\n3\n{root}\n")), false),
        ("a leading zero in the size", signed(&format!("{name}\n03\n{root}\n")), false),
        ("a sign in the size", signed(&format!("{name}\n+3\n{root}\n")), false),
        (
            "a size that is too large",
            signed(&format!("{name}\n9223372036854775808\n{root}\n")),
            false,
        ),
        ("no size", signed(&format!("{name}\n{root}\n")), false),
        ("an empty line in the text", signed(&format!("{name}\n3\n{root}\n\n")), false),
        (
            "no padding of the root",
            signed(&format!("{name}\n3\n{}\n", root.trim_end_matches('='))),
            false,
        ),
        ("a root of 33 bytes", signed(&format!("{name}\n3\nAAAA{root}\n")), false),
        (
            "non-zero bits after the root",
            signed(&format!(
                "{name}
3
{}
",
                root.replace("c=", "d=")
            )),
            false,
        ),
        (
            "a root in base64url",
            signed(&format!(
                "{name}
3
{}
",
                "_".repeat(42) + "8="
            )),
            false,
        ),
        ("an empty tree with a root", signed(&format!("{name}\n0\n{root}\n")), false),
        ("no last newline", good.trim_end().to_owned(), false),
        ("Windows lines", good.replace('\n', "\r\n"), false),
        ("a hyphen for the dash", good.replace('\u{2014}', "-"), false),
    ]
}

fn add_checkpoints() -> Vec<Case> {
    let (leaves, root) = tree();
    let request = |old_size, proof: &[TreeHash]| {
        AddCheckpoint { old_size, proof: ConsistencyProof(proof.to_vec()), checkpoint: note() }
            .encode()
    };
    let good = request(2, &leaves[2..]);
    vec![
        ("from 2 to 3", good.clone(), true),
        ("the first one", request(0, &[]), true),
        ("63 hashes", request(2, &[root; 63]), true),
        ("64 hashes", request(2, &[root; 64]), false),
        ("no old size", good.replacen("old 2\n", "", 1), false),
        ("an old size in upper case", good.replacen("old", "OLD", 1), false),
        ("two spaces", good.replacen("old 2", "old  2", 1), false),
        ("a leading zero", good.replacen("old 2", "old 02", 1), false),
        ("no blank line", good.replacen("\n\n", "\n", 1), false),
        ("two blank lines", good.replacen("\n\n", "\n\n\n", 1), false),
        ("a hash that is none", good.replacen("old 2\n", "old 2\nAAAA\n", 1), false),
        ("no checkpoint", "old 2\n\n".to_owned(), false),
        ("nothing", String::new(), false),
    ]
}

fn proofs() -> Vec<Case> {
    let (leaves, _) = tree();
    let proof = |index, hashes: &[TreeHash]| {
        let inclusion = InclusionProof(hashes.to_vec());
        LogProof { extra: None, index, inclusion, checkpoint: note() }.encode()
    };
    let good = proof(2, &[scrip_protocol::tlog::hash::node_hash(&leaves[0], &leaves[1])]);
    let with_extra = good.replacen("index", "extra ZXh0cmE=\nindex", 1);
    vec![
        ("of the leaf 2", good.clone(), true),
        ("with extra data", with_extra.clone(), true),
        ("another index", good.replacen("index 2", "index 1", 1), false),
        ("beyond the tree", good.replacen("index 2", "index 3", 1), false),
        ("without its hash", proof(2, &[]), false),
        ("a hash too many", proof(2, &[leaves[0], leaves[1]]), false),
        ("another hash", proof(2, &leaves[..1]), false),
        ("another version", good.replacen("@v1", "@v2", 1), false),
        (
            "extra data after the index",
            good.replacen("index 2", "index 2\nextra ZXh0cmE=", 1),
            false,
        ),
        ("extra data that is no base64", with_extra.replacen("ZXh0cmE=", "ZXh0cmE", 1), false),
        (
            "extra data in two pieces of base64",
            with_extra.replacen("ZXh0cmE=", &in_pieces("ZXh0cmE="), 1),
            false,
        ),
        ("a leading zero", good.replacen("index 2", "index 02", 1), false),
        ("a sign", good.replacen("index 2", "index +2", 1), false),
        ("no index", good.replacen("index 2\n", "", 1), false),
        ("a blank line at the end", format!("{good}\n"), false),
        ("the checkpoint of another tree", good.replacen("\n3\n", "\n5\n", 1), false),
    ]
}

fn paths() -> Vec<Case> {
    let take = [
        "tile/0/000",
        "tile/0/000.p/255",
        "tile/3/x001/x234/067",
        "tile/entries/x001/000",
        "tile/public/005.p/17",
        "tile/63/999",
    ];
    let refuse = [
        "/tile/0/000",
        "tile/0/0",
        "tile/0/1000",
        "tile/00/000",
        "tile/64/000",
        "tile/0/x000/001",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.P/1",
        "tile/8/0/000",
        "tile/data/000",
        "tile/0/../000",
        "tile/0/",
    ];
    let taken = take.into_iter().map(|path| ("", path.to_owned(), true));
    taken.chain(refuse.into_iter().map(|path| ("", path.to_owned(), false))).collect()
}

fn keys() -> Vec<Case> {
    let good = log_vkey().to_string();
    let (head, key) = good.rsplit_once('+').unwrap();
    vec![
        ("the log", good.clone(), true),
        ("the witness", witness_vkey().to_string(), true),
        ("another name", good.replacen("scrip", "scrap", 1), false),
        (
            "the hash of another key",
            good.replacen(&format!("{:08x}", log_vkey().id()), "00000000", 1),
            false,
        ),
        ("no hash", format!("{}+{key}", log_vkey().name()), false),
        ("no key", head.to_owned(), false),
        ("a byte more", format!("{head}+{key}AAAA"), false),
        ("in two pieces of base64", format!("{head}+{}", in_pieces(key)), false),
        ("a space in the name", good.replacen("scrip", "scr p", 1), false),
    ]
}

/// Checks each case and makes its entry in the file.
fn section(cases: Vec<Case>, taken: impl Fn(&str) -> bool) -> Value {
    let entry = |(why, text, expected): Case| {
        assert_eq!(taken(&text), expected, "{why}: {text}");
        json!({ "case": why, "text": text, "accept": expected })
    };
    cases.into_iter().map(entry).collect()
}

#[test]
fn texts_are_taken_or_refused_as_the_vectors_say() {
    let policy = WitnessPolicy::new(vec![witness_vkey()], 0).unwrap();
    let leaf = tree().0[2];
    let computed = json!({
        "log": { "seed": data_encoding::HEXLOWER.encode(&LOG_SEED), "key": log_vkey().to_string() },
        "witness": { "seed": data_encoding::HEXLOWER.encode(&WITNESS_SEED), "key": witness_vkey().to_string(), "time": TIME.0 },
        "leaf_hashes": tree().0,
        "root": tree().1,
        "checkpoints": section(checkpoints(), |text| {
            SignedCheckpoint::open(text.as_bytes(), &origin(), [&log_vkey()], &policy).is_ok()
        }),
        "add_checkpoint": section(add_checkpoints(), |text| {
            let Ok(read) = AddCheckpoint::parse(text.as_bytes()) else { return false };
            assert_eq!(read.encode(), text);
            Checkpoint::parse(read.checkpoint.text()).is_ok()
        }),
        "proofs_of_leaf_2": section(proofs(), |text| {
            let Ok(read) = LogProof::parse(text.as_bytes()) else { return false };
            assert_eq!(read.encode(), text);
            read.verify(&leaf, &origin(), [&log_vkey()], &policy).is_ok()
        }),
        "tile_paths": section(paths(), |text| text.parse::<TilePath>().is_ok()),
        "verifier_keys": section(keys(), |text| text.parse::<VerifierKey>().is_ok()),
    });
    let path = format!("{}/vectors/tlog.json", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("SCRIP_WRITE_VECTORS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&computed).unwrap() + "\n").unwrap();
    }
    let stored: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(stored, computed);
}
