//! Links come back as they went, and nothing else is taken for one.

use proptest::prelude::*;

use super::*;

fn relay(seed: u8, authority: &str) -> RelayAddress {
    RelayAddress { id: OperatorId::from_bytes([seed; 32]), authority: authority.to_owned() }
}

fn file_link() -> FileLink {
    let copy = |seed, authority| Location {
        relay: relay(seed, authority),
        reader_id: ResourceId::from_bytes([seed; 24]),
    };
    FileLink {
        size_class: SizeClass::K256,
        copies: vec![copy(1, "relay.example"), copy(2, "[::1]:8000")],
        key: Secret::from_bytes([9; 32]),
    }
}

fn queue_link() -> QueueLink {
    QueueLink {
        relay: relay(1, "127.0.0.1:7000"),
        sender_id: ResourceId::from_bytes([5; 24]),
        sender_key: Secret::from_bytes([6; 32]),
        message_key: Secret::from_bytes([7; 32]),
    }
}

fn file_error(text: &str) -> LinkError {
    text.parse::<FileLink>().err().unwrap()
}

fn queue_error(text: &str) -> LinkError {
    text.parse::<QueueLink>().err().unwrap()
}

#[test]
fn a_file_link_is_short_and_comes_back() {
    let text = file_link().to_string();
    assert!(text.len() < 300, "{}", text.len());
    let back: FileLink = format!(" {text}\n").parse().unwrap();
    assert_eq!(back.copies, file_link().copies);
    assert_eq!(back.size_class, SizeClass::K256);
    assert_eq!(back.key.as_bytes(), &[9; 32]);
    assert_eq!(back.to_string(), text);
}

#[test]
fn a_queue_link_comes_back() {
    let back: QueueLink = queue_link().to_string().parse().unwrap();
    assert_eq!(back.relay, queue_link().relay);
    assert_eq!(back.sender_id, queue_link().sender_id);
    assert_eq!((back.sender_key.as_bytes(), back.message_key.as_bytes()), (&[6; 32], &[7; 32]));
}

#[test]
fn each_kind_of_damage_has_its_name() {
    let file = file_link().to_string();
    let (place, key) = file.split_once('#').unwrap();
    assert_eq!(file_error(&queue_link().to_string()), LinkError::Scheme { scheme: FILE_SCHEME });
    assert_eq!(file_error(place), LinkError::NoKey);
    assert_eq!(file_error(&format!("{place}#")), LinkError::Key);
    assert_eq!(file_error(&format!("{place}#{}", &key[2..])), LinkError::Key);
    assert_eq!(file_error(&format!("{file}=")), LinkError::Key);
    assert_eq!(file_error(&format!("{}#{key}", &place[..place.len() - 2])), LinkError::Damaged);
    assert_eq!(file_error(&format!("{place}AA#{key}")), LinkError::Damaged);
    assert_eq!(file_error(&format!("{FILE_SCHEME}#{key}")), LinkError::Damaged);
    let newer = encode_base64url(&[2, 0, 1]);
    assert_eq!(file_error(&format!("{FILE_SCHEME}{newer}#{key}")), LinkError::Version { found: 2 });
    let no_copies = encode_base64url(&[1, 0, 0]);
    assert_eq!(file_error(&format!("{FILE_SCHEME}{no_copies}#{key}")), LinkError::Damaged);
    let long = "A".repeat(MAX_LINK + 1);
    assert_eq!(file_error(&format!("{FILE_SCHEME}{long}#{key}")), LinkError::Damaged);

    let queue = queue_link().to_string();
    let (place, keys) = queue.split_once('#').unwrap();
    assert_eq!(queue_error(&file), LinkError::Scheme { scheme: QUEUE_SCHEME });
    assert_eq!(queue_error(&format!("{place}#{key}")), LinkError::Key);
    assert_eq!(queue_error(&format!("{place}AAAA#{keys}")), LinkError::Damaged);
}

#[test]
fn an_authority_that_would_change_the_url_is_refused() {
    for authority in ["host/path", "user@host", "host?query", "host#fragment", "", "a b"] {
        let link = QueueLink { relay: relay(1, authority), ..queue_link() };
        assert_eq!(queue_error(&link.to_string()), LinkError::Damaged, "{authority}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}", place in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = text.parse::<FileLink>();
        let _ = text.parse::<QueueLink>();
        let key = encode_base64url(&[0; 32]);
        let _ = format!("{FILE_SCHEME}{}#{key}", encode_base64url(&place)).parse::<FileLink>();
    }

    #[test]
    fn what_parses_has_one_text(
        ids in proptest::collection::vec((any::<[u8; 32]>(), any::<[u8; 24]>(), "[a-z]{1,20}(:[1-9][0-9]{0,3})?"), 1..6),
        class in 0_u8..4,
        key in any::<[u8; 32]>(),
    ) {
        let copies = ids.into_iter().map(|(id, reader, authority)| Location {
            relay: RelayAddress { id: OperatorId::from_bytes(id), authority },
            reader_id: ResourceId::from_bytes(reader),
        }).collect();
        let link = FileLink { size_class: SizeClass::from_code(class).unwrap(), copies, key: Secret::from_bytes(key) };
        let back: FileLink = link.to_string().parse().unwrap();
        prop_assert_eq!(back.copies, link.copies);
        prop_assert_eq!(back.key.as_bytes(), &key);
    }
}

#[test]
fn whether_a_link_fits_is_known_before() {
    for count in [1, 2, 100, 130, 140, 200, 255] {
        let copies: Vec<Location> = (0..count)
            .map(|n| Location {
                relay: RelayAddress {
                    id: OperatorId::from_bytes([n; 32]),
                    authority: format!("relay{n}.example:8443"),
                },
                reader_id: ResourceId::from_bytes([n; 24]),
            })
            .collect();
        let relays: Vec<RelayAddress> = copies.iter().map(|copy| copy.relay.clone()).collect();
        let key = Secret::from_bytes([1; 32]);
        let text = FileLink { size_class: SizeClass::K64, copies, key }.to_string();
        assert_eq!(text.parse::<FileLink>().is_ok(), FileLink::fits(&relays), "{count}");
    }
}

#[test]
fn an_address_that_is_too_long_is_not_cut() {
    let authority = format!("{}.example:8443", "a".repeat(250));
    let relay = RelayAddress { id: OperatorId::from_bytes([1; 32]), authority };
    assert!(!fits_link(&relay));
    let copies = vec![Location { relay, reader_id: ResourceId::from_bytes([1; 24]) }];
    let link = FileLink { size_class: SizeClass::K64, copies, key: Secret::from_bytes([1; 32]) };
    assert_eq!(link.to_string().parse::<FileLink>().err(), Some(LinkError::Damaged));
}
