//! Why something that calls itself signed by Apple is not believed.

/// What is wrong with it. The sender's fault, all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Untrusted {
    /// Longer than anything that Apple signs.
    TooLarge,
    /// Not three parts of base64url.
    Encoding,
    /// The header is not what Apple writes.
    Header,
    /// The header names another algorithm than ES256.
    Algorithm,
    /// Not exactly three certificates.
    CertificateCount,
    /// They do not lead to Apple's root, or not at the time of the signature.
    Chain,
    /// The signer's certificate is not for the App Store.
    LeafMarker,
    /// Its issuer's certificate is not for those who sign in the App Store.
    IntermediateMarker,
    /// The signature is not of these bytes by this key.
    Signature,
    /// It is signed, but is not what it should be.
    Payload,
    /// It was signed later than now.
    Future,
}

impl Untrusted {
    /// For the sender.
    pub(super) fn detail(self) -> &'static str {
        match self {
            Self::TooLarge => "the signed data is larger than what Apple sends",
            Self::Encoding => "the signed data is not a JWS in compact form",
            Self::Header => "the header of the signed data is not as Apple writes it",
            Self::Algorithm => "the signed data is not signed with ES256",
            Self::CertificateCount => "the signed data does not come with three certificates",
            Self::Chain => "the certificates do not lead to Apple's root at the time of signing",
            Self::LeafMarker => "the signer's certificate is not for the App Store",
            Self::IntermediateMarker => "the signer's certificate is issued by another authority",
            Self::Signature => "the signature does not match",
            Self::Payload => "what is signed is not of the expected form",
            Self::Future => "the signed data is from the future; check the clock",
        }
    }
}
