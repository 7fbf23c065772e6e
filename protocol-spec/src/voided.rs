//! Lists of voided certificates (voided.md): what a restored wallet looks through to see what its earlier life has spent.
//!
//! In scope: how a list follows from what was voided, how it is named and signed, and how somebody looks something up. Out of scope:
//! when a vendor publishes one, and where it is got from.

use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::{Label, hash};
use crate::id::VendorId;
use crate::keys::{BadSignature, PublicKey, Signature, SigningKey};
use crate::ledger::{VoidedCommitment, VoidedSalt};
use crate::limits::{MAX_VOIDED_BUCKETS, MAX_VOIDED_CAPACITY, MAX_VOIDED_INDEX};
use crate::time::Day;
use crate::tlog::proof::MAX_LOG_PROOF;

/// Bytes of an entry.
pub const ENTRY: usize = 8;
/// The exponent of the entries of a bucket, where it is the only one.
const SMALLEST: u8 = 10;
/// The same where there are several.
const FULL: u8 = 16;
/// How many certificates a bucket has at most on the average: 16 standard deviations below `2^FULL`.
const LOAD: u64 = 61_440;

/// What a certificate was voided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Voided {
    /// An operator redeemed it.
    Redeemed,
    /// Its holder had it renewed.
    Renewed,
}

/// What an edition is of. With the certificates that were voided it gives the list, to the byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edition {
    /// The vendor.
    pub vendor_id: VendorId,
    /// The epoch of the certificates.
    pub epoch: u32,
    /// Its number: 1, 2, … of this epoch.
    pub number: u32,
    /// The list has everything that was recorded before this day.
    pub day: Day,
    /// It has the redemptions and renewals of the ledger's leaves before this one, and no others.
    pub covered: u64,
    /// Random; whoever has it tells padding from entries.
    pub salt: [u8; 32],
}

/// A list: its index, and its buckets in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoidedList {
    /// What is signed.
    pub index: VoidedIndex,
    /// Each of `2^capacity` entries.
    pub buckets: Vec<Vec<u8>>,
}

/// What is signed of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoidedIndex {
    /// The vendor.
    pub vendor_id: VendorId,
    /// The epoch of the certificates.
    pub epoch: u32,
    /// The edition's number.
    pub edition: u32,
    /// See [`Edition::day`].
    pub day: Day,
    /// See [`Edition::covered`].
    pub covered: u64,
    /// What certificate keys are hashed with, new for each edition.
    pub key: [u8; 32],
    /// Each bucket has `2^capacity` entries.
    pub capacity: u8,
    /// The hash of each bucket; a power of two of them.
    pub buckets: Vec<[u8; 32]>,
}

/// An index with the vendor's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedVoidedIndex {
    index: VoidedIndex,
    signature: Signature,
}

/// A signed index with the proof that the ledger commits to it (the file `voided/<epoch>/newest`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenIndex {
    /// The signed index.
    pub index: Vec<u8>,
    /// A C2SP `tlog-proof` of its commitment.
    pub proof: Vec<u8>,
}

/// Where a certificate would stand in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the bucket.
    pub bucket: u32,
    entry: u64,
    mask: u64,
}

/// A bucket whose hash is that of its index.
#[derive(Debug)]
pub struct Bucket(Vec<u64>);

/// Why bytes are not the bucket of an index. The fault of whoever served them; where the hash is right, of the vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBucket {
    /// There is no bucket of this number, or it has another length or hash.
    #[error("the bucket is not the one that the index names")]
    Other,
    /// It is out of order, or has entries that belong into another.
    #[error("the vendor signed for a bucket that is not in order")]
    Disorder,
}

