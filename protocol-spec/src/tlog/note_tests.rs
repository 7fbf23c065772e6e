//! What is a note and what is none; whose signatures count; what must not be signed.

use super::*;
use crate::hash::Label;
use crate::tlog::cosignature::cosign;
use crate::tlog::policy::{BadPolicy, PolicyError, WitnessPolicy};
use proptest::prelude::*;

const TEXT: &str = "log.example\n5\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32])
}

fn name(text: &str) -> KeyName {
    text.parse().unwrap()
}

fn vkey(text: &str, n: u8) -> VerifierKey {
    VerifierKey::new(name(text), Algorithm::Ed25519, key(n).public())
}

fn witness(text: &str, n: u8) -> VerifierKey {
    VerifierKey::new(name(text), Algorithm::CosignatureV1, key(n).public())
}

fn signed() -> Note {
    let mut note = Note::new(TEXT.into()).unwrap();
    note.sign(&name("log.example"), &key(1)).unwrap();
    note
}

#[test]
fn a_note_comes_back() {
    let mut note = Note::new("ab\n\n\u{2014} looks like a signature\n\nend\n".into()).unwrap();
    note.sign(&name("log.example"), &key(1)).unwrap();
    note.sign(&name("other.example"), &key(2)).unwrap();
    let read = Note::parse(note.encode().as_bytes()).unwrap();
    assert_eq!(read, note);
    assert_eq!(read.open([&vkey("log.example", 1)]).unwrap().len(), 1);
}

#[test]
fn only_known_keys_count_and_each_once() {
    let mut note = signed();
    let known = vkey("log.example", 1);
    let cosigner = witness("w.example", 3);
    note.add(cosign(&note, cosigner.name(), &key(3), UnixSeconds(7)).unwrap()).unwrap();
    let both = note.open([&known, &cosigner]).unwrap();
    assert_eq!(both.iter().map(|v| v.time).collect::<Vec<_>>(), [None, Some(UnixSeconds(7))]);
    // The same key under another name, another key under the same name, and another algorithm are other keys.
    for other in [vkey("log.exampl", 1), vkey("log.example", 2), witness("log.example", 1)] {
        assert_eq!(note.open([&other]), Err(OpenError::Unsigned));
    }
    // Signing anew replaces.
    note.sign(&name("log.example"), &key(1)).unwrap();
    assert_eq!(note.signatures().len(), 2);
    // A line that is there twice is one signature.
    let line = note.signatures()[0].to_string();
    let twice = format!("{}{line}\n", note.encode());
    let twice = Note::parse(twice.as_bytes()).unwrap();
    assert_eq!(twice.signatures().len(), 3);
    assert_eq!(twice.open([&cosigner]).unwrap().len(), 1);
}

#[test]
fn a_known_key_s_bad_signature_spoils_the_note() {
    let (known, cosigner) = (vkey("log.example", 1), witness("w.example", 3));
    let mut note = signed();
    note.add(cosign(&note, cosigner.name(), &key(3), UnixSeconds(7)).unwrap()).unwrap();
    for spoilt in [0, 1] {
        for byte in [0, 8, 40] {
            let mut note = note.clone();
            note.signatures[spoilt].bytes[byte] ^= 1;
            let err = note.open([&known, &cosigner]).unwrap_err();
            assert_eq!(err, OpenError::BadSignature(note.signatures[spoilt].name.clone()));
        }
        let mut note = note.clone();
        note.signatures[spoilt].bytes.pop();
        assert!(matches!(note.open([&known, &cosigner]), Err(OpenError::BadSignature(_))));
    }
    // Not even beside a good one.
    let mut bad = note.signatures()[0].clone();
    bad.bytes[0] ^= 1;
    let both = format!("{}{bad}\n", note.encode());
    let both = Note::parse(both.as_bytes()).unwrap();
    assert_eq!(both.open([&known]), Err(OpenError::BadSignature(known.name().clone())));
}

