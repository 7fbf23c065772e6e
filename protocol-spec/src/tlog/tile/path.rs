//! Paths of tiles, strictly as C2SP `tlog-tiles` writes them: one path for each tile, one tile for each path.

use crate::tlog::tile::TILE_WIDTH;
use crate::tlog::{MAX_SIZE, parse_decimal};

/// What a tile has in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Hashes of this level, 0 to 63: nodes of height 8 times the level.
    Hash(u8),
    /// Leaves.
    Entries,
    /// Of the leaves of the bundle with the same place, those that anybody may read.
    Public,
}

/// The path of a tile: `tile/<level>/<index>`, with the index in groups of three digits, and `.p/<width>` where the tile is partial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TilePath {
    kind: TileKind,
    index: u64,
    width: u16,
}

/// Text that is not the path of a tile in its one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the path of a tile: tile/<level, entries or public>/<x001/x234/067>[.p/<1 to 255>]")]
pub struct ParseTilePathError;

/// The largest index of a tile: that of the last leaf of the largest tree.
const MAX_INDEX: u64 = MAX_SIZE / TILE_WIDTH;

impl TilePath {
    /// The tile of this kind with this place in its row, of 1 to 256 hashes or leaves. `None` where a number is out of its range.
    pub fn new(kind: TileKind, index: u64, width: u16) -> Option<Self> {
        let level_exists = !matches!(kind, TileKind::Hash(64..));
        let fits = index <= MAX_INDEX && (1..=TILE_WIDTH).contains(&width.into());
        (level_exists && fits).then_some(Self { kind, index, width })
    }

    /// The tile with this place in a row of `count` hashes or leaves, as wide as it is there. `None` where it would be empty.
    pub fn at(kind: TileKind, index: u64, count: u64) -> Option<Self> {
        let rest = count.checked_sub(index.checked_mul(TILE_WIDTH)?)?;
        Self::new(kind, index, rest.min(TILE_WIDTH) as u16)
    }

    /// What it has in it.
    pub fn kind(&self) -> TileKind {
        self.kind
    }

    /// Its place in its row.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes or leaves it spans, 1 to 256.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// The number of its first hash or leaf in the row: for bundles and tiles of level 0, of its first leaf in the log.
    pub fn start(&self) -> u64 {
        self.index * TILE_WIDTH
    }

    /// Whether nothing will ever be added to it.
    pub fn is_full(&self) -> bool {
        u64::from(self.width) == TILE_WIDTH
    }

    /// The full tile that this one grows into, or itself. It is what to read where a partial one is gone.
    pub fn full(&self) -> Self {
        Self { width: TILE_WIDTH as u16, ..*self }
    }
}

impl std::fmt::Display for TilePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            TileKind::Hash(level) => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
            TileKind::Public => f.write_str("tile/public/")?,
        }
        let mut groups = vec![self.index % 1_000];
        let mut rest = self.index / 1_000;
        while rest > 0 {
            groups.push(rest % 1_000);
            rest /= 1_000;
        }
        for group in groups[1..].iter().rev() {
            write!(f, "x{group:03}/")?;
        }
        write!(f, "{:03}", groups[0])?;
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

impl std::str::FromStr for TilePath {
    type Err = ParseTilePathError;

    fn from_str(text: &str) -> Result<Self, ParseTilePathError> {
        // Whatever is lenient below, what has another form than its own is refused at the end.
        let parse = || {
            let (kind, rest) = text.strip_prefix("tile/")?.split_once('/')?;
            let kind = match kind {
                "entries" => TileKind::Entries,
                "public" => TileKind::Public,
                level => TileKind::Hash(parse_decimal(level)?.try_into().ok()?),
            };
            let (index, width) = match rest.split_once(".p/") {
                Some((index, width)) => (index, parse_decimal(width)?.try_into().ok()?),
                None => (rest, TILE_WIDTH as u16),
            };
            let digits: String = index.chars().filter(char::is_ascii_digit).collect();
            Self::new(kind, digits.parse().ok()?, width)
        };
        parse().filter(|path| path.to_string() == text).ok_or(ParseTilePathError)
    }
}

impl serde::Serialize for TilePath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for TilePath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
