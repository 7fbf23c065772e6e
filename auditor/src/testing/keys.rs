//! RSA keys for tests, made once in a process.

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{KeyPair, RSA_PSS_SHA384, RsaKeyPair},
};
use scrip_protocol::{id::KeyId, rsa::TokenPublicKey};

/// An RSA key that signs certificates. What is signed without blinding is the same as what is signed with.
pub struct TestKey {
    pair: RsaKeyPair,
    public: TokenPublicKey,
}

impl TestKey {
    /// A new key.
    ///
    /// # Panics
    /// Where the library makes none.
    pub fn generate() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        let der = pair.public_key().as_ref();
        // RSAPublicKey (RFC 8017): two heads and a zero byte before the modulus, INTEGER 65537 after it.
        let modulus = der[9..265].try_into().expect("256 bytes");
        let public = TokenPublicKey::from_modulus(modulus).expect("an RSA-2048 key");
        Self { pair, public }
    }

    /// The key's id.
    pub fn id(&self) -> KeyId {
        self.public.id()
    }

    /// Its modulus.
    pub fn modulus(&self) -> &[u8; 256] {
        self.public.modulus()
    }

    /// An RSASSA-PSS signature with SHA-384 and a salt of 48 bytes.
    ///
    /// # Panics
    /// Where the library does not sign.
    pub fn sign(&self, message: &[u8]) -> [u8; 256] {
        let mut signature = [0; 256];
        let signed = self.pair.sign(&RSA_PSS_SHA384, &SystemRandom::new(), message, &mut signature);
        signed.expect("a signature");
        signature
    }

    /// The private key, in PKCS#8.
    ///
    /// # Panics
    /// Where the library does not encode it.
    pub fn pkcs8(&self) -> Vec<u8> {
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = self.pair.as_der().expect("an encoding");
        der.as_ref().to_vec()
    }
}

/// The key with this number: the same one for the whole life of the process. Their ids end in different bytes.
pub fn test_key(number: usize) -> Arc<TestKey> {
    static KEYS: Mutex<Vec<Arc<TestKey>>> = Mutex::new(Vec::new());
    let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    while keys.len() <= number {
        let key = TestKey::generate();
        let last_byte = |key: &TestKey| key.id().as_bytes()[31];
        if keys.iter().all(|held| last_byte(held) != last_byte(&key)) {
            keys.push(Arc::new(key));
        }
    }
    keys[number].clone()
}
