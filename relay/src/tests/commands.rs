//! Who is refused, and how little he learns.

use axum::body::Body;
use http::{HeaderValue, Method, Request, StatusCode};
use scrip_protocol::{
    id::{OperatorId, ResourceId, VendorId},
    limits::{COMMAND_SKEW, COMMAND_STEP, MESSAGE_BLOCK},
    manifest::{HELD_HEADER, HeldManifest, ProvenManifest},
    media,
    problem::ProblemType,
    resource::{
        COMMAND_HEADER, Command, RelayInfo, ResourceKind, ResourceRequest, SIGNATURE_HEADER,
    },
};

use super::support::{Bench, DAY};
use crate::requests::Route;

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
    assert_eq!(auth.time, auth.time.step());
    bench.clock.set(auth.time.plus(COMMAND_SKEW));
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
    later.time = later.time.plus(COMMAND_STEP);
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

/// Whoever kept a command and can send it again within the time that it is good for changes nothing by it.
#[tokio::test]
async fn a_command_that_is_sent_again_does_nothing_more() {
    let bench = Bench::new().await;
    let queue = bench.queue().await;
    let send = queue.send_path();
    let block = vec![7; MESSAGE_BLOCK];
    let sending = bench.sign(&queue.sender, &Method::POST, &send, &block);
    let sent = async || bench.send(Method::POST, &send, Some(&sending), block.clone().into()).await;
    assert_eq!(sent().await.status, StatusCode::NO_CONTENT);
    let path = format!("/v1/leases/{}", queue.lease_id);
    let deletion = bench.sign(&queue.recipient, &Method::DELETE, &path, &[]);
    let delete = async || bench.send(Method::DELETE, &path, Some(&deletion), Body::empty()).await;
    assert_eq!(delete().await.status, StatusCode::NO_CONTENT);
    assert!(!bench.lease(queue.lease_id, &queue.recipient).await.live);
    bench.relay.collect_now().await.unwrap();

    // A payment that was on its way brings the queue back, empty.
    let kind = ResourceKind::Extension { lease_id: queue.lease_id };
    let extension = ResourceRequest { days: 30, kind }.encode();
    let paid = bench.paid(30, DAY);
    bench.relay.core().revive(Route::Extensions, &extension, &paid).await.unwrap();
    bench.clock.set(deletion.time.plus(COMMAND_SKEW));
    assert_eq!(delete().await.status, StatusCode::NO_CONTENT);
    assert!(bench.lease(queue.lease_id, &queue.recipient).await.live, "it was deleted once");
    assert_eq!(sent().await.status, StatusCode::NO_CONTENT);
    let read = bench.command(&queue.recipient, Method::GET, &queue.receive_path(), &[]).await;
    assert_eq!(read.status, StatusCode::NO_CONTENT, "the message was sent once");
    let again = bench.command(&queue.recipient, Method::DELETE, &path, &[]).await;
    assert_eq!(again.status, StatusCode::NO_CONTENT);
    assert!(!bench.lease(queue.lease_id, &queue.recipient).await.live, "a new command deletes it");
}

#[tokio::test]
async fn a_command_without_a_proper_header_is_signed_by_nobody() {
    let bench = Bench::new().await;
    let queue = bench.queue().await;
    let path = queue.receive_path();
    let good = bench.sign(&queue.recipient, &Method::GET, &path, &[]);
    // A clock that is told from others by its seconds is not listened to.
    let mut to_the_second = good.clone();
    to_the_second.time = to_the_second.time.plus(1);
    let good = good.to_header();
    let answer = bench.send(Method::GET, &path, None, Body::empty()).await;
    assert_eq!(answer.problem(), ProblemType::CommandUnauthorized);
    for headers in [
        vec![format!("{good}=")],
        vec![good[1..].to_owned()],
        vec![format!("{good}AAAA")],
        vec![String::new()],
        vec![good.clone(), good.clone()],
        vec![to_the_second.to_header()],
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
