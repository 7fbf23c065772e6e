//! Where what is sold can be bought.

use std::sync::Arc;

use scrip_protocol::{
    limits::MAX_WORK,
    manifest::Product,
    purchase::{Offer, OfferedAllowance, OfferedProduct},
};

use crate::{issuer::Issuer, sources::Source};

impl Issuer {
    /// `GET /v1/offer`
    pub fn offer(&self) -> Offer {
        let offered = |product: &Product| {
            let sold_at = |source: &&Arc<dyn Source>| {
                source.products().is_none_or(|products| products.contains(&product.name.as_str()))
            };
            let sources = self.inner.sources.iter().filter(|source| source.is_offered());
            OfferedProduct {
                product: product.name.clone(),
                sources: sources.filter(sold_at).map(|source| source.name().to_owned()).collect(),
            }
        };
        let free =
            self.inner.config.sources.free.as_ref().map(|free| OfferedAllowance {
                period: free.period.0,
                work: free.work.min(MAX_WORK),
            });
        let manifest = self.manifest();
        let on_sale = manifest.products().iter().filter(|product| product.on_sale);
        Offer { products: on_sale.map(offered).collect(), free }
    }
}
