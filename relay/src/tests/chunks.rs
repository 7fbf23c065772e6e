//! Chunks: uploading, downloading, and all that comes between.

use std::{fs, io, path::Path};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, StatusCode};
use scrip_protocol::{id::ResourceId, problem::ProblemType, resource::SizeClass};

use super::support::{Answer, Bench, Chunk, DAY, noise};

async fn upload(bench: &Bench, chunk: &Chunk, bytes: &[u8]) -> Answer {
    bench.command(&chunk.owner, Method::PUT, &chunk.upload_path(), bytes).await
}

async fn download(bench: &Bench, chunk: &Chunk) -> Answer {
    bench.command(&chunk.reader, Method::GET, &chunk.download_path(), &[]).await
}

/// The files below `chunks/`, in both of its directories.
fn files(bench: &Bench) -> Vec<String> {
    fn walk(directory: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path, found),
                false => found.push(path.file_name().unwrap().to_str().unwrap().to_owned()),
            }
        }
    }
    let mut found = Vec::new();
    walk(&bench.directory.path().join("chunks"), &mut found);
    found.sort();
    found
}

#[tokio::test]
async fn what_was_uploaded_is_downloaded() {
    let bench = Bench::new().await;
    for (size, seed) in SizeClass::ALL.into_iter().zip(0..) {
        let bytes = noise(size, seed);
        let chunk = bench.chunk(&bytes).await;
        assert_eq!(download(&bench, &chunk).await.problem(), ProblemType::ChunkNotUploaded);
        assert_eq!(upload(&bench, &chunk, &bytes).await.status, StatusCode::NO_CONTENT);
        let answer = download(&bench, &chunk).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers["content-length"], bytes.len().to_string());
        assert!(answer.body == bytes, "{size:?}");
    }
    assert_eq!(files(&bench).len(), 4);
}

#[tokio::test]
async fn uploading_twice_is_uploading_once() {
    let bench = Bench::new().await;
    let bytes = noise(SizeClass::K64, 1);
    let chunk = bench.chunk(&bytes).await;
    let (first, second) =
        tokio::join!(upload(&bench, &chunk, &bytes), upload(&bench, &chunk, &bytes));
    assert_eq!((first.status, second.status), (StatusCode::NO_CONTENT, StatusCode::NO_CONTENT));
    assert_eq!(upload(&bench, &chunk, &bytes).await.status, StatusCode::NO_CONTENT);
    let other = noise(SizeClass::K64, 2);
    assert_eq!(upload(&bench, &chunk, &other).await.problem(), ProblemType::DigestMismatch);
    assert!(download(&bench, &chunk).await.body == bytes);
    assert_eq!(files(&bench).len(), 1);
}

