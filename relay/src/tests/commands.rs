//! Who is refused, and how little he learns.

use axum::body::Body;
use http::{HeaderValue, Method, Request, StatusCode};
use scrip_protocol::{
    id::{OperatorId, ResourceId, VendorId},
    limits::COMMAND_SKEW,
    manifest::{HELD_HEADER, HeldManifest, ProvenManifest},
    media,
    problem::ProblemType,
    resource::{COMMAND_HEADER, Command, RelayInfo, SIGNATURE_HEADER},
};

use super::support::{Bench, DAY};

#[tokio::test]
async fn a_wrong_key_and_a_wrong_address_get_the_same_answer() {
    let bench = Bench::new().await;
    let queue = bench.queue().await;
    let stranger = bench.key();
    let nowhere = ResourceId::from_bytes([9; 24]);
    for (known, unknown) in [
        (queue.receive_path(), format!("/v1/queues/{nowhere}/messages")),
        (format!("/v1/leases/{}", queue.lease_id), format!("/v1/leases/{nowhere}")),
        (format!("/v1/chunks/{}", queue.sender_id), format!("/v1/chunks/{nowhere}")),
    ] {
        let known = bench.command(&stranger, Method::GET, &known, &[]).await;
        let unknown = bench.command(&stranger, Method::GET, &unknown, &[]).await;
        assert_eq!(known.problem(), ProblemType::ResourceNotFound);
        assert_eq!(known.body, unknown.body);
        assert_eq!(known.headers, unknown.headers);
    }
    bench.clock.advance(31 * DAY);
    let path = queue.receive_path();
    let ended = bench.command(&stranger, Method::GET, &path, &[]).await;
    assert_eq!(ended.problem(), ProblemType::ResourceNotFound, "nor is it told that it ended");
}

#[tokio::test]
async fn commands_are_fresh() {
    let bench = Bench::new().await;
    let queue = bench.queue().await;
    let path = queue.receive_path();
    let auth = bench.sign(&queue.recipient, &Method::GET, &path, &[]);
    let get = async || bench.send(Method::GET, &path, Some(&auth), Body::empty()).await;
    bench.clock.advance(COMMAND_SKEW);
    assert_eq!(get().await.status, StatusCode::NO_CONTENT);
    bench.clock.advance(1);
    assert_eq!(get().await.problem(), ProblemType::CommandStale);
    bench.clock.set(auth.time.minus(COMMAND_SKEW));
    assert_eq!(get().await.status, StatusCode::NO_CONTENT);
    bench.clock.set(auth.time.minus(COMMAND_SKEW + 1));
    assert_eq!(get().await.problem(), ProblemType::CommandStale);
    let nowhere = format!("/v1/leases/{}", ResourceId::from_bytes([9; 24]));
    let answer = bench.send(Method::GET, &nowhere, Some(&auth), Body::empty()).await;
    assert_eq!(answer.problem(), ProblemType::CommandStale, "whatever the address");
}

