//! Paths, widths, and what a growing tree adds.

use super::*;

#[test]
fn a_tile_has_one_path_and_a_path_one_tile() {
    for (kind, index, width, text) in [
        (TileKind::Hash(0), 0, 256, "tile/0/000"),
        (TileKind::Hash(63), 999, 1, "tile/63/999.p/1"),
        (TileKind::Hash(2), 1_234_067, 256, "tile/2/x001/x234/067"),
        (TileKind::Entries, 1_000, 255, "tile/entries/x001/000.p/255"),
        (TileKind::Public, 5, 17, "tile/public/005.p/17"),
    ] {
        let path = TilePath::new(kind, index, width).unwrap();
        assert_eq!(path.to_string(), text);
        assert_eq!(text.parse(), Ok(path));
    }
}

#[test]
fn other_forms_of_a_path_are_refused() {
    for text in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/+1/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/001",
        "tile/0/001/234",
        "tile/0/x001/x234",
        "tile/0/x1/234",
        "tile/0/1234",
        "tile/0/x001x/234",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/000.p/1/",
        "tile/0/000.p/1.p/1",
        "/tile/0/000",
        "tile/0/000/",
        "tile/8/0/000",
        "tile/data/000",
        "tile/Entries/000",
        "tile/entries/000 ",
        "tile/0/../000",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/0/\u{661}\u{662}\u{663}",
    ] {
        assert_eq!(text.parse::<TilePath>(), Err(ParseTilePathError), "{text:?}");
    }
}

#[test]
fn the_tiles_of_the_specification_s_example() {
    let all: Vec<String> = new_tiles(0, 70_000).iter().map(ToString::to_string).collect();
    assert_eq!(all.len(), 273 + 1 + 1 + 1 + 1);
    for text in ["tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"] {
        assert!(all.iter().any(|held| held == text), "{text}");
    }
    let all: Vec<String> = new_tiles(0, 256).iter().map(ToString::to_string).collect();
    assert_eq!(all, ["tile/0/000", "tile/1/000.p/1"]);
    assert!(new_tiles(70_000, 70_000).is_empty());
    assert!(new_tiles(70_000, 3).is_empty());
}

#[test]
fn bundles_follow_the_tree() {
    let all: Vec<String> =
        new_bundles(TileKind::Entries, 255, 600).iter().map(ToString::to_string).collect();
    assert_eq!(all, ["tile/entries/000", "tile/entries/001", "tile/entries/002.p/88"]);
    assert!(new_bundles(TileKind::Public, 256, 256).is_empty());
}

#[test]
fn bundles_come_back_and_nothing_else_does() {
    let entries = vec![b"a".to_vec(), vec![], vec![7; MAX_ENTRY]];
    let bundle = EntryBundle::new(entries.clone()).unwrap();
    let bytes = bundle.encode();
    assert_eq!(bytes[..5], [0, 1, b'a', 0, 0]);
    assert_eq!(EntryBundle::decode(&bytes, 3), Ok(bundle));
    assert_eq!(EntryBundle::decode(&bytes, 2), Err(DecodeError::TrailingBytes));
    assert_eq!(EntryBundle::decode(&bytes, 4), Err(DecodeError::Truncated));
    assert_eq!(EntryBundle::decode(&bytes[..9], 3), Err(DecodeError::Truncated));
    assert_eq!(EntryBundle::decode(&[], 0), Err(DecodeError::BadLength));
    assert_eq!(EntryBundle::decode(&[0; 514], 257), Err(DecodeError::BadLength));
    assert_eq!(EntryBundle::new(vec![vec![0; MAX_ENTRY + 1]]), None);
    assert_eq!(EntryBundle::new(vec![]), None);
    assert_eq!(EntryBundle::new(vec![vec![]; 257]), None);
    let full = EntryBundle::new(vec![vec![0; MAX_ENTRY]; 256]).unwrap();
    assert_eq!(full.encode().len(), MAX_ENTRY_BUNDLE);
    assert_eq!(EntryBundle::decode(&full.encode(), 256), Ok(full));

    let public = PublicBundle::new([(0, b"a".to_vec()), (255, b"b".to_vec())].into()).unwrap();
    let bytes = public.encode();
    assert_eq!(bytes, [0, 0, 1, b'a', 255, 0, 1, b'b']);
    assert_eq!(PublicBundle::decode(&bytes, 256), Ok(public));
    assert_eq!(PublicBundle::decode(&[], 1), Ok(PublicBundle::default()));
    for (bytes, error) in [
        (vec![1, 0, 1, b'a', 0, 0, 1, b'b'], DecodeError::BadValue("offset")),
        (vec![1, 0, 1, b'a', 1, 0, 1, b'b'], DecodeError::BadValue("offset")),
        (vec![9, 0, 1, b'a'], DecodeError::BadValue("offset")),
        (vec![1, 0, 0], DecodeError::BadLength),
        (vec![1, 0, 2, b'a'], DecodeError::Truncated),
        (vec![1], DecodeError::Truncated),
    ] {
        assert_eq!(PublicBundle::decode(&bytes, 9), Err(error), "{bytes:?}");
    }
    assert_eq!(PublicBundle::new([(0, vec![])].into()), None);
}

#[test]
fn a_wider_tile_takes_the_place_of_a_narrower_one() {
    let hashes: Vec<_> = (0..3).map(|i| crate::tlog::hash::leaf_hash(&[i])).collect();
    let path = |width| TilePath::new(TileKind::Hash(0), 0, width).unwrap();
    let mut tiles = Tiles::new();
    for width in [2, 3, 1] {
        tiles.insert(&path(width), &encode_hashes(&hashes[..width.into()])).unwrap();
    }
    assert_eq!(tiles.hashes(&path(3)), Some(&hashes[..]));
    assert_eq!(tiles.hashes(&path(1)), Some(&hashes[..1]));
    assert_eq!(tiles.hashes(&path(4)), None);
    assert_eq!(tiles.node(0, 2), Some(hashes[2]));
    assert_eq!(tiles.node(1, 1), None);
    assert_eq!(tiles.node(0, u64::MAX), None);
    assert_eq!(tiles.node(255, u64::MAX), None);
    assert_eq!(tiles.insert(&path(2), &[0; 63]), Err(DecodeError::BadLength));
    let entries = TilePath::new(TileKind::Entries, 0, 1).unwrap();
    assert!(tiles.insert(&entries, &[0; 32]).is_err());
    assert_eq!(tiles.hashes(&entries), None);
}