#[tokio::test]
async fn other_bytes_than_were_paid_for_are_refused_and_leave_nothing() {
    let bench = Bench::new().await;
    let bytes = noise(SizeClass::K256, 1);
    let chunk = bench.chunk(&bytes).await;
    let longer = [bytes.as_slice(), &[0]].concat();
    for wrong in [&noise(SizeClass::K256, 2), &noise(SizeClass::M1, 1), &bytes[1..], &longer, &[]] {
        let answer = upload(&bench, &chunk, wrong).await;
        assert_eq!(answer.problem(), ProblemType::DigestMismatch, "{} bytes", wrong.len());
    }
    // The right digest is signed, and other bytes follow.
    let path = chunk.upload_path();
    for wrong in [noise(SizeClass::K256, 2), bytes[1..].to_vec(), longer] {
        let auth = bench.sign(&chunk.owner, &Method::PUT, &path, &bytes);
        let answer = bench.send(Method::PUT, &path, Some(&auth), Body::from(wrong)).await;
        assert_eq!(answer.problem(), ProblemType::DigestMismatch);
    }
    assert!(files(&bench).is_empty());
    assert_eq!(download(&bench, &chunk).await.problem(), ProblemType::ChunkNotUploaded);
    assert_eq!(upload(&bench, &chunk, &bytes).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn nobody_but_the_owner_uploads_and_nothing_of_others_touches_the_disk() {
    let bench = Bench::new().await;
    let bytes = noise(SizeClass::K64, 1);
    let chunk = bench.chunk(&bytes).await;
    let stranger = bench.key();
    for (key, path) in [
        (&stranger, chunk.upload_path()),
        (&chunk.reader, chunk.upload_path()),
        (&chunk.owner, chunk.download_path()),
        (&stranger, format!("/v1/chunks/{}", ResourceId::from_bytes([1; 24]))),
    ] {
        let answer = bench.command(key, Method::PUT, &path, &bytes).await;
        assert_eq!(answer.problem(), ProblemType::ResourceNotFound, "{path}");
    }
    assert!(files(&bench).is_empty());
    for (key, path) in [(&chunk.owner, chunk.download_path()), (&chunk.reader, chunk.upload_path())]
    {
        let answer = bench.command(key, Method::GET, &path, &[]).await;
        assert_eq!(answer.problem(), ProblemType::ResourceNotFound);
    }
}

#[tokio::test]
async fn bodies_beyond_the_largest_chunk_are_too_large_whoever_sends_them() {
    let bench = Bench::new().await;
    let chunk = bench.chunk(&noise(SizeClass::M4, 1)).await;
    let unknown = format!("/v1/chunks/{}", ResourceId::from_bytes([1; 24]));
    let large = vec![0; SizeClass::M4.bytes() + 1];
    for path in [chunk.upload_path(), unknown] {
        let auth = bench.sign(&chunk.owner, &Method::PUT, &path, &large);
        let answer = bench.send(Method::PUT, &path, Some(&auth), Body::from(large.clone())).await;
        assert_eq!(answer.problem(), ProblemType::TooLarge);
    }
}

/// A body that ends with an error after `bytes`.
fn cut(bytes: &[u8]) -> Body {
    let frames: Vec<io::Result<Bytes>> = bytes
        .chunks(10_000)
        .map(|frame| Ok(Bytes::copy_from_slice(frame)))
        .chain([Err(io::ErrorKind::ConnectionReset.into())])
        .collect();
    Body::from_stream(stream::iter(frames))
}

#[tokio::test]
async fn an_upload_that_is_cut_off_leaves_nothing_and_can_be_repeated() {
    let bench = Bench::new().await;
    let bytes = noise(SizeClass::M1, 1);
    let chunk = bench.chunk(&bytes).await;
    let path = chunk.upload_path();
    for sent in [0, 1, 70_000, bytes.len()] {
        let auth = bench.sign(&chunk.owner, &Method::PUT, &path, &bytes);
        let answer = bench.send(Method::PUT, &path, Some(&auth), cut(&bytes[..sent])).await;
        assert_eq!(answer.problem(), ProblemType::Malformed, "{sent}");
        assert!(files(&bench).is_empty(), "{sent}");
    }
    assert_eq!(upload(&bench, &chunk, &bytes).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_nothing() {
    let bench = Bench::new().await;
    let bytes = noise(SizeClass::M1, 1);
    let chunk = bench.chunk(&bytes).await;
    let path = chunk.upload_path();
    let auth = bench.sign(&chunk.owner, &Method::PUT, &path, &bytes);
    let begun = Bytes::from(bytes[..200_000].to_vec());
    let (sender, stuck) = tokio::sync::mpsc::channel::<io::Result<Bytes>>(4);
    sender.send(Ok(begun)).await.unwrap();
    let frames = stream::unfold(stuck, |mut stuck| async { Some((stuck.recv().await?, stuck)) });
    let uploading = bench.send(Method::PUT, &path, Some(&auth), Body::from_stream(frames));
    let waited = tokio::time::timeout(std::time::Duration::from_millis(300), uploading).await;
    assert!(waited.is_err(), "the handler waits for more, and is dropped with the connection");
    // A piece that is being written when its handler is dropped is dropped on its own thread.
    for _ in 0..100 {
        if files(&bench).is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(files(&bench).is_empty());
    assert_eq!(upload(&bench, &chunk, &bytes).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn uploads_of_one_chunk_fill_one_file_at_a_time() {
    let bench = Bench::new().await;
    let bytes = noise(SizeClass::M1, 1);
    let chunk = bench.chunk(&bytes).await;
    let path = chunk.upload_path();
    let uploads = (0..8).map(|_| {
        let auth = bench.sign(&chunk.owner, &Method::PUT, &path, &bytes);
        let (sender, frames) = tokio::sync::mpsc::channel::<io::Result<Bytes>>(1);
        let frames =
            stream::unfold(frames, |mut frames| async { Some((frames.recv().await?, frames)) });
        let (bench, path) = (&bench, &path);
        let answer = async move {
            bench.send(Method::PUT, path, Some(&auth), Body::from_stream(frames)).await
        };
        (sender, answer)
    });
    let (senders, answers): (Vec<_>, Vec<_>) = uploads.unzip();
    let send = async {
        for sender in &senders {
            sender.send(Ok(Bytes::copy_from_slice(&bytes[..200_000]))).await.unwrap();
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        assert_eq!(files(&bench).len(), 1, "the others wait");
        let rest = senders.into_iter().map(async |sender| {
            sender.send(Ok(Bytes::copy_from_slice(&bytes[200_000..]))).await.unwrap();
        });
        futures_util::future::join_all(rest).await;
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(answers), send);
    assert!(answers.iter().all(|answer| answer.status == StatusCode::NO_CONTENT));
    assert_eq!(files(&bench).len(), 1);
    assert!(download(&bench, &chunk).await.body == bytes);
}

#[tokio::test]
async fn a_lease_that_ends_during_the_upload_leaves_no_file() {
    let bench = Bench::new().await;
    let bytes = noise(SizeClass::K64, 1);
    let chunk = bench.chunk(&bytes).await;
    let path = chunk.upload_path();
    let auth = bench.sign(&chunk.owner, &Method::PUT, &path, &bytes);
    let clock = bench.clock.clone();
    let end_of_lease = bench.now().plus(30 * DAY);
    // The clock moves when the last frame is asked for, after the lease was found alive.
    let frames = stream::iter(0..2).map(move |at| {
        if at == 1 {
            clock.set(end_of_lease);
        }
        io::Result::Ok(Bytes::copy_from_slice(
            &bytes[at * 40_000..bytes.len().min((at + 1) * 40_000)],
        ))
    });
    let answer = bench.send(Method::PUT, &path, Some(&auth), Body::from_stream(frames)).await;
    assert_eq!(answer.problem(), ProblemType::LeaseEnded);
    assert!(files(&bench).is_empty());
}

#[tokio::test]
async fn a_chunk_goes_with_its_lease() {
    let bench = Bench::new().await;
    let bytes = noise(SizeClass::K64, 1);
    let (kept, deleted) = (bench.chunk(&bytes).await, bench.chunk(&bytes).await);
    upload(&bench, &kept, &bytes).await;
    upload(&bench, &deleted, &bytes).await;
    let path = format!("/v1/leases/{}", deleted.lease_id);
    let answer = bench.command(&deleted.owner, Method::DELETE, &path, &[]).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(download(&bench, &deleted).await.problem(), ProblemType::LeaseEnded);
    assert_eq!(upload(&bench, &deleted, &bytes).await.problem(), ProblemType::LeaseEnded);
    let other = noise(SizeClass::K64, 2);
    assert_eq!(upload(&bench, &deleted, &other).await.problem(), ProblemType::LeaseEnded);
    assert_eq!(files(&bench).len(), 2);
    bench.relay.collect_now().await.unwrap();
    assert_eq!(files(&bench).len(), 1);
    assert!(download(&bench, &kept).await.body == bytes);
    let usage = bench.relay.store().reader().usage(bench.now()).await.unwrap();
    assert_eq!((usage.chunks, usage.chunk_bytes_promised), (1, bytes.len() as u64));
}

#[tokio::test]
async fn a_lost_file_can_be_uploaded_again() {
    let bench = Bench::new().await;
    let bytes = noise(SizeClass::K64, 1);
    let chunk = bench.chunk(&bytes).await;
    upload(&bench, &chunk, &bytes).await;
    let path = bench.directory.path().join("chunks/stored/0/1");
    fs::remove_file(path).unwrap();
    assert_eq!(download(&bench, &chunk).await.problem(), ProblemType::ChunkNotUploaded);
    assert_eq!(upload(&bench, &chunk, &bytes).await.status, StatusCode::NO_CONTENT);
    assert!(download(&bench, &chunk).await.body == bytes);
}
