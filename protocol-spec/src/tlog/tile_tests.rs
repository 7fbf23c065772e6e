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
