//! The published vectors, faults, and the queue.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
};

use rsa::{BoxedUint, RsaPrivateKey, pkcs1::EncodeRsaPrivateKey, traits::PrivateKeyParts};
use serde_json::Value;

use super::*;
use crate::keys::generate_rsa;

const THREADS: NonZeroUsize = NonZeroUsize::new(2).unwrap();

fn vectors() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol-spec/vectors/rfc9474.json");
    let text = std::fs::read(path).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn bytes(vector: &Value, field: &str) -> Vec<u8> {
    let text = vector[field].as_str().unwrap().trim_start_matches("0x");
    data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).unwrap()
}

/// The vector's key as PKCS#1, assembled by another implementation.
fn pkcs1(vector: &Value) -> Vec<u8> {
    let number = |field| BoxedUint::from_be_slice_vartime(&bytes(vector, field));
    let primes = vec![number("p"), number("q")];
    let key = RsaPrivateKey::from_components(number("n"), number("e"), number("d"), primes);
    let key = key.unwrap();
    assert_eq!(key.primes().len(), 2);
    key.to_pkcs1_der().unwrap().as_bytes().to_vec()
}

fn new_key() -> Arc<raw::PrivateKey> {
    Arc::new(raw::PrivateKey::from_pkcs1(&generate_rsa().unwrap().private).unwrap())
}

/// A message below every modulus of 2048 bits.
fn message(number: u8) -> [u8; RSA] {
    let mut message = [0x5a; RSA];
    (message[0], message[RSA - 1]) = (0x10, number);
    message
}

#[test]
fn the_blind_signatures_of_rfc_9474() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 4);
    for vector in &vectors {
        let key = raw::PrivateKey::from_pkcs1(&pkcs1(vector)).unwrap();
        assert_eq!(key.modulus(), bytes(vector, "n"));
        let mut signature = vec![0; key.modulus().len()];
        blind_sign_into(&key, &bytes(vector, "blinded_msg"), &mut signature).unwrap();
        assert_eq!(signature, bytes(vector, "blind_sig"), "{}", vector["name"]);
    }
}

#[test]
fn numbers_out_of_range_are_not_signed() {
    let key = new_key();
    let modulus: [u8; RSA] = key.modulus().try_into().unwrap();
    let minus = |less: u8| {
        let mut number = modulus;
        number[RSA - 1] -= less; // the modulus is odd, so that one borrows nothing
        number
    };
    let small = |value: u8| {
        let mut number = [0; RSA];
        number[RSA - 1] = value;
        number
    };
    for refused in [modulus, [0xff; RSA], minus(1), small(0), small(1)] {
        assert_eq!(blind_sign(&*key, &refused), Err(SignError::OutOfRange));
        assert!(!in_range(&refused, &modulus));
    }
    assert!(blind_sign(&*key, &small(2)).is_ok());
    let mut other_length = [0; RSA - 1];
    let short = blind_sign_into(&*key, &message(0)[1..], &mut other_length);
    assert_eq!(short, Err(SignError::OutOfRange));
    assert!(!in_range(&[], &modulus));
}

#[test]
fn a_damaged_key_is_refused_before_it_signs() {
    let private = generate_rsa().unwrap().private;
    // Every part of the key: modulus, exponents, primes, CRT values.
    for at in (30..private.len()).step_by(private.len() / 40) {
        let mut damaged = private.to_vec();
        damaged[at] ^= 0x04;
        assert!(raw::PrivateKey::from_pkcs1(&damaged).is_err(), "byte {at}");
    }
}

/// A key whose private operation is wrong in one bit: a fault in memory, or in the processor.
struct FaultyKey(Arc<raw::PrivateKey>);

impl Operations for FaultyKey {
    fn modulus(&self) -> &[u8] {
        self.0.modulus()
    }

    fn private(&self, input: &[u8], output: &mut [u8]) -> Result<(), RsaFault> {
        self.0.private(input, output)?;
        output[RSA - 1] ^= 0x20;
        Ok(())
    }

    fn public(&self, input: &[u8], output: &mut [u8]) -> Result<(), RsaFault> {
        self.0.public(input, output)
    }
}

