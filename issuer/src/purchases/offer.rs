//! What is sold.

use scrip_protocol::{
    credits::Credits,
    limits::MAX_WORK,
    purchase::{Offer, OfferedAllowance, OfferedProduct, OfferedRest},
};

use crate::{config::Product, issuer::Issuer};

impl Issuer {
    /// `GET /v1/offer`
    pub fn offer(&self) -> Offer {
        let offered = |(name, product): (&String, &Product)| {
            let sold_at = |source: &&std::sync::Arc<dyn crate::sources::Source>| {
                source.products().is_none_or(|products| products.contains(&name.as_str()))
            };
            let sources = self.inner.sources.iter().filter(|source| source.is_offered());
            OfferedProduct {
                product: name.clone(),
                pack: product.pack.clone(),
                credits: product.pack.credits(),
                rest: product.rest.as_ref().map(|rest| OfferedRest {
                    pack: rest.pack.clone(),
                    credits: rest.pack.credits(),
                    after: rest.after.0,
                }),
                sources: sources.filter(sold_at).map(|source| source.name().to_owned()).collect(),
            }
        };
        let free = self.inner.config.sources.free.as_ref().map(|free| OfferedAllowance {
            product: free.product.clone(),
            period: free.period.0,
            work: free.work.min(MAX_WORK),
        });
        Offer { products: self.inner.config.products.iter().map(offered).collect(), free }
    }
}

impl Product {
    /// What both parts are worth.
    pub fn credits(&self) -> Credits {
        let rest = self.rest.as_ref().map(|rest| rest.pack.credits());
        Credits::total([self.pack.credits()].into_iter().chain(rest))
    }
}