#[tokio::test]
async fn a_signature_covers_method_path_body_operator_time_and_nonce() {
    let bench = Bench::new().await;
    let queue = bench.queue().await;
    let path = queue.receive_path();
    let good = bench.sign(&queue.recipient, &Method::GET, &path, &[]);
    let mut tampered = vec![
        bench.sign(&queue.recipient, &Method::DELETE, &path, &[]),
        bench.sign(&queue.recipient, &Method::GET, &queue.send_path(), &[]),
        bench.sign(&queue.recipient, &Method::GET, &path, &[1]),
        bench.sign(&queue.sender, &Method::GET, &path, &[]),
    ];
    let mut later = good.clone();
    later.time = later.time.plus(1);
    tampered.push(later);
    let mut other_nonce = good.clone();
    other_nonce.nonce[0] ^= 1;
    tampered.push(other_nonce);
    let elsewhere = OperatorId::from_bytes([3; 32]);
    let command = Command {
        operator_id: &elsewhere,
        method: "GET",
        path: &path,
        body_digest: Command::digest_of(&[]),
    };
    tampered.push(command.sign(&queue.recipient, good.time, good.nonce));
    for auth in tampered {
        let answer = bench.send(Method::GET, &path, Some(&auth), Body::empty()).await;
        assert_eq!(answer.problem(), ProblemType::ResourceNotFound);
    }
    let query = format!("{path}?x");
    let answer = bench.send(Method::GET, &query, Some(&good), Body::empty()).await;
    assert_eq!(answer.problem(), ProblemType::ResourceNotFound, "the path is what was sent");
    let answer = bench.send(Method::GET, &path, Some(&good), Body::empty()).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_command_without_a_proper_header_is_signed_by_nobody() {
    let bench = Bench::new().await;
    let queue = bench.queue().await;
    let path = queue.receive_path();
    let good = bench.sign(&queue.recipient, &Method::GET, &path, &[]).to_header();
    let answer = bench.send(Method::GET, &path, None, Body::empty()).await;
    assert_eq!(answer.problem(), ProblemType::CommandUnauthorized);
    for headers in [
        vec![format!("{good}=")],
        vec![good[1..].to_owned()],
        vec![format!("{good}AAAA")],
        vec![String::new()],
        vec![good.clone(), good.clone()],
    ] {
        let mut request = Request::get(&path).body(Body::empty()).unwrap();
        for header in &headers {
            let value = HeaderValue::from_str(header).unwrap();
            request.headers_mut().append(COMMAND_HEADER, value);
        }
        let answer = bench.call(request).await;
        assert_eq!(answer.problem(), ProblemType::CommandUnauthorized, "{headers:?}");
    }
}

#[tokio::test]
async fn paths_that_are_no_addresses_and_methods_that_are_none_are_problems_too() {
    let bench = Bench::new().await;
    let key = bench.key();
    for (method, path, problem) in [
        (Method::GET, "/", ProblemType::NotFound),
        (Method::GET, "/v1/queues/x", ProblemType::NotFound),
        (Method::GET, "/v1/queues/short/messages", ProblemType::ResourceNotFound),
        (Method::GET, "/v1/leases/%ff", ProblemType::ResourceNotFound),
        (Method::PATCH, "/v1/leases/short", ProblemType::MethodNotAllowed),
        (Method::GET, "/v1/queues", ProblemType::MethodNotAllowed),
        (Method::DELETE, "/v1/relay", ProblemType::MethodNotAllowed),
        (Method::POST, "/v1/queues", ProblemType::UnsupportedMediaType),
    ] {
        let answer = bench.command(&key, method.clone(), path, &[]).await;
        assert_eq!(answer.problem(), problem, "{method} {path}");
    }
    let queue = bench.queue().await;
    let path = format!("{}/no-id", queue.receive_path());
    let answer = bench.command(&queue.recipient, Method::DELETE, &path, &[]).await;
    assert_eq!(answer.problem(), ProblemType::Malformed);
}

#[tokio::test]
async fn the_information_is_signed_and_says_nothing_of_manifests() {
    let bench = Bench::new().await;
    let answer = bench.send(Method::GET, "/v1/relay", None, Body::empty()).await;
    assert_eq!(answer.headers["content-type"], media::JSON);
    let signature = answer.headers[SIGNATURE_HEADER].to_str().unwrap();
    let operator = bench.relay.operator_id();
    let info = RelayInfo::open(&answer.body, signature, &operator).unwrap();
    assert_eq!(info.operator_key, bench.relay.operator_key());
    assert_eq!((info.max_days, info.prices.chunk_4m), (400, 4));
    assert_eq!(info.vendors.len(), 1);
    assert_eq!(info.vendors[0].address, bench.vendor.address());
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(!text.contains("manifest"), "{text}");
}

#[tokio::test]
async fn the_manifest_is_handed_out_with_the_operators_word() {
    let bench = Bench::new().await;
    let (vendor, manifest) = (bench.vendor.id(), bench.vendor.manifest());
    let path = format!("/v1/manifests/{vendor}");
    let answer = bench.send(Method::GET, &path, None, Body::empty()).await;
    assert_eq!(answer.headers["content-type"], media::MANIFEST);
    let held = ProvenManifest::open(&answer.body, &vendor).unwrap();
    assert_eq!(held.manifest().digest(), manifest.digest());
    let said = answer.headers[HELD_HEADER].to_str().unwrap();
    HeldManifest::open(said, &bench.relay.operator_id(), &manifest).unwrap();
    for unknown in ["x".to_owned(), VendorId::from_bytes([9; 32]).to_string()] {
        let path = format!("/v1/manifests/{unknown}");
        let answer = bench.send(Method::GET, &path, None, Body::empty()).await;
        assert_eq!(answer.problem(), ProblemType::NotFound, "{unknown}");
    }
}
