//! The check that all parties share: honest spends pass, each kind of bad one is named, and the batch decides as the single check does.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod world;

use curve25519_dalek::constants::EIGHT_TORSION;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use scrip_protocol::check::{Rejection, Spend, check_batch, check_one};
use scrip_protocol::keys::Signature;
use scrip_protocol::payment::Evidence;
use scrip_protocol::redemption::{ConflictProof, ConflictProofError};
use scrip_protocol::spend::SpendKind;
use world::World;

fn evidence(world: &World, n: u16) -> Vec<Evidence> {
    let certificates: Vec<_> = (0..n).map(|i| world.certificate((i % 3) as u8, i)).collect();
    let paid = world.paid_request(&certificates, 9);
    paid.payment.evidence(&paid.resource_request)
}

fn spend<'a>(world: &'a World, evidence: &'a Evidence) -> Spend<'a> {
    Spend {
        token: &evidence.item.token,
        key: world.manifest.key(&evidence.item.token.key_id).unwrap(),
        kind: SpendKind::Spend,
        binding: evidence.binding,
        signature: &evidence.item.signature,
    }
}

fn both(world: &World, all: &[Evidence]) -> Vec<Result<(), Rejection>> {
    let spends: Vec<_> = all.iter().map(|e| spend(world, e)).collect();
    let single: Vec<_> = spends.iter().map(check_one).collect();
    let batch = check_batch(&spends, &mut ChaCha8Rng::seed_from_u64(1));
    assert_eq!(single, batch, "the single and the batch check disagree");
    batch
}

#[test]
fn honest_spends_pass_and_bad_ones_are_named_in_any_company() {
    let world = World::new();
    let honest = evidence(&world, 9);
    assert_eq!(both(&world, &honest), vec![Ok(()); 9]);

    let mut bad = honest.clone();
    bad[1].item.token.authenticator[200] ^= 1;
    bad[3].item.signature = bad[4].item.signature;
    bad[5].binding = bad[6].binding;
    bad[7].item.token.nonce = [0; 32];
    let expected = [
        Ok(()),
        Err(Rejection::CertificateSignature),
        Ok(()),
        Err(Rejection::SpendSignature),
        Ok(()),
        Err(Rejection::SpendSignature),
        Ok(()),
        Err(Rejection::CertificateKey),
        Ok(()),
    ];
    assert_eq!(both(&world, &bad), expected);
    assert_eq!(both(&world, &[]), []);
}

#[test]
fn a_certificate_does_not_pass_under_another_key_or_with_another_nonce() {
    let world = World::new();
    let mut all = evidence(&world, 2);
    let (first, second) = (all[0].item.token.clone(), all[1].item.token.clone());
    all[0].item.token.key_id = second.key_id;
    all[1].item.token.nonce = first.nonce;
    assert_eq!(both(&world, &all), vec![Err(Rejection::CertificateSignature); 2]);
}

/// Signatures on which plain Ed25519 libraries disagree between single and batch: R of small order, R that is not reduced,
/// s not reduced, and R with a component of small order added.
#[test]
fn odd_signatures_are_decided_alike() {
    let world = World::new();
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let honest = evidence(&world, 3);
    for round in 0..200 {
        let mut all = honest.clone();
        let mut signature = *all[1].item.signature.as_bytes();
        match round % 4 {
            0 => signature[..32].copy_from_slice(EIGHT_TORSION[round % 8].compress().as_bytes()),
            1 => {
                signature[0] = 0xee;
                signature[1..31].fill(0xff);
                signature[31] = 0x7f;
            }
            2 => signature[63] |= 0xe0,
            _ => {
                let r = curve25519_dalek::edwards::CompressedEdwardsY(
                    signature[..32].try_into().unwrap(),
                );
                let shifted =
                    r.decompress().unwrap() + EIGHT_TORSION[1 + rng.next_u32() as usize % 7];
                signature[..32].copy_from_slice(shifted.compress().as_bytes());
            }
        }
        all[1].item.signature = Signature::from_bytes(signature);
        let results = both(&world, &all);
        assert_eq!((results[0], results[2]), (Ok(()), Ok(())));
    }
}

#[test]
fn a_conflict_proof_is_by_this_key_on_another_binding() {
    let world = World::new();
    let certificate = world.certificate(0, 0);
    let bind = |salt| {
        let paid = world.paid_request(std::slice::from_ref(&certificate), salt);
        paid.payment.evidence(&paid.resource_request).remove(0)
    };
    let (here, elsewhere) = (bind(1), bind(2));
    let nonce = certificate.token().nonce;
    let proof = ConflictProof {
        certificate_key: certificate.key(),
        kind: SpendKind::Spend,
        other_binding: elsewhere.binding,
        other_signature: elsewhere.item.signature,
    };
    assert_eq!(proof.verify(&nonce, &here.binding), Ok(()));
    assert_eq!(proof.verify(&nonce, &elsewhere.binding), Err(ConflictProofError::SameBinding));
    assert_eq!(proof.verify(&[9; 32], &here.binding), Err(ConflictProofError::OtherCertificate));
    let forged = ConflictProof { other_binding: world_binding(7), ..proof };
    assert_eq!(forged.verify(&nonce, &here.binding), Err(ConflictProofError::Signature));
    let renewed = ConflictProof { kind: SpendKind::Renewal, ..proof };
    let refused = renewed.verify(&nonce, &here.binding);
    assert_eq!(refused, Err(ConflictProofError::Signature), "a spend is no renewal");
}

fn world_binding(byte: u8) -> scrip_protocol::spend::Binding {
    scrip_protocol::spend::Binding::from_bytes([byte; 32])
}
