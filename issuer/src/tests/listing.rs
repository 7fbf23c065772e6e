//! What the manifest lists besides keys: products from the configuration, operators from the database.

use scrip_protocol::{keys::SigningKey, manifest::Product};

use super::support::{k, voucher};
use crate::{
    StartError,
    epochs::Change,
    testing::{Setup, TestIssuerError},
};

fn names(products: &[Product]) -> Vec<(&str, bool)> {
    products.iter().map(|product| (product.name.as_str(), product.on_sale)).collect()
}

#[tokio::test]
async fn a_product_comes_and_goes_and_never_changes() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::sqlite(directory.path()).unwrap();
    let first = setup.init().await.unwrap();
    let code = voucher(&first.issuer, "single").await;
    assert_eq!(first.issuer.manifest().version(), 1, "nothing differs");

    setup.config.products.remove("single");
    setup.config.set_product("pair", [(k(1), 2)]).unwrap();
    let second = setup.open().await.unwrap();
    let manifest = second.issuer.manifest();
    assert_eq!(manifest.version(), 2);
    let listed = [("pair", true), ("single", false), ("starter", true)];
    assert_eq!(names(manifest.products()), listed);
    // It is sold no more, and what was sold is delivered.
    assert!(second.issuer.create_vouchers("single", 1, 30).await.is_err());
    let secret = scrip_protocol::seed::GrantSecret::from_bytes([9; 32]);
    let request = scrip_protocol::purchase::GrantRequest::Voucher { code };
    let granted = second.issuer.grant(&secret, &request).await.unwrap();
    assert_eq!((granted.product.as_str(), granted.pack.to_string().as_str()), ("single", "1:1"));

    // Another process with the old configuration follows, and does not undo it.
    first.issuer.tend_keys().await.unwrap();
    assert_eq!(first.issuer.manifest().version(), 2);
    second.issuer.tend_keys().await.unwrap();
    assert_eq!(second.issuer.manifest().version(), 2);
    assert!(first.issuer.create_vouchers("pair", 1, 30).await.is_ok(), "the manifest decides");

    // What was published under a name stays, on sale or not.
    for name in ["single", "pair"] {
        let mut setup = Setup::sqlite(directory.path()).unwrap();
        setup.config.set_product(name, [(k(0), 5)]).unwrap();
        let error = setup.open().await.err().unwrap();
        assert!(matches!(error, TestIssuerError::Start(StartError::Product(_))));
        let text = error.to_string();
        assert!(text.contains(name) && text.contains("another name"), "{text}");
    }
    assert_eq!(second.issuer.store().manifest_version().await.unwrap(), 2);
}

#[tokio::test]
async fn a_product_of_another_denomination_waits_for_its_keys() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::sqlite(directory.path()).unwrap();
    drop(setup.init().await.unwrap());
    setup.config.set_product("large", [(k(5), 1)]).unwrap();
    let vendor = setup.open().await.unwrap();
    let issuer = &vendor.issuer;
    let on_sale = || issuer.manifest().product("large").unwrap().on_sale;
    assert!(!on_sale(), "no key signs it");
    assert!(issuer.create_vouchers("large", 1, 30).await.is_err());
    issuer.tend_keys().await.unwrap();
    assert_eq!(issuer.manifest().version(), 2, "and nothing is published for that again");
    vendor.clock.advance(1);
    assert!(issuer.change_epochs(Change::Rotate).await.unwrap());
    issuer.tend_keys().await.unwrap();
    assert!(on_sale());
    issuer.create_vouchers("large", 1, 30).await.unwrap();
}

#[tokio::test]
async fn operators_with_an_address_are_listed_and_two_issuers_agree() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::sqlite(directory.path()).unwrap();
    let one = setup.init().await.unwrap();
    let two = setup.open().await.unwrap();
    for (number, name) in ["aurora", "borealis"].into_iter().enumerate() {
        let key = SigningKey::from_seed(&[number as u8; 32]).public();
        one.issuer.add_operator(name, &key).await.unwrap();
    }
    assert_eq!(one.issuer.manifest().version(), 1, "without an address they are not listed");
    one.issuer.list_operator("borealis", &["relay.example:7000".into()]).await.unwrap();
    let both = tokio::join!(one.issuer.tend_keys(), two.issuer.tend_keys());
    both.0.unwrap();
    both.1.unwrap();
    let listed = |issuer: &crate::Issuer| {
        let operators = issuer.manifest().operators().to_vec();
        operators.iter().map(|one| (one.name.clone(), one.addresses.clone())).collect::<Vec<_>>()
    };
    let expected = [("borealis".to_owned(), vec!["relay.example:7000".to_owned()])];
    assert_eq!(listed(&one.issuer), expected);
    assert_eq!(listed(&two.issuer), expected);
    assert_eq!(two.issuer.manifest().version(), 2);
    for wrong in ["a/b", "user@a", "a:0", ""] {
        assert!(one.issuer.list_operator("aurora", &[wrong.into()]).await.is_err(), "{wrong}");
    }
    assert!(one.issuer.list_operator("nobody", &[]).await.is_err());
    two.issuer.list_operator("borealis", &[]).await.unwrap();
    one.issuer.tend_keys().await.unwrap();
    assert_eq!((listed(&one.issuer), one.issuer.manifest().version()), (vec![], 3));
}
