//! What a vendor sells (keys.md, "Products"): the same to everybody, because it stands in the one manifest.

use std::collections::BTreeSet;

use super::{EpochBody, ManifestError, SuccessionError};
use crate::codec::{DecodeError, Reader, Writer};
use crate::credits::{Credits, Exponent};
use crate::limits::MAX_PRODUCTS;
use crate::pack::Pack;
use crate::text::is_product_name;

/// A product: what every buyer of it gets, for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// Its name.
    pub name: String,
    /// Whether it can be bought now. What was bought before is delivered all the same.
    pub on_sale: bool,
    /// What each buyer gets at once.
    pub pack: Pack,
    /// What each buyer gets later.
    pub rest: Option<ProductRest>,
}

/// The second part of a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductRest {
    /// Seconds from the purchase.
    pub after: u64,
    /// What each buyer gets then.
    pub pack: Pack,
}

impl Product {
    /// A product in one part that is on sale.
    pub fn new(name: impl Into<String>, pack: Pack) -> Self {
        Self { name: name.into(), on_sale: true, pack, rest: None }
    }

    /// Whether the two promise the same, whether or not either is on sale.
    pub fn same_content(&self, other: &Self) -> bool {
        (&self.name, &self.pack, &self.rest) == (&other.name, &other.pack, &other.rest)
    }

    /// Its pack and that of its second part.
    pub fn packs(&self) -> impl Iterator<Item = &Pack> {
        [Some(&self.pack), self.rest.as_ref().map(|rest| &rest.pack)].into_iter().flatten()
    }

    /// What both parts are worth.
    pub fn credits(&self) -> Credits {
        Credits::total(self.packs().map(Pack::credits))
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer
            .vec8(self.name.as_bytes())
            .u8(self.on_sale.into())
            .nested(1, |writer| self.pack.write(writer))
            .u64(self.rest.as_ref().map_or(0, |rest| rest.after))
            .nested(1, |writer| {
                if let Some(rest) = &self.rest {
                    rest.pack.write(writer);
                }
            });
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let name =
            std::str::from_utf8(reader.vec8()?).map_err(|_| DecodeError::BadValue("name"))?;
        let on_sale = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(DecodeError::BadValue("on_sale")),
        };
        let pack = Pack::read(reader.vec8()?)?.ok_or(DecodeError::BadLength)?;
        let after = reader.u64()?;
        let rest = Pack::read(reader.vec8()?)?.map(|pack| ProductRest { after, pack });
        if (after == 0) != rest.is_none() {
            return Err(DecodeError::BadValue("rest_after"));
        }
        Ok(Self { name: name.to_owned(), on_sale, pack, rest })
    }
}

/// The exponents that the products' packs have.
pub fn denominations<'a>(products: impl IntoIterator<Item = &'a Product>) -> BTreeSet<Exponent> {
    let packs = products.into_iter().flat_map(Product::packs);
    packs.flat_map(Pack::entries).map(|(exponent, _)| exponent).collect()
}

pub(super) fn check(products: &[Product]) -> Result<(), ManifestError> {
    if products.len() > MAX_PRODUCTS || !products.is_sorted_by(|a, b| a.name < b.name) {
        return Err(ManifestError::Products);
    }
    match products.iter().find(|product| !is_product_name(&product.name)) {
        Some(product) => Err(ManifestError::ProductName { name: product.name.clone() }),
        None => Ok(()),
    }
}

/// A key that nothing on the list is made of would have one use: to mark whoever is given it.
pub(super) fn check_use(products: &[Product], epochs: &[EpochBody]) -> Result<(), ManifestError> {
    let used = denominations(products);
    for epoch in epochs {
        let unused = epoch.keys.iter().find(|(exponent, _)| !used.contains(exponent));
        if let Some((exponent, _)) = unused {
            return Err(ManifestError::UnusedKey { epoch: epoch.number, exponent: *exponent });
        }
    }
    Ok(())
}

/// What was promised under a name stays what it was.
pub(super) fn may_follow(offered: &[Product], held: &[Product]) -> Result<(), SuccessionError> {
    let kept = |known: &&Product| offered.iter().any(|product| product.same_content(known));
    match held.iter().find(|known| !kept(known)) {
        Some(broken) => Err(SuccessionError::Product { name: broken.name.clone() }),
        None => Ok(()),
    }
}
