//! A Privacy Pass client that knows nothing of scrip gets tokens from the vendor (RFC 9578), and a token whose nonce happens to be a
//! certificate key is a certificate. The client is written here from the RFC, on a library that is not the wallet's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use blind_rsa_signatures::{BlindSignature, DefaultRng, Deterministic, PSS, PublicKey, Sha384};
use data_encoding::{BASE64URL, BASE64URL_NOPAD};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use scrip_protocol::credits::Exponent;
use scrip_protocol::id::OperatorId;
use scrip_protocol::issuance::Certificate;
use scrip_protocol::keys::SigningKey;
use scrip_protocol::manifest::KeyUse;
use scrip_protocol::media;
use scrip_protocol::payment::{PaidRequest, Payment};
use scrip_protocol::problem::{Problem, ProblemType};
use scrip_protocol::resource::{ResourceKind, ResourceRequest};
use scrip_protocol::spend::Salt;
use scrip_protocol::token::Token;
use scrip_runtime::client::{ClientOptions, HttpClient, Request};
use scrip_runtime::clock::Clock;
use scrip_tests::network::{Network, PRODUCT};
use sha2::{Digest, Sha256};

/// The directory's key of the denomination that the manifest calls `exponent`: SubjectPublicKeyInfo.
async fn directory_keys(http: &HttpClient, base: &str) -> (String, Vec<Vec<u8>>) {
    let url = format!("{base}/.well-known/private-token-issuer-directory");
    let answer = http.send(Request::get(url, 1 << 16)).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers[CONTENT_TYPE], media::ISSUER_DIRECTORY);
    let directory: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let keys = directory["token-keys"].as_array().unwrap().iter().map(|key| {
        assert_eq!(key["token-type"], 2);
        BASE64URL.decode(key["token-key"].as_str().unwrap().as_bytes()).unwrap()
    });
    (directory["issuer-request-uri"].as_str().unwrap().to_owned(), keys.collect())
}

struct Client {
    http: HttpClient,
    base: String,
    uri: String,
    grant: [u8; 32],
}

impl Client {
    /// RFC 9578, section 6: one token with this nonce under the key with this SubjectPublicKeyInfo.
    async fn token(
        &self,
        spki: &[u8],
        challenge_digest: &[u8; 32],
        nonce: &[u8; 32],
    ) -> Result<Vec<u8>, ProblemType> {
        let key = PublicKey::<Sha384, PSS, Deterministic>::from_spki(spki).unwrap();
        let key_id: [u8; 32] = Sha256::digest(spki).into();
        let input = [&[0, 2], &nonce[..], &challenge_digest[..], &key_id[..]].concat();
        let blinding = key.blind(&mut DefaultRng, &input).unwrap();
        let request = [&[0, 2, key_id[31]], &blinding.blind_message.0[..]].concat();
        let bearer = format!("Bearer {}", BASE64URL_NOPAD.encode(&self.grant));
        let request = Request::post(format!("{}{}", self.base, self.uri), request, 1 << 16)
            .header(CONTENT_TYPE, "application/private-token-request")
            .header(AUTHORIZATION, bearer);
        let answer = self.http.send(request).await.unwrap();
        if answer.status != 200 {
            return Err(Problem::from_json(&answer.body).unwrap().problem);
        }
        assert_eq!(answer.headers[CONTENT_TYPE], "application/private-token-response");
        let blind_signature = BlindSignature(answer.body.to_vec());
        let signature = key.finalize(&blind_signature, &blinding, &input).unwrap();
        Ok([&input[..], &signature.0].concat())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_client_gets_tokens_and_one_of_them_buys_a_queue() {
    let network = Network::start().await.unwrap();
    let issuer = network.vendor.issuer().unwrap();
    let http = HttpClient::new(ClientOptions::default()).unwrap();
    let base = network.vendor.address().base_url();
    let voucher = network.vendor.voucher(PRODUCT).await.unwrap();
    let grant = [3; 32];
    let bearer = format!("Bearer {}", BASE64URL_NOPAD.encode(&grant));
    let body = format!(r#"{{"source":"voucher","code":"{voucher}"}}"#);
    let request = Request::post(format!("{base}/v1/grants"), body, 1 << 16)
        .header(CONTENT_TYPE, "application/json")
        .header(AUTHORIZATION, bearer);
    assert_eq!(http.send(request).await.unwrap().status, 200);

    let (uri, keys) = directory_keys(&http, &base).await;
    assert_eq!(keys.len(), 5, "every denomination that issues now");
    let client = Client { http, base, uri, grant };

    // The challenge of the vendor: its name, no origin, no context (RFC 9577, section 2.1).
    let name = issuer.manifest().challenge().issuer_name.clone();
    let challenge =
        [&[0, 2], &(name.len() as u16).to_be_bytes()[..], name.as_bytes(), &[0, 0, 0]].concat();
    let challenge_digest: [u8; 32] = Sha256::digest(&challenge).into();
    let manifest = issuer.manifest();
    let two = manifest
        .issuing(KeyUse::Production, Exponent::new(1).unwrap(), network.clock.now())
        .unwrap();
    let spki = two.public().spki();
    assert!(keys.contains(&spki));

    let any_nonce = client.token(&spki, &challenge_digest, &[0x5a; 32]).await.expect("a token");
    assert_eq!(any_nonce.len(), 354);

    let certificate_key = SigningKey::from_seed(&[8; 32]);
    let nonce = certificate_key.public();
    let token = client.token(&spki, &challenge_digest, nonce.as_bytes()).await.expect("another");
    let more = client.token(&spki, &challenge_digest, &[0x5b; 32]).await;
    assert_eq!(more, Err(ProblemType::GrantUsed), "the pack has two of this denomination");

    let certificate =
        Certificate::from_parts(Token::decode(&token).unwrap(), certificate_key).unwrap();
    let relay = &network.relays[0];
    let key = |n| SigningKey::from_seed(&[n; 32]).public();
    let kind = ResourceKind::Queue { recipient_key: key(1), sender_key: key(2) };
    let resource_request = ResourceRequest { days: 30, kind }.encode();
    let operator: OperatorId = relay.address().id;
    let payment = Payment::make(
        [&certificate],
        issuer.vendor_id(),
        operator,
        network.clock.today(),
        Salt([1; 32]),
        &resource_request,
    );
    let paid = PaidRequest { resource_request, payment }.encode();
    let url = format!("{}/v1/queues", relay.address().base_url());
    let request = Request::post(url, paid, 1 << 16).header(CONTENT_TYPE, media::PAID_REQUEST);
    assert_eq!(client.http.send(request).await.unwrap().status, 201);
    assert_eq!(relay.relay().unwrap().redeem_now().await.unwrap().accepted, 1);
}