impl Edition {
    /// The list of what was voided. The order does not matter; it takes eight bytes of memory for each.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`] where there are more than `MAX_VOIDED_BUCKETS` buckets can hold.
    pub fn list(
        &self,
        voided: impl IntoIterator<Item = ([u8; 32], Voided)>,
    ) -> Result<VoidedList, DecodeError> {
        let key = self.key();
        let entry = |(certificate, what): ([u8; 32], Voided)| {
            let (entry, mask) = entry(&key, &certificate);
            entry | (mask ^ u64::from(what == Voided::Renewed))
        };
        let mut entries: Vec<u64> = voided.into_iter().map(entry).collect();
        entries.sort_unstable();
        let mut bits = 0;
        while entries.len() as u64 > LOAD << bits {
            bits += 1;
        }
        if 1_usize << bits > MAX_VOIDED_BUCKETS {
            return Err(DecodeError::TooLarge { limit: MAX_VOIDED_BUCKETS });
        }
        let mut shares = Vec::with_capacity(1 << bits);
        let mut rest = entries.as_slice();
        for bucket in 0..1_u64 << bits {
            let end = rest.partition_point(|entry| bucket_of(*entry, bits) <= bucket);
            let (share, later) = rest.split_at(end);
            shares.push(share);
            rest = later;
        }
        let load = shares.iter().map(|share| share.len()).max().unwrap_or_default();
        let mut capacity = if bits == 0 { SMALLEST } else { FULL };
        while load > 1 << capacity {
            capacity += 1;
        }
        if capacity > MAX_VOIDED_CAPACITY {
            return Err(DecodeError::TooLarge { limit: 1 << MAX_VOIDED_CAPACITY });
        }
        let fill = |(number, share)| self.fill(number, share, bits, capacity);
        let buckets: Vec<Vec<u8>> = (0..).zip(shares).map(fill).collect();
        let index = VoidedIndex {
            vendor_id: self.vendor_id,
            epoch: self.epoch,
            edition: self.number,
            day: self.day,
            covered: self.covered,
            key,
            capacity,
            buckets: buckets.iter().map(|bucket| bucket_digest(bucket)).collect(),
        };
        Ok(VoidedList { index, buckets })
    }

    /// What certificate keys are hashed with: nobody can know it before the edition is out, and so nobody can fill a bucket on purpose.
    fn key(&self) -> [u8; 32] {
        let parts: [&[u8]; 4] = [
            self.vendor_id.as_bytes(),
            &self.epoch.to_be_bytes(),
            &self.number.to_be_bytes(),
            &self.salt,
        ];
        hash(Label::VoidedKey, &parts)
    }

    /// A bucket with its padding, in order.
    fn fill(&self, number: u32, share: &[u64], bits: u32, capacity: u8) -> Vec<u8> {
        let mut all = share.to_vec();
        for block in 0_u32.. {
            let parts: [&[u8]; 3] = [&self.salt, &number.to_be_bytes(), &block.to_be_bytes()];
            let random = hash(Label::VoidedPadding, &parts);
            for chunk in random.as_chunks::<ENTRY>().0 {
                if all.len() == 1 << capacity {
                    break;
                }
                let free = u64::from_be_bytes(*chunk);
                let prefix = u64::from(number).checked_shl(64 - bits).unwrap_or_default();
                all.push(prefix | free.checked_shr(bits).unwrap_or_default());
            }
            if all.len() == 1 << capacity {
                break;
            }
        }
        all.sort_unstable();
        all.iter().flat_map(|entry| entry.to_be_bytes()).collect()
    }

    /// The private leaf that lets auditors make the list again.
    pub const fn salt_leaf(&self) -> VoidedSalt {
        VoidedSalt { epoch: self.epoch, edition: self.number, salt: self.salt }
    }
}

/// An entry without its last bit, and what that bit is masked with: else the share of ones would tell padding from entries.
fn entry(key: &[u8; 32], certificate: &[u8; 32]) -> (u64, u64) {
    let hash = hash(Label::Voided, &[key, certificate]);
    let [a, b, c, d, e, f, g, h, mask, ..] = hash;
    (u64::from_be_bytes([a, b, c, d, e, f, g, h]) & !1, u64::from(mask & 1))
}

/// The first `bits` bits.
fn bucket_of(entry: u64, bits: u32) -> u64 {
    entry.checked_shr(64 - bits).unwrap_or_default()
}

fn bucket_digest(bucket: &[u8]) -> [u8; 32] {
    hash(Label::VoidedBucket, &[bucket])
}