#[test]
fn a_cosignature_does_not_pass_for_a_signature_nor_the_reverse() {
    let mut note = signed();
    let cosigner = witness("log.example", 1);
    let line = cosign(&note, cosigner.name(), &key(1), UnixSeconds(7)).unwrap();
    let plain = note.signatures()[0].bytes.clone();
    // The 64 bytes of each in the other's place.
    let as_plain = NoteSignature::new(
        name("log.example"),
        vkey("log.example", 1).id(),
        line.bytes[8..].into(),
    );
    let as_cosignature = NoteSignature::new(
        name("log.example"),
        cosigner.id(),
        [&7_u64.to_be_bytes()[..], &plain].concat(),
    );
    note.signatures = vec![as_plain, as_cosignature];
    assert!(matches!(note.open([&vkey("log.example", 1)]), Err(OpenError::BadSignature(_))));
    assert!(matches!(note.open([&cosigner]), Err(OpenError::BadSignature(_))));
    assert_eq!(cosign(&note, cosigner.name(), &key(1), UnixSeconds(1 << 63)), None);
}

#[test]
fn nothing_that_is_signed_under_a_label_can_be_a_note() {
    for label in Label::ALL.iter().copied() {
        let first = label.as_str().len();
        assert!(first < 0x40, "{label:?}");
        let text: String = label.prefix().map(char::from).chain("log\n5\n".chars()).collect();
        assert!(!may_be_signed(&text), "{label:?}");
    }
    for text in ["", "0.example\n", "\u{3f}\n", "@log\n", "-log\n", "cosignature/v1\ntime 3\nlog\n"]
    {
        assert!(!may_be_signed(text), "{text:?}");
        assert!(key(1).sign_text(text).is_none());
    }
    for text in ["A\n", "scrip.ledger/v1/x\n", "\u{e9}t\u{e9}.example\n", "cosignature/v2\n"] {
        assert!(may_be_signed(text), "{text:?}");
    }
    let mut note = Note::new("1.example\n5\n".into()).unwrap();
    assert_eq!(note.sign(&name("1.example"), &key(1)), Err(NoteError::NotToBeSigned));
}

#[test]
fn notes_that_are_none() {
    let good = signed().encode();
    let line = signed().signatures()[0].to_string();
    use NoteError as E;
    for (bytes, error) in [
        (String::new(), E::Text),
        (TEXT.to_owned(), E::Text),
        (format!("{TEXT}\n"), E::SignatureLine),
        (format!("{TEXT}{line}\n"), E::Text),
        (good.trim_end().to_owned(), E::SignatureLine),
        (format!("{good}\n"), E::SignatureLine),
        (format!("{good}\n\n"), E::SignatureLine),
        (format!("{good}x\n"), E::SignatureLine),
        (good.replace('\u{2014}', "-"), E::SignatureLine),
        (good.replace("\u{2014} ", "\u{2014}"), E::SignatureLine),
        (good.replace("\u{2014} ", "\u{2014}  "), E::SignatureLine),
        (good.replace("5\n", "5\r\n"), E::Characters),
        (good.replace("5\n", "\t5\n"), E::Characters),
        (good.replace("5\n", "\u{0}5\n"), E::Characters),
        (format!("{TEXT}\n\u{2014} log.example AAAAAA==\n"), E::SignatureLine),
        (format!("{TEXT}\n\u{2014} log.example AAAAAAA\n"), E::SignatureLine),
        (format!("{TEXT}\n\u{2014} log.example AAAAAAB=\n"), E::SignatureLine),
        (format!("{TEXT}\n\u{2014} log+example AAAAAAA=\n"), E::SignatureLine),
        (format!("{TEXT}\n\u{2014} log\u{a0}example AAAAAAA=\n"), E::SignatureLine),
        (format!("{TEXT}\n\u{2014}  AAAAAAA=\n"), E::SignatureLine),
        (format!("{TEXT}\n{}", format!("{line}\n").repeat(101)), E::TooLarge),
        (format!("{}\n{line}\n", "x\n".repeat(MAX_NOTE / 2)), E::TooLarge),
    ] {
        assert_eq!(Note::parse(bytes.as_bytes()), Err(error), "{bytes:.300?}");
    }
    assert_eq!(Note::parse(b"\xff\n\n"), Err(E::Characters));
    assert!(Note::parse(format!("{TEXT}\n{}", format!("{line}\n").repeat(100)).as_bytes()).is_ok());
    assert_eq!(Note::new("no newline".into()), Err(E::Text));
}

