//! The `Stripe-Signature` header: `t=<unix seconds>,v1=<hex>,…`, over the time, a dot and the raw body.

use data_encoding::HEXLOWER_PERMISSIVE;
use http::HeaderMap;
use scrip_protocol::time::UnixSeconds;

use crate::sources::secret::{Secret, authenticates};

const HEADER: &str = "stripe-signature";
/// How far the time of a signature may be from ours, in seconds, in both directions.
pub(super) const TOLERANCE: u64 = 300;
/// Signatures that are looked at: one for each secret that Stripe signs with while secrets are changed.
const MAX_SIGNATURES: usize = 8;

/// Whether Stripe signed `body` with one of `secrets`, just now.
///
/// # Errors
/// What is wrong.
pub(super) fn check(
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[Secret],
    now: UnixSeconds,
) -> Result<(), &'static str> {
    let mut values = headers.get_all(HEADER).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err("there is not one `Stripe-Signature`");
    };
    let value = value.to_str().map_err(|_| "`Stripe-Signature` is not text")?;
    let of = |wanted: &'static str| {
        value.split(',').filter_map(move |part| {
            let (name, value) = part.trim().split_once('=')?;
            (name == wanted).then_some(value)
        })
    };
    let time = of("t").next().ok_or("`Stripe-Signature` has no time")?;
    let signed_at = time.parse().map(UnixSeconds).map_err(|_| "`Stripe-Signature` has no time")?;
    let message = [time.as_bytes(), b".", body].concat();
    let signed = of("v1").take(MAX_SIGNATURES).any(|signature| {
        let tag = HEXLOWER_PERMISSIVE.decode(signature.as_bytes());
        tag.is_ok_and(|tag| authenticates(secrets, &message, &tag))
    });
    if !signed {
        return Err("the signature is wrong");
    }
    // Only now, so that an error about the time means that the clock is wrong or an old body came again.
    if signed_at.since(now).max(now.since(signed_at)) > TOLERANCE {
        return Err("the signature's time is too far from ours");
    }
    Ok(())
}