#[test]
fn a_fault_gives_an_error_and_no_signature() {
    let key = FaultyKey(new_key());
    let mut signature = [0xee; RSA];
    assert_eq!(blind_sign_into(&key, &message(1), &mut signature), Err(SignError::Fault));
    assert_eq!(signature, [0; RSA]);
}

#[tokio::test]
async fn one_fault_withholds_the_whole_pack() {
    let good = new_key();
    let signer: Signer<FaultyKey> = Signer::start(THREADS, 100).unwrap();
    let key = Arc::new(FaultyKey(good));
    let jobs = (0..10).map(|number| Job { key: key.clone(), message: message(number) });
    assert_eq!(signer.sign(jobs.collect()).await, Err(SignError::Fault));
}

#[tokio::test]
async fn a_pack_is_signed_in_its_order() {
    let keys = [new_key(), new_key()];
    let signer = Signer::start(THREADS, 1_000).unwrap();
    let jobs = (0..60)
        .map(|number| Job { key: keys[usize::from(number) % 2].clone(), message: message(number) });
    let signatures = signer.sign(jobs.collect()).await.unwrap();
    for (number, signature) in (0..60).zip(&signatures) {
        let mut opened = [0; RSA];
        keys[usize::from(number) % 2].public(signature, &mut opened).unwrap();
        assert_eq!(opened, message(number));
    }
    assert_eq!(signer.sign(Vec::new()).await, Ok(Vec::new()));
}

/// Holds its thread until it is let go.
struct BlockingKey {
    modulus: [u8; RSA],
    entered: Sender<()>,
    released: Mutex<Receiver<()>>,
}

impl Operations for BlockingKey {
    fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    fn private(&self, input: &[u8], output: &mut [u8]) -> Result<(), RsaFault> {
        self.entered.send(()).map_err(|_| RsaFault)?;
        self.released.lock().unwrap().recv().map_err(|_| RsaFault)?;
        output.copy_from_slice(input);
        Ok(())
    }

    fn public(&self, input: &[u8], output: &mut [u8]) -> Result<(), RsaFault> {
        output.copy_from_slice(input);
        Ok(())
    }
}

#[tokio::test]
async fn a_full_queue_refuses_and_a_client_that_left_is_not_served() {
    let (entered, is_entered) = channel();
    let (release, released) = channel();
    let key = BlockingKey { modulus: [0xff; RSA], entered, released: Mutex::new(released) };
    let key = Arc::new(key);
    let jobs = |count: u8| -> Vec<Job<BlockingKey>> {
        (0..count).map(|number| Job { key: key.clone(), message: message(number) }).collect()
    };
    let signer = Signer::start(NonZeroUsize::MIN, 3).unwrap();
    assert_eq!(signer.sign(jobs(4)).await, Err(SignError::Overloaded));

    let first = signer.shared.enqueue(jobs(1)).unwrap();
    is_entered.recv().unwrap(); // the one thread holds it
    let left = signer.shared.enqueue(jobs(2)).unwrap();
    let waiting = signer.shared.enqueue(jobs(1)).unwrap();
    assert_eq!(signer.sign(jobs(1)).await, Err(SignError::Overloaded));

    drop(left);
    release.send(()).unwrap();
    assert_eq!(first.await.unwrap(), Ok(vec![message(0)]));
    release.send(()).unwrap(); // the very next signature is that of the one who waits
    assert_eq!(waiting.await.unwrap(), Ok(vec![message(0)]));
    assert_eq!(is_entered.try_iter().count(), 1);
}

#[tokio::test]
async fn a_panic_in_a_key_is_a_fault_and_the_thread_lives_on() {
    struct PanickingKey;
    impl Operations for PanickingKey {
        fn modulus(&self) -> &[u8] {
            &[0xff; RSA]
        }
        fn private(&self, _: &[u8], _: &mut [u8]) -> Result<(), RsaFault> {
            panic!("a bug");
        }
        fn public(&self, _: &[u8], _: &mut [u8]) -> Result<(), RsaFault> {
            Err(RsaFault)
        }
    }
    let signer = Signer::start(NonZeroUsize::MIN, 10).unwrap();
    for _ in 0..2 {
        let job = Job { key: Arc::new(PanickingKey), message: message(1) };
        assert_eq!(signer.sign(vec![job]).await, Err(SignError::Fault));
    }
}