#[test]
fn verifier_keys_have_one_text() {
    let plain = vkey("log.example", 1);
    let cosigner = witness("log.example", 1);
    assert_ne!(plain.id(), cosigner.id());
    for key in [&plain, &cosigner] {
        assert_eq!(key.to_string().parse().as_ref(), Ok(key));
    }
    let text = plain.to_string();
    use ParseVerifierKeyError as E;
    let (head, tail) = text.rsplit_once('+').unwrap();
    for (text, error) in [
        (String::new(), E::Form),
        (head.to_owned(), E::Form),
        (format!("+{text}"), E::Form),
        (text.replace("log.", "log "), E::Form),
        (text.replace("log.", "lag."), E::Hash),
        (text.replace("log.example+", "log.example+0"), E::Hash),
        (head.to_uppercase() + "+" + tail, E::Hash),
        (format!("{text}AA="), E::Form),
        (text.trim_end_matches('=').to_owned() + "AAAA", E::Form),
        (format!("{head}+Ag{}", &tail[2..]), E::Algorithm),
        (format!("{head}+AQ{}", "A".repeat(42)), E::Key),
    ] {
        assert_eq!(text.parse::<VerifierKey>(), Err(error), "{text}");
    }
}

#[test]
fn a_policy_counts_witnesses_and_names_who_is_missing() {
    let (a, b, c) = (witness("a.example", 3), witness("b.example", 4), witness("c.example", 5));
    let all = vec![a.clone(), b.clone(), c.clone()];
    let policy = |quorum| WitnessPolicy::new(all.clone(), quorum).unwrap();
    let mut note = signed();
    assert_eq!(policy(0).check(&note), Ok(vec![]));
    note.add(cosign(&note, b.name(), &key(4), UnixSeconds(9)).unwrap()).unwrap();
    // An unknown witness, and a known one that cosigns again, do not add up.
    note.add(cosign(&note, &name("d.example"), &key(6), UnixSeconds(9)).unwrap()).unwrap();
    let again = cosign(&note, b.name(), &key(4), UnixSeconds(10)).unwrap();
    note.signatures.push(again);
    assert_eq!(policy(1).check(&note), Ok(vec![(b.name().clone(), UnixSeconds(10))]));
    let err = policy(2).check(&note).unwrap_err();
    assert_eq!(
        err.to_string(),
        "1 of the 2 cosignatures that are demanded; missing: a.example, c.example"
    );
    let mut bad = cosign(&note, a.name(), &key(3), UnixSeconds(9)).unwrap();
    bad.bytes[30] ^= 1;
    note.add(bad).unwrap();
    assert_eq!(policy(1).check(&note), Err(PolicyError::BadCosignature(a.name().clone())));

    assert_eq!(WitnessPolicy::new(all, 4), Err(BadPolicy::Quorum { quorum: 4, witnesses: 3 }));
    assert_eq!(
        WitnessPolicy::new(vec![a.clone(), witness("z.example", 3)], 2),
        Err(BadPolicy::Twice(name("z.example")))
    );
    assert_eq!(
        WitnessPolicy::new(vec![vkey("a.example", 3)], 1),
        Err(BadPolicy::NotAWitness(name("a.example")))
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_parses_has_one_form(text in "[a\n\u{2014} ]{0,40}", tail in "[\u{2014} a=A\n]{0,40}") {
        let line = signed().signatures()[0].to_string();
        for bytes in [format!("{text}\n\n{line}\n{tail}"), format!("{text}{tail}")] {
            if let Ok(note) = Note::parse(bytes.as_bytes()) {
                prop_assert_eq!(note.encode(), bytes);
            }
        }
    }

    #[test]
    fn names_come_back(text in "\\PC{0,20}") {
        if let Ok(name) = text.parse::<KeyName>() {
            prop_assert_eq!(name.as_str(), &text);
            let key = VerifierKey::new(name, Algorithm::CosignatureV1, key(1).public());
            prop_assert_eq!(key.to_string().parse(), Ok(key));
        }
    }
}