impl VoidedIndex {
    /// What is signed, and hashed for the ledger.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(128 + self.buckets.len() * 32);
        writer
            .put(self.vendor_id.as_bytes())
            .u32(self.epoch)
            .u32(self.edition)
            .u32(self.day.0)
            .u64(self.covered)
            .put(&self.key)
            .u8(self.capacity)
            .nested(3, |writer| {
                for digest in &self.buckets {
                    writer.put(digest);
                }
            });
        writer.into_bytes()
    }

    /// The public leaf that commits to it.
    pub fn commitment(&self) -> VoidedCommitment {
        VoidedCommitment {
            epoch: self.epoch,
            edition: self.edition,
            day: self.day,
            covered: self.covered,
            digest: hash(Label::VoidedIndexDigest, &[&self.encode()]),
        }
    }

    /// Signs it.
    pub fn sign(&self, receipt_key: &SigningKey) -> Vec<u8> {
        let mut bytes = self.encode();
        let signature = receipt_key.sign(Label::VoidedIndex, &bytes);
        bytes.extend_from_slice(signature.as_bytes());
        bytes
    }

    /// How many bits of an entry choose its bucket.
    pub const fn bits(&self) -> u32 {
        self.buckets.len().trailing_zeros()
    }

    /// Bytes of each bucket.
    pub const fn bucket_size(&self) -> usize {
        ENTRY << self.capacity
    }

    /// Where a certificate would stand.
    pub fn place(&self, certificate: &[u8; 32]) -> Place {
        let (entry, mask) = entry(&self.key, certificate);
        // Fewer than 2^32 buckets.
        Place { bucket: bucket_of(entry, self.bits()) as u32, entry, mask }
    }

    /// Checks that `bytes` are the bucket `number`.
    ///
    /// # Errors
    /// [`BadBucket`].
    pub fn open_bucket(&self, number: u32, bytes: &[u8]) -> Result<Bucket, BadBucket> {
        let expected = self.buckets.get(number as usize).ok_or(BadBucket::Other)?;
        if bytes.len() != self.bucket_size() || bucket_digest(bytes) != *expected {
            return Err(BadBucket::Other);
        }
        let entries: Vec<u64> =
            bytes.as_chunks::<ENTRY>().0.iter().map(|entry| u64::from_be_bytes(*entry)).collect();
        let here = |entry: &u64| bucket_of(*entry, self.bits()) == u64::from(number);
        if !entries.is_sorted() || !entries.iter().all(here) {
            return Err(BadBucket::Disorder);
        }
        Ok(Bucket(entries))
    }
}

impl Bucket {
    /// Whether the certificate of this place is in the list. That one which is not is found all the same has, for n entries, a chance
    /// of n / 2^63.
    pub fn find(&self, place: &Place) -> Option<Voided> {
        let at = self.0.partition_point(|entry| *entry < place.entry);
        let found = self.0.get(at).filter(|entry| **entry & !1 == place.entry)?;
        Some(if (found & 1) ^ place.mask == 1 { Voided::Renewed } else { Voided::Redeemed })
    }
}

impl SignedVoidedIndex {
    /// Parses a signed index. Nothing is verified yet.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, MAX_VOIDED_INDEX)?;
        let index = VoidedIndex {
            vendor_id: VendorId::from_bytes(reader.array()?),
            epoch: reader.u32()?,
            edition: reader.u32()?,
            day: Day(reader.u32()?),
            covered: reader.u64()?,
            key: reader.array()?,
            capacity: reader.u8()?,
            buckets: {
                let (digests, rest) = reader.vec24()?.as_chunks::<32>();
                if !rest.is_empty() || !digests.len().is_power_of_two() {
                    return Err(DecodeError::BadLength);
                }
                digests.to_vec()
            },
        };
        let signature = Signature::from_bytes(reader.array()?);
        reader.finish()?;
        if index.capacity > MAX_VOIDED_CAPACITY || index.buckets.len() > MAX_VOIDED_BUCKETS {
            return Err(DecodeError::BadValue("capacity"));
        }
        Ok(Self { index, signature })
    }

    /// The encoded index with its signature.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.index.encode();
        bytes.extend_from_slice(self.signature.as_bytes());
        bytes
    }

    /// What it says, which nobody has vouched for.
    pub const fn unverified(&self) -> &VoidedIndex {
        &self.index
    }

    /// What it says, if the vendor with this receipt key has signed it.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, receipt_key: &PublicKey) -> Result<&VoidedIndex, BadSignature> {
        receipt_key.verify(Label::VoidedIndex, &self.index.encode(), &self.signature)?;
        Ok(&self.index)
    }
}

impl ProvenIndex {
    /// The encoded pair.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(8 + self.index.len() + self.proof.len());
        writer.nested(3, |writer| {
            writer.put(&self.index);
        });
        writer.nested(3, |writer| {
            writer.put(&self.proof);
        });
        writer.into_bytes()
    }

    /// Parses a pair. Nothing is verified yet.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, MAX_PROVEN_INDEX)?;
        let index = reader.vec24()?.to_vec();
        let proof = reader.vec24()?.to_vec();
        reader.finish()?;
        Ok(Self { index, proof })
    }
}

/// Bytes of an index with its proof.
pub const MAX_PROVEN_INDEX: usize = 3 + MAX_VOIDED_INDEX + 3 + MAX_LOG_PROOF;

#[cfg(test)]
mod tests {
    use super::*;

    fn edition(number: u32) -> Edition {
        Edition {
            vendor_id: VendorId::from_bytes([1; 32]),
            epoch: 7,
            number,
            day: Day(20_000),
            covered: 512,
            salt: [9; 32],
        }
    }

