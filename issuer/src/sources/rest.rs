//! The second part of a purchase that is issued in two.

use futures_util::future::BoxFuture;
use scrip_protocol::{id::decode_base64url, purchase::GrantRequest, seed::GrantSecret};

use super::{Asked, Source, SourceError, TransactionId, Verified};
use crate::store::Store;

pub(super) const NAME: &str = "rest";

/// Second parts.
pub(crate) struct RestSource {
    store: Store,
}

impl RestSource {
    pub(crate) const fn new(store: Store) -> Self {
        Self { store }
    }
}

impl Source for RestSource {
    fn name(&self) -> &'static str {
        NAME
    }

    fn is_offered(&self) -> bool {
        false
    }

    fn verify<'a>(&'a self, asked: &'a Asked<'a>) -> BoxFuture<'a, Result<Verified, SourceError>> {
        Box::pin(async move {
            let GrantRequest::Rest { grant } = asked.request else {
                return Err(SourceError::Unknown);
            };
            let secret = decode_base64url(grant).and_then(|bytes| bytes.try_into().ok());
            let secret = secret.map(GrantSecret::from_bytes);
            let parent = secret.ok_or(SourceError::Unverified("the secret is none"))?.grant_id();
            let first = self.store.grant(&parent).await?;
            let first = first.ok_or(SourceError::Unverified("no grant belongs to the secret"))?;
            let (pack, from) =
                first.rest.ok_or(SourceError::Unverified("the grant has no second part"))?;
            if asked.now < from {
                return Err(SourceError::RestNotDue);
            }
            Ok(Verified {
                sold: Some(pack),
                test: first.test,
                parent: Some(parent),
                ..Verified::new(TransactionId::new(*parent.as_bytes()), first.product)
            })
        })
    }
}
