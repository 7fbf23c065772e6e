//! What may be asked for, and what it costs (resources.md, "Requests and prices").

use scrip_protocol::{
    DecodeError,
    id::ResourceId,
    keys::PublicKey,
    problem::{Problem, ProblemType},
    resource::{PriceList, ResourceKind, ResourceRequest},
};
use scrip_verifier::Quote;

use crate::{
    access::Role,
    core::Core,
    store::{ChunkSpace, LeaseKind, LeaseRow, StoreError},
};

/// The priced routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Queues,
    Chunks,
    Extensions,
}

/// Why a resource request is refused, before it is paid or after.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("the resource request does not parse: {0}")]
    Malformed(#[from] DecodeError),
    #[error("the request is for another kind of resource than its path")]
    WrongRoute,
    #[error("the relay provides for at most {max} days")]
    TooLong { max: u16 },
    #[error("one payment buys at most {} credits here", u32::MAX)]
    TooMuch,
    #[error("there is no such lease")]
    UnknownLease,
    #[error("the lease has ended")]
    LeaseEnded,
    #[error("all space is promised to others")]
    NoSpace,
    #[error("others change this lease at the same time")]
    Overtaken,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        let problem = match &error {
            RequestError::Malformed(_) | RequestError::WrongRoute => ProblemType::Malformed,
            RequestError::TooLong { .. } | RequestError::TooMuch => ProblemType::RequestRefused,
            RequestError::UnknownLease => return ProblemType::ResourceNotFound.into(),
            RequestError::LeaseEnded => return ProblemType::LeaseEnded.into(),
            RequestError::NoSpace => return ProblemType::StorageFull.into(),
            RequestError::Overtaken => {
                tracing::error!(%error, "a payment waits for its client to come again");
                return ProblemType::ProvisioningFailed.into();
            }
            RequestError::Store(error) => {
                tracing::error!(%error, "a request was not answered");
                return ProblemType::Internal.into();
            }
        };
        Self::new(problem).detail(error.to_string())
    }
}

/// A new resource, with the keys of its two sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewResource {
    pub(crate) kind: LeaseKind,
    /// Of the recipient or the owner.
    pub(crate) owner_key: PublicKey,
    /// Of the sender or the reader.
    pub(crate) peer_key: PublicKey,
}

/// What somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A new resource.
    New(NewResource),
    /// More time for a lease.
    Extension { lease_id: ResourceId },
}

impl From<ResourceKind> for Wanted {
    fn from(kind: ResourceKind) -> Self {
        let (kind, owner_key, peer_key) = match kind {
            ResourceKind::Queue { recipient_key, sender_key } => {
                (LeaseKind::Queue, recipient_key, sender_key)
            }
            ResourceKind::Chunk { owner_key, reader_key, size_class, digest } => {
                let space = ChunkSpace { size_class, digest, uploaded: false };
                (LeaseKind::Chunk(space), owner_key, reader_key)
            }
            ResourceKind::Extension { lease_id } => return Self::Extension { lease_id },
        };
        Self::New(NewResource { kind, owner_key, peer_key })
    }
}

impl Wanted {
    fn route(&self) -> Route {
        match self {
            Self::New(NewResource { kind: LeaseKind::Queue, .. }) => Route::Queues,
            Self::New(NewResource { kind: LeaseKind::Chunk(_), .. }) => Route::Chunks,
            Self::Extension { .. } => Route::Extensions,
        }
    }
}

impl Core {
    /// Parses a request that came to `route`: what is wanted, and for how many days.
    pub(crate) fn parse(
        &self,
        route: Route,
        request: &[u8],
    ) -> Result<(Wanted, u16), RequestError> {
        let ResourceRequest { days, kind } = ResourceRequest::decode(request)?;
        let wanted = Wanted::from(kind);
        if wanted.route() != route {
            return Err(RequestError::WrongRoute);
        }
        if days > self.max_days {
            return Err(RequestError::TooLong { max: self.max_days });
        }
        Ok((wanted, days))
    }

    /// What a request costs now. What could not be provisioned is refused here, before anybody pays.
    pub(crate) async fn quote(&self, route: Route, request: &[u8]) -> Result<Quote, RequestError> {
        let (wanted, days) = self.parse(route, request)?;
        let per_period = match wanted {
            Wanted::Extension { lease_id } => self.price_of(&self.extensible(lease_id).await?.kind),
            Wanted::New(NewResource { kind, .. }) => {
                let price = self.price_of(&kind);
                if !self.store.reader().has_room(kind, self.capacity).await? {
                    return Err(RequestError::NoSpace);
                }
                price
            }
        };
        Ok(Quote {
            credits: PriceList::price(per_period, days),
            seconds_per_credit: PriceList::seconds_per_credit(per_period),
        })
    }

    /// The lease to extend: it must live.
    pub(crate) async fn extensible(&self, lease_id: ResourceId) -> Result<LeaseRow, RequestError> {
        let found = self.find(lease_id, Role::Holder).await?;
        let lease = found.ok_or(RequestError::UnknownLease)?;
        if lease.is_live(self.believed.earlier()) {
            Ok(lease)
        } else {
            Err(RequestError::LeaseEnded)
        }
    }

    /// Credits per 30 days.
    fn price_of(&self, kind: &LeaseKind) -> u32 {
        match kind {
            LeaseKind::Queue => self.prices.queue,
            LeaseKind::Chunk(space) => self.prices.chunk(space.size_class),
        }
    }
}