    fn key(number: u64) -> [u8; 32] {
        let mut key = [3; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        key
    }

    fn voided(count: u64) -> impl Iterator<Item = ([u8; 32], Voided)> {
        let kind = |n| if n % 3 == 0 { Voided::Renewed } else { Voided::Redeemed };
        (0..count).map(move |n| (key(n), kind(n)))
    }

    fn look_up(list: &VoidedList, number: u64) -> Option<Voided> {
        let place = list.index.place(&key(number));
        let bytes = &list.buckets[place.bucket as usize];
        list.index.open_bucket(place.bucket, bytes).unwrap().find(&place)
    }

    #[test]
    fn what_was_voided_is_found_and_nothing_else() {
        for (count, buckets, capacity) in
            [(0, 1, 10), (1_024, 1, 10), (1_025, 1, 11), (61_440, 1, 16), (61_441, 2, 16)]
        {
            let list = edition(1).list(voided(count)).unwrap();
            assert_eq!((list.buckets.len(), list.index.capacity), (buckets, capacity), "{count}");
            assert!(list.buckets.iter().all(|bucket| bucket.len() == 8 << capacity));
            for (number, (_, kind)) in (0..).zip(voided(count)).step_by(97) {
                assert_eq!(look_up(&list, number), Some(kind), "{count}: {number}");
            }
            for number in count..count + 1_000 {
                assert_eq!(look_up(&list, number), None, "{count}: {number}");
            }
        }
    }

    #[test]
    fn the_order_does_not_matter_and_everything_else_does() {
        let all: Vec<_> = voided(2_000).collect();
        let list = edition(1).list(all.clone()).unwrap();
        assert_eq!(edition(1).list(all.iter().rev().copied()).unwrap(), list);
        assert_ne!(edition(1).list(all[1..].to_vec()).unwrap().index, list.index);
        let other = Edition { salt: [8; 32], ..edition(1) }.list(all).unwrap();
        assert_ne!(other.buckets, list.buckets);
    }

    /// Whoever compares two editions would see what stays, and so what is padding, if entries had the same value in both.
    #[test]
    fn two_editions_have_nothing_in_common() {
        let entries = |number: u32| {
            let salt = [number as u8; 32];
            let list = Edition { salt, ..edition(number) }.list(voided(900)).unwrap();
            let entries = list.buckets.concat();
            entries.as_chunks::<8>().0.iter().copied().collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(entries(1).intersection(&entries(2)).count(), 0);
    }

    /// All of one kind: the last bits must still be those of padding, about as many ones as zeros.
    #[test]
    fn kinds_do_not_tell_how_much_is_padding() {
        let redeemed = (0..900).map(|n| (key(n), Voided::Redeemed));
        let bucket = edition(1).list(redeemed).unwrap().buckets.concat();
        let ones = bucket.as_chunks::<8>().0.iter().filter(|entry| entry[7] & 1 == 1).count();
        assert!((400..624).contains(&ones), "{ones} of 1024");
    }

    #[test]
    fn a_bucket_is_the_one_that_was_signed_for() {
        let list = edition(1).list(voided(70_000)).unwrap();
        let open = |number, bytes: &[u8]| list.index.open_bucket(number, bytes).map(drop);
        assert_eq!(open(0, &list.buckets[0]), Ok(()));
        assert_eq!(open(1, &list.buckets[0]), Err(BadBucket::Other));
        assert_eq!(open(2, &list.buckets[0]), Err(BadBucket::Other));
        let mut changed = list.buckets[0].clone();
        changed[70] ^= 1;
        assert_eq!(open(0, &changed), Err(BadBucket::Other));
        assert_eq!(open(0, &changed[8..]), Err(BadBucket::Other));
        let mut index = list.index.clone();
        changed.copy_from_slice(&list.buckets[1]);
        index.buckets[0] = bucket_digest(&changed);
        assert_eq!(index.open_bucket(0, &changed).map(drop), Err(BadBucket::Disorder));
    }

    #[test]
    fn a_signature_is_of_one_vendor() {
        let receipt = SigningKey::from_seed(&[2; 32]);
        let index = edition(1).list(voided(3)).unwrap().index;
        let signed = index.sign(&receipt);
        let read = SignedVoidedIndex::decode(&signed).unwrap();
        assert_eq!(read.encode(), signed);
        assert_eq!(read.verify(&receipt.public()), Ok(&index));
        assert!(read.verify(&SigningKey::from_seed(&[3; 32]).public()).is_err());
    }
}
